import type { DatabaseSync } from "node:sqlite";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { expect, pragma, transaction } from "./connection.ts";
import { loadState } from "./load_state.ts";

/**
 * True for a data file as snapshots and copies are made: it is in rollback mode. A file in use never is, so such a
 * file is whole by itself and needs no other mark. Installed into a live file it loses this by itself, since that stays
 * in WAL mode: it cannot be taken for a closed one while part of it is in the WAL only.
 */
export function isCopy(db: DatabaseSync): boolean {
  return pragma(db, "journal_mode") === "delete";
}

/**
 * Makes a copy a data file like any other: closed cleanly, in WAL mode. A crash in between changes nothing. Throws
 * `data_foreign`, `data_corrupt` before anything is changed.
 */
export function openCopy(db: DatabaseSync, path: string, crashPoint: CrashPoint): void {
  expect(db, path, "page_size", limits.pageBytes);
  expect(db, path, "auto_vacuum", 0);
  const { position } = loadState(db, path).state;
  transaction(db, () => db.prepare("UPDATE meta SET clean_seq = ?").run(position.seq));
  crashPoint("copied:marked");
  pragma(db, "journal_mode = WAL");
  crashPoint("copied:wal");
}
