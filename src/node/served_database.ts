import type { MonotonicMs } from "../base/ids.ts";
import type { DatabaseBehind } from "../http/database_types.ts";
import type { DatabasePlace, HttpDependencies } from "../http/types.ts";
import type { HttpHandler } from "../runtime/http_host.ts";
import type { NodeDatabase } from "./database.ts";
import { httpHandler } from "./serve_http.ts";

/** An open database and its API. */
export class ServedDatabase implements DatabaseBehind {
  readonly name: string;
  readonly database: NodeDatabase;
  readonly handler: HttpHandler;
  readonly dependencies: HttpDependencies & { readonly place: DatabasePlace };
  /** Ends what outlives its request. */
  readonly endFeeds: () => void;
  readonly #closeApi: () => Promise<void>;
  #running = 0;
  #idle = (): void => {};

  constructor(database: NodeDatabase, startedAt: MonotonicMs, place: DatabasePlace) {
    const { handler, dependencies, endFeeds, close } = httpHandler(database, startedAt, place);
    this.name = place.name;
    this.database = database;
    this.handler = handler;
    this.dependencies = { ...dependencies, place };
    this.endFeeds = endFeeds;
    this.#closeApi = close;
  }

  begun(): () => void {
    this.#running++;
    return () => {
      if (--this.#running === 0) this.#idle();
    };
  }

  /** When nobody gets to it any more: waits up to `graceMs` for requests that run, tells followers, closes. */
  async close(graceMs: number): Promise<void> {
    const { clock } = this.database.runtime;
    this.endFeeds();
    if (this.#running > 0 && graceMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = clock.timer(graceMs, resolve);
      this.#idle = resolve;
      await promise;
      timer.cancel();
    }
    await this.#closeApi();
    await this.database.close();
  }
}
