import type { DatabaseSync } from "node:sqlite";
import type { ReadView } from "../storage.ts";
import { configure, connect } from "./connection.ts";
import { Selects } from "./selects.ts";
import { mapped } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { committedCatalog } from "./state.ts";
import { TableStatements } from "./statements.ts";
import { View } from "./view.ts";

/** Page cache of the connection. */
const cacheKiB = 2_048;

/** Reads the committed state while a write transaction is open, over a connection of its own. */
export class ReaderBeside {
  readonly #db: DatabaseSync;
  readonly #view: View;
  readonly #selects: Selects;

  constructor(path: string, state: State) {
    const db = this.#db = mapped(`opening ${path}`, () => {
      const reader = connect(path, true);
      configure(reader, { path, cacheKiB, readOnly: true });
      return reader;
    });
    this.#selects = new Selects(db);
    this.#view = new View(committedCatalog(state), new TableStatements(db), this.#selects);
  }

  read<Result>(run: (view: ReadView) => Result): Result {
    try {
      return run(this.#view);
    } finally {
      this.#selects.close();
    }
  }

  close(): void {
    this.#db.close();
  }
}
