import type { Result, Router } from "hono/router";
import { UnsupportedPathError } from "hono/router";
import { RegExpRouter } from "hono/router/reg-exp-router";

/**
 * One expression cannot hold both `/:c/bulk` and `/:c/:id/conditional` of one method. What it does not take goes to a second one,
 * which is asked when the first finds nothing: routes that were added before pay nothing for those that come after.
 */
export class TwoRouters<T> implements Router<T> {
  readonly name = "TwoRouters";
  readonly #first: Router<T> = new RegExpRouter<T>();
  readonly #second: Router<T> = new RegExpRouter<T>();

  add(method: string, path: string, handler: T): void {
    try {
      this.#first.add(method, path, handler);
    } catch (error) {
      if (!(error instanceof UnsupportedPathError)) throw error;
      this.#second.add(method, path, handler);
    }
  }

  match(method: string, path: string): Result<T> {
    const found = this.#first.match(method, path);
    return found[0].length > 0 ? found : this.#second.match(method, path);
  }
}
