/** What a statement of the query language comes to: declared for HTTP, the command line and embedding alike. */
import type { DocumentId, Seq } from "../base/ids.ts";
import type { DocumentValue } from "../document/document_value.ts";
import type { Operation } from "../document/operation.ts";
import type { Condition, Select, Statement } from "../query/ast.ts";
import type { QueryCatalog } from "../query/catalog.ts";
import type { Inputs, QueryParameters } from "../query/compile_slots.ts";
import type { Position } from "../storage/log.ts";
import type { ReadView } from "../storage/storage.ts";
import type { Plan, SlicedPlan } from "./plan.ts";

export interface QueryOptions {
  /** Default: none. */
  readonly parameters?: QueryParameters;
  /** Default: `limits.queryMsDefault`. */
  readonly timeoutMs?: number;
  /** More rows than this are refused (`payload_too_large`) after so many were given. Default: `limits.queryRowsMaxDefault`. */
  readonly rowsMax?: number;
  /** Whoever asked has gone: the reading ends. A function gives it when it is first needed: not for what is read at once. */
  readonly signal?: AbortSignal | (() => AbortSignal);
  /** Statements that write are refused with `forbidden`. Default: false. */
  readonly readOnly?: boolean;
  /** Documents that are read at once are wanted as {@linkcode QueryAnswer.values}. Default: false. */
  readonly values?: boolean;
  /** Carries out what a statement writes, for whom who asked wants an answer that is remembered. Default: it is only written. */
  readonly once?: SubmitOnce;
}

/**
 * Submits the plan of a statement and answers with what `finish` makes of it, inside the transaction: it never resolves, but rejects with what
 * only who gave it knows, or with what the plan rejects with. `operations` are those of the entry.
 */
export type SubmitOnce = <Value>(
  plan: Plan<Value> | SlicedPlan<Value>,
  finish: (value: Value, operations: readonly Operation[]) => QueryAnswer,
) => Promise<never>;

export interface QueryAnswer {
  /** Name of the plan; "" for a statement that has none. */
  readonly plan: string;
  /** Documents written or deleted. */
  readonly affected: number;
  /** What a statement that writes says of itself. */
  readonly message: string | null;
  /** The end of the log that holds what was written; null: nothing was. */
  readonly position: Position | null;
  /** All rows, where they were read at once: then `rows` gives the same. Null: they come as they are read. */
  readonly whole: readonly string[] | null;
  /** Where they were asked for, and where all rows are documents that were read at once: then `rows` gives nothing. */
  readonly values: readonly DocumentValue[] | null;
  /**
   * JSON texts of the rows, in chunks as they come; to be read once, or left by `return`. Rejects with `query_timeout`, or with what
   * `signal` or `rowsMax` say. A statement that writes gives none.
   */
  readonly rows: AsyncIterable<readonly string[]>;
}

export interface Queries {
  /**
   * Carries out one statement. Rejects with `bad_request` (details: `line`, `column`), `collection_not_found`, `query_timeout`, and for statements that
   * write what a write rejects with.
   */
  run(sql: string, options?: QueryOptions): Promise<QueryAnswer>;
  close(): Promise<void>;
}

/** A statement that writes. */
export type Writing = Exclude<Statement, Select>;

/** Carries out a statement that writes; what it throws with `at` in the details is placed in the text by who called. */
export type WriteStatement = (statement: Writing, context: WriteContext) => Promise<QueryAnswer>;

/** What {@linkcode Queries.run} gives to a statement that writes, with all defaults filled in. */
export interface WriteContext {
  readonly sql: string;
  /** Parameters, `NOW()` and `NEWID()` for the whole statement. */
  readonly inputs: Inputs;
  readonly readOnly: boolean;
  /** As in {@linkcode QueryOptions}. */
  readonly once: SubmitOnce | null;
  /** From the beginning of `run`; when it is over `signal` is aborted with `query_timeout`. */
  readonly timeoutMs: number;
  /** Aborted when whoever asked has gone, at the deadline, or when the node closes; its reason is what to reject with. */
  readonly signal: AbortSignal;
  /** What there is at this moment. */
  catalog(): QueryCatalog;
  /**
   * The documents that an UPDATE or DELETE of `collection` means, in chunks: read here where that is little, else in a worker, at one moment
   * after this was called. What is written must be checked again by seq. Rejects as {@linkcode QueryAnswer.rows}.
   */
  matches(where: Condition | null, collection: string): AsyncIterable<readonly QueryMatch[]>;
  /** The same of `view`, a transaction too, where it is little; null: it is not. Throws as `compileMatches`. */
  matchesAtOnce(view: ReadView, where: Condition | null, collection: string): QueryMatches | null;
}

export interface QueryMatches {
  /** Name of the plan. */
  readonly plan: string;
  readonly documents: readonly QueryMatch[];
}

export interface QueryMatch {
  readonly id: DocumentId;
  /** Entry of its last change. */
  readonly seq: Seq;
  /** As `StoredDocument.body`. */
  readonly body: string;
}
