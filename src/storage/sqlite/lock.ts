import { DatabaseSync } from "node:sqlite";
import { utf8, utf8Text } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import type { WallMs } from "../../base/ids.ts";
import type { Files } from "../../runtime/files.ts";
import { sqliteError } from "./sqlite_error.ts";

/** Who asks for a lock; goes into the message for whoever comes second. */
export interface LockHolder {
  readonly pid: number;
  readonly hostname: string;
  readonly wall: () => WallMs;
  readonly files: Files;
}

export interface Lock {
  /** Idempotent. */
  release(): void;
}

/**
 * Holds `<path>.lock` as an exclusive SQLite transaction until released: the system frees it when the process dies,
 * so there is nothing to reclaim. Nothing may ever open that file otherwise (closing any handle of it in this process
 * would drop the lock). `<path>.lock.json` only tells who holds it.
 * Throws `data_locked`, with pid and host of the holder.
 */
export async function holdLock(path: string, holder: LockHolder): Promise<Lock> {
  const db = new DatabaseSync(`${path}.lock`, { timeout: 0 });
  try {
    db.prepare("BEGIN EXCLUSIVE").run();
  } catch (thrown) {
    db.close();
    const error = sqliteError(thrown, `${path}.lock`);
    throw error instanceof DfdbError && error.code === "data_locked"
      ? await heldBy(path, holder.files, error)
      : error;
  }
  const release = (): void => {
    if (db.isOpen) db.close();
  };
  try {
    const { pid, hostname: host } = holder;
    await holder.files.writeAtomic(
      `${path}.lock.json`,
      utf8(JSON.stringify({ pid, host, openedAtMs: holder.wall() })),
    );
  } catch (thrown) {
    release();
    throw thrown;
  }
  return { release };
}

async function heldBy(path: string, files: Files, cause: DfdbError): Promise<DfdbError> {
  const { pid, host } = await readHolder(path, files);
  const who = pid === null ? "another process" : `process ${pid} on ${host}`;
  return new DfdbError("data_locked", `${path} is in use by ${who}`, { details: { pid, host }, cause });
}

async function readHolder(path: string, files: Files): Promise<{ pid: number | null; host: string | null }> {
  const nobody = { pid: null, host: null };
  try {
    const bytes = await files.read(`${path}.lock.json`);
    const holder: unknown = bytes === null ? null : JSON.parse(utf8Text(bytes));
    if (typeof holder !== "object" || holder === null) return nobody;
    const { pid, host } = holder as { pid?: unknown; host?: unknown };
    return typeof pid === "number" && typeof host === "string" ? { pid, host } : nobody;
  } catch {
    // The file is for people; that it cannot be read must not hide that the data are in use.
    return nobody;
  }
}
