/** What is said to a thread that reads for queries, and what it says: one reading at a time. */
import type { ErrorCode, ErrorDetails } from "../base/errors.ts";
import type { CollectionNumber, IndexNumber } from "../base/ids.ts";
import type { RowShape } from "../query/result_rows.ts";
import type { Position } from "../storage/log.ts";
import type { SqlValue } from "../storage/storage.ts";

/** Name of the resident (`node/tasks.ts`). */
export const queryResident = "query.reader";

export interface QueryThreadInput {
  /** Of the data file. */
  readonly path: string;
  /** Int32: number of the reading that is to end; it is looked at between rows and, by `lookFunction`, within a step. */
  readonly stop: SharedArrayBuffer;
}

export type ToQueryThread =
  | ({ readonly type: "read"; readonly id: number } & ThreadReading)
  /** One chunk was taken. */
  | { readonly type: "more"; readonly id: number }
  /** Nobody wants the rest. */
  | { readonly type: "leave"; readonly id: number };

export interface ThreadReading {
  readonly sql: string;
  readonly values: readonly SqlValue[];
  /** `cells`: rows as they are read. */
  readonly output: RowShape | "cells";
  /** What the statement was compiled for; it is not carried out where that is not there any more. */
  readonly tables: StatementTables;
  /** What `EXPLAIN QUERY PLAN` says is wanted. */
  readonly explain: boolean;
  /** How many chunks may be under way. */
  readonly ahead: number;
}

/** The tables that stand in a statement. */
export interface StatementTables {
  readonly collections: readonly { readonly number: CollectionNumber; readonly name: string }[];
  readonly indexes: readonly StatementIndex[];
}

export interface StatementIndex {
  readonly number: IndexNumber;
  readonly collection: CollectionNumber;
  /** JSON. */
  readonly paths: string;
  readonly unique: boolean;
}

/** Each reading ends with a `chunk` that is the last one, or with one of the others. */
export type FromQueryThread =
  | ({ readonly type: "chunk" } & OfState & ThreadChunk)
  | ({ readonly type: "failed"; readonly failure: ThreadFailure } & OfState)
  /** What it was compiled for has changed. */
  | ({ readonly type: "stale" } & OfState)
  /** It was left. */
  | { readonly type: "left"; readonly id: number };

interface OfState {
  readonly id: number;
  /** Where the log ends in the state that is read; null: it was told, or nothing was read. */
  readonly at: Position | null;
}

export interface ThreadChunk {
  /** Texts, or arrays of cells. */
  readonly rows: readonly string[] | readonly (readonly SqlValue[])[];
  readonly last: boolean;
  /** With the first chunk, if they were asked for. */
  readonly details: readonly string[] | null;
}

export interface ThreadFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}
