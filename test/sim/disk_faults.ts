/** What a disk of the simulator does wrong, and how SQLite tells dfdb. */
import { basename } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { SimProcess } from "./sim_process.ts";
import { connectionsOf } from "./sqlite_connections.ts";

/** May be changed at any time. */
export interface DiskFaults {
  /** Nothing fits on the disk any more: writes fail with `disk_full`. */
  full: boolean;
  /** Ms that each call takes, and each commit, checkpoint and trimming holds the thread up; null: the disk is fast. */
  slow: { readonly min: number; readonly max: number } | null;
  /**
   * So many of the next commits fail with `io_error`. `before`: nothing of them is in the file. `after`: everything is, as when the sync at
   * the end fails: the next process finds it, unless the power goes before.
   */
  failCommits: { count: number; readonly at: "before" | "after" } | null;
}

export function noFaults(): DiskFaults {
  return { full: false, slow: null, failCommits: null };
}

/**
 * Labels before statements that fail on a full disk, nothing but reads in between: COMMIT, a checkpoint that makes the data file longer, a change of the
 * journal mode, the backup into the live file. Whatever is open then is rolled back, as by SQLite itself.
 */
const beforeGrowth: ReadonlySet<string> = new Set([
  "open:schema",
  "commit:before",
  "checkpoint:before",
  "reclaim:rows",
  "reclaim:table",
  "trim:before",
  "close:before",
  "close:checkpointed",
  "snapshot:filled",
  "install:before",
  "copied:marked",
]);

/** Labels inside a transaction, where only a page cache that is full lets a statement write to the disk. */
const beforeSpill: ReadonlySet<string> = new Set(["apply:operation", "apply:entry", "trim:rows"]);

/** Labels right before the COMMIT of a change of documents or log. */
const beforeCommit: ReadonlySet<string> = new Set(["commit:before", "trim:before"]);

/** Labels before a write that the process' own thread waits for. */
const beforeWaiting: ReadonlySet<string> = new Set(["commit:before", "checkpoint:before", "trim:before"]);

/** How a full disk can show itself at `label`: always, when the page cache is full too, or not. */
export function fullAt(label: string): "always" | "sometimes" | "never" {
  if (beforeSpill.has(label)) return "sometimes";
  return beforeGrowth.has(label) ? "always" : "never";
}

export function isBeforeCommit(label: string): boolean {
  return beforeCommit.has(label);
}

export function isWaitedFor(label: string): boolean {
  return beforeWaiting.has(label);
}

/** What SQLite throws when the disk is full. */
export function fullError(): Error {
  return sqliteShaped(13, "database or disk is full");
}

/** What it throws when a sync fails. */
export function failedError(): Error {
  return sqliteShaped(10 | (4 << 8), "disk I/O error");
}

function sqliteShaped(errcode: number, message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_SQLITE_ERROR", errcode, errstr: message });
}

/** Carries out the COMMIT that `process` is about to do on `data.dfdb`. Its connections are tracked. */
export function commitAnyway(process: SimProcess): void {
  const writer = connectionsOf(process).find(isCommitting);
  if (writer === undefined) throw new Error(`${process.name} has no transaction open that is tracked`);
  writer.prepare("COMMIT").run();
}

function isCommitting(db: DatabaseSync): boolean {
  return db.isTransaction && basename(db.location() ?? "") === "data.dfdb";
}
