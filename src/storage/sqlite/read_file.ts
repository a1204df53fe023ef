import type { DatabaseSync } from "node:sqlite";
import type { ReadView } from "../storage.ts";
import { connect, pragma } from "./connection.ts";
import { loadState } from "./load_state.ts";
import { Selects } from "./selects.ts";
import { mapped } from "./sqlite_error.ts";
import type { State } from "./state.ts";
import { committedCatalog } from "./state.ts";
import { TableStatements } from "./statements.ts";
import { View } from "./view.ts";

/**
 * Runs `run` over one committed state of a data file that is in use, through a connection of its own, which is closed when this returns. For a
 * worker, inside its hold. Throws `data_corrupt`, `io_error`, and what `run` throws.
 */
export function readFile<Result>(path: string, run: (db: DatabaseSync, state: State) => Result): Result {
  return mapped(`reading ${path}`, () => {
    const db = connect(path, true);
    try {
      pragma(db, "cache_size = -8192");
      db.prepare("BEGIN").run();
      return run(db, loadState(db, path).state);
    } finally {
      db.close();
    }
  });
}

/** As {@linkcode readFile}, for what knows no SQLite. The view must not be used after `run` returned. */
export function viewFile<Result>(path: string, run: (view: ReadView) => Result): Result {
  return readFile(path, (db, state) => {
    const selects = new Selects(db);
    try {
      return run(new View(committedCatalog(state), new TableStatements(db), selects));
    } finally {
      selects.close();
    }
  });
}
