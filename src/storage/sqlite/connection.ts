import { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";

/** Kept by SQLite for the WAL after a checkpoint; a single large transaction may grow it further for a while. */
const walBytesKept = 4 * limits.checkpointPages * limits.pageBytes;

/** First value of the answer to `PRAGMA text`. Prepared: with errors of `exec` Deno gives no number */
export function pragma(db: DatabaseSync, text: string): string | number | null {
  const row = db.prepare(`PRAGMA ${text}`).get();
  if (row === undefined) return null;
  const [value] = Object.values(row);
  return typeof value === "string" || typeof value === "number" ? value : null;
}

/** True when the file holds nothing yet: new, or a creation that was cut short. */
export function isEmpty(db: DatabaseSync): boolean {
  if (pragma(db, "application_id") !== 0 || pragma(db, "user_version") !== 0) return false;
  return db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
}

/** Opens `path` without touching it. `readOnly` connections see committed data only. */
export function connect(path: string, readOnly: boolean): DatabaseSync {
  // The lock keeps other processes away; 5 s are for one that still checkpoints while it ends.
  return new DatabaseSync(path, { readOnly, timeout: 5_000, enableForeignKeyConstraints: false });
}

/** Gives an empty file the page size for ever. */
export function prepareEmpty(db: DatabaseSync): void {
  pragma(db, `page_size = ${limits.pageBytes}`);
  pragma(db, "auto_vacuum = 0");
  pragma(db, "journal_mode = WAL");
}

/** Sets what belongs to a connection and reads back everything that durability rests on. */
export function configure(
  db: DatabaseSync,
  what: { path: string; cacheKiB: number; readOnly: boolean },
): void {
  pragma(db, "synchronous = FULL");
  pragma(db, "wal_autocheckpoint = 0");
  pragma(db, `cache_size = ${-what.cacheKiB}`);
  pragma(db, "temp_store = MEMORY");
  // On macOS plain fsync does not reach the disk; elsewhere these change nothing.
  pragma(db, "fullfsync = ON");
  pragma(db, "checkpoint_fullfsync = ON");
  if (!what.readOnly) pragma(db, `journal_size_limit = ${walBytesKept}`);
  expect(db, what.path, "page_size", limits.pageBytes);
  expect(db, what.path, "auto_vacuum", 0);
  expect(db, what.path, "journal_mode", "wal");
  expect(db, what.path, "synchronous", 2);
  expect(db, what.path, "wal_autocheckpoint", 0);
}

/** Throws `data_foreign` unless `PRAGMA name` is `wanted`. */
export function expect(db: DatabaseSync, path: string, name: string, wanted: string | number): void {
  const found = pragma(db, name);
  if (found === wanted) return;
  throw new DfdbError(
    "data_foreign",
    `${path}: ${name} is ${found}, not ${wanted}: dfdb did not make this file so`,
  );
}

/** Identity and version of a kind of file. */
export interface FileKind {
  /** SQLite `application_id`. */
  readonly applicationId: number;
  /** SQLite `user_version` that this code writes. */
  readonly version: number;
  /** `migrations[v]` brings version v + 1 to v + 2. */
  readonly migrations: readonly ((db: DatabaseSync) => void)[];
}

/** Throws `data_foreign` or `data_newer`; brings an older file up to date, one transaction a version. */
export function checkKind(db: DatabaseSync, path: string, kind: FileKind): void {
  const id = pragma(db, "application_id"), found = Number(pragma(db, "user_version"));
  if (id !== kind.applicationId) {
    throw new DfdbError("data_foreign", `${path} is a database of another program`);
  }
  if (found > kind.version) {
    const message = `${path} has format ${found}; this version of dfdb knows formats up to ${kind.version}`;
    throw new DfdbError("data_newer", message, { details: { found, known: kind.version } });
  }
  for (let version = found; version < kind.version; version++) {
    const migrate = kind.migrations[version - 1];
    if (migrate === undefined) {
      throw new DfdbError("data_corrupt", `${path} has format ${found}, which never was`);
    }
    transaction(db, () => {
      migrate(db);
      pragma(db, `user_version = ${version + 1}`);
    });
  }
}

/** Runs `run` in a write transaction of its own: durable when this returns, nothing kept when it throws. */
export function transaction<Result>(db: DatabaseSync, run: () => Result): Result {
  db.prepare("BEGIN IMMEDIATE").run();
  try {
    const result = run();
    db.prepare("COMMIT").run();
    return result;
  } catch (thrown) {
    // A full disk may have ended the transaction already.
    if (db.isTransaction) db.prepare("ROLLBACK").run();
    throw thrown;
  }
}
