/** What the bench and its load generator, a process of its own, tell each other. */
import type { QueryName } from "./queries.ts";

export interface LoadSpec {
  readonly driver: "http" | "postgres";
  readonly port: number;
  readonly operation: "put" | "get" | "bulk" | "query";
  /** For "put": the `keys` keys that exist are written again and again. */
  readonly again?: boolean;
  /** For "query": which. */
  readonly query?: QueryName;
  readonly connections: number;
  /** Ends the load; a `count` may end it earlier. */
  readonly seconds: number;
  /** Seconds of the same load before the clock starts. */
  readonly warmSeconds: number;
  /** Documents to write at most; null: as many as fit the time. */
  readonly count: number | null;
  /** Documents in one bulk request. */
  readonly batch: number;
  /** Of the keys; a new one for each run that is to write new documents. */
  readonly keyPrefix: string;
  /** For "get": so many keys of that prefix exist. For "query": so many orders, numbered from 0. */
  readonly keys: number;
  /** The process whose CPU time counts, with its children. */
  readonly serverPid: number;
}

export interface LoadResult {
  /** Documents written or read while the clock ran. */
  readonly documents: number;
  /** The same with the warm-up: keys 0 to total - 1 exist after "put". */
  readonly total: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** Of one request, milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly errors: number;
  readonly firstError: string | null;
  /** CPU time of the server per document, microseconds. */
  readonly serverMicros: number;
  /** Cores that the load generator used; near 1 it was the limit itself. */
  readonly clientCores: number;
  /** Cores that other work on the machine used meanwhile; above some hundredths the figures are worth little. */
  readonly otherCores: number;
}

/** Null: all well; else what was wrong with the reply. */
export type Done = (problem: string | null) => void;

/** One connection to what is measured; one request at a time. */
export interface LoadConnection {
  put(key: string, document: string, done: Done): void;
  get(key: string, done: Done): void;
  bulk(keys: readonly string[], documents: readonly string[], done: Done): void;
  query(name: QueryName, parameters: readonly (string | number)[], done: Done): void;
  close(): void;
}

/** Where the documents go. */
export const collection = "orders";
