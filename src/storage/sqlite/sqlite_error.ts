import type { ErrorCode } from "../../base/errors.ts";
import { DfdbError } from "../../base/errors.ts";

// SQLite's primary result codes.
const codes: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  5: ["data_locked", "another connection holds the lock"],
  6: ["data_locked", "another connection holds the lock"],
  8: ["io_error", "the file cannot be written"],
  10: ["io_error", "the disk failed"],
  11: ["data_corrupt", "the file is damaged"],
  13: ["disk_full", "the disk is full"],
  14: ["io_error", "the file cannot be opened"],
  26: ["data_corrupt", "the file is damaged or no database"],
};

// Deno gives no number with errors of `exec`, `prepare` and of opening: there the text decides.
const texts: readonly (readonly [string, number])[] = [
  ["database is locked", 5],
  ["attempt to write a readonly database", 8],
  ["disk I/O error", 10],
  ["database disk image is malformed", 11],
  ["malformed database schema", 11],
  ["database or disk is full", 13],
  ["unable to open database file", 14],
  ["file is not a database", 26],
];

/**
 * What SQLite threw, as a DfdbError with one of `disk_full`, `io_error`, `data_corrupt`, `data_locked` where it is one
 * of these; everything else (our own errors, bugs) is returned as it is. `doing` names the file and the action.
 */
export function sqliteError(thrown: unknown, doing: string): unknown {
  if (!(thrown instanceof Error) || thrown instanceof DfdbError) return thrown;
  const { code, errcode } = thrown as { code?: unknown; errcode?: unknown };
  // A whole number above 2^53 is never written: the file was changed by something else.
  if (code === "ERR_OUT_OF_RANGE") {
    return new DfdbError("data_corrupt", `${doing}: ${thrown.message}`, { cause: thrown });
  }
  if (code !== "ERR_SQLITE_ERROR") return thrown;
  const number = typeof errcode === "number" ? errcode & 0xff : numberOf(thrown.message);
  const known = codes[number];
  if (known === undefined) return thrown;
  return new DfdbError(known[0], `${doing}: ${known[1]} (${thrown.message})`, { cause: thrown });
}

function numberOf(message: string): number {
  return texts.find(([text]) => message.startsWith(text))?.[1] ?? 0;
}

/** Runs `run`; what SQLite throws comes out as {@linkcode sqliteError} makes it. */
export function mapped<Result>(doing: string, run: () => Result): Result {
  try {
    return run();
  } catch (thrown) {
    throw sqliteError(thrown, doing);
  }
}

/** True for a violated UNIQUE or PRIMARY KEY constraint. */
export function isUniqueViolation(thrown: unknown): boolean {
  return thrown instanceof Error && /^UNIQUE constraint failed/.test(thrown.message);
}
