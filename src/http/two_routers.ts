import type { Result, Router } from "hono/router";
import { UnsupportedPathError } from "hono/router";
import { RegExpRouter } from "hono/router/reg-exp-router";

/**
 * One expression cannot hold both `/:c/bulk` and `/:c/:id/conditional` of one method. What it does not take goes to a second one,
 * which is asked when the first finds nothing: routes that were added before pay next to nothing for those that come after. A path that
 * ends with the last word of a route there is looked for there first: `/:c/schema` wins over `/:c/:id`.
 */
export class TwoRouters<T> implements Router<T> {
  readonly name = "TwoRouters";
  readonly #first: Router<T> = new RegExpRouter<T>();
  readonly #second: Router<T> = new RegExpRouter<T>();
  /** Last parts of the routes of the second one that are words. */
  readonly #words = new Set<string>();

  add(method: string, path: string, handler: T): void {
    try {
      this.#first.add(method, path, handler);
    } catch (error) {
      if (!(error instanceof UnsupportedPathError)) throw error;
      this.#second.add(method, path, handler);
      const last = lastPart(path);
      if (!last.startsWith(":")) this.#words.add(last);
    }
  }

  match(method: string, path: string): Result<T> {
    const word = this.#words.has(lastPart(path));
    const found = (word ? this.#second : this.#first).match(method, path);
    return found[0].length > 0 ? found : (word ? this.#first : this.#second).match(method, path);
  }
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
