import type { DatabaseSync, StatementSync } from "node:sqlite";

/** The read transaction of the connection that writes: left open between reads, ended before all that writes. */
export class HeldRead {
  readonly #db: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  #open = false;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#begin = db.prepare("BEGIN");
    this.#end = db.prepare("COMMIT");
  }

  /** Opens it, if it is not open. */
  hold(): void {
    if (this.#open) return;
    this.#begin.run();
    this.#open = true;
  }

  /** Opens it and makes it see the state of this moment, whatever another connection writes. */
  pin(): void {
    this.hold();
    // BEGIN alone does not decide yet.
    this.#db.prepare("SELECT one FROM meta").get();
  }

  /** Ends it: the state is about to change. */
  release(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#end.run();
  }
}
