import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import { connect, pragma } from "./connection.ts";
import { mapped } from "./sqlite_error.ts";

/** Whether a file is sound, and what SQLite says. */
export interface QuickCheck {
  readonly ok: boolean;
  readonly message: string;
}

/**
 * Looks through all pages of the database at `path` on a read-only connection of its own. Takes as long as reading
 * the file: not for the main thread. A damaged file is an answer; one that cannot be read throws.
 */
export function quickCheck(path: string): QuickCheck {
  let db: DatabaseSync | null = null;
  try {
    return mapped(`cannot check ${path}`, () => {
      db = connect(path, true);
      const message = String(pragma(db, "quick_check(1)"));
      return { ok: message === "ok", message };
    });
  } catch (thrown) {
    if (thrown instanceof DfdbError && thrown.code === "data_corrupt") {
      return { ok: false, message: thrown.message };
    }
    throw thrown;
  } finally {
    (db as DatabaseSync | null)?.close();
  }
}
