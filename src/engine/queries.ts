/**
 * Carrying out statements. One that reads is read here at once, in this macrotask, where SQLite finds each of its rows with bounded work and they are few;
 * else in a worker thread, which sees at least what was committed when it was asked. One that writes is given to who writes.
 */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { DocumentValue } from "../document/document_value.ts";
import type { Condition } from "../query/ast.ts";
import type { QueryCatalog } from "../query/catalog.ts";
import { placedIn } from "../query/catalog.ts";
import type { Inputs, QueryParameters } from "../query/compile_slots.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { ReadView, SqlValue, Storage } from "../storage/storage.ts";
import { streamedAnswer, valuesAnswer, wholeAnswer } from "./query_answers.ts";
import { Deadline } from "./query_deadline.ts";
import type { ThreadChunk } from "./query_messages.ts";
import type { Reading } from "./query_reading.ts";
import { ChunksOf, leftByReader, StaleStatement, textsOf } from "./query_reading.ts";
import type { KnownStatement, Prepared, PreparedCount } from "./query_statements.ts";
import { learn, Statements } from "./query_statements.ts";
import type { QueryThreads } from "./query_threads.ts";
import type {
  Queries,
  QueryAnswer,
  QueryMatch,
  QueryOptions,
  WriteContext,
  WriteStatement,
} from "./query_types.ts";
import { catalogOf } from "./view_catalog.ts";

export interface QueriesOptions {
  readonly storage: Pick<Storage, "read" | "log">;
  readonly clock: Clock;
  readonly threads: QueryThreads;
  readonly newId: () => DocumentId;
  readonly write: WriteStatement;
}

type Cells = readonly SqlValue[];

interface ReadTexts {
  readonly plan: string;
  readonly rows: readonly string[];
}

interface ReadValues {
  readonly plan: string;
  readonly values: readonly DocumentValue[];
}

/** Compilations for one statement while collections and indexes change under it. */
const attemptsMax = 3;

const noParameters: QueryParameters = [];

export function queries(options: QueriesOptions): Queries {
  return new StatementQueries(options);
}

class StatementQueries implements Queries {
  readonly #options: QueriesOptions;
  readonly #statements: Statements;
  /** What ends those that are under way. */
  readonly #underWay = new Set<(reason: unknown) => void>();
  #closed = false;

  constructor(options: QueriesOptions) {
    this.#options = options;
    this.#statements = new Statements(options.storage);
  }

  async run(sql: string, options: QueryOptions = {}): Promise<QueryAnswer> {
    try {
      if (this.#closed) throw closing();
      if (typeof options.signal === "object") options.signal.throwIfAborted();
      const known = this.#statements.parse(sql);
      const inputs = new StatementInputs(this.#options, options.parameters ?? noParameters);
      if (known.statement.kind !== "select") return await this.#write(sql, known, inputs, options);
      const rowsMax = options.rowsMax ?? limits.queryRowsMaxDefault;
      const wanted = options.values ? rowsMax : 0;
      const found = this.#options.storage.read((view) => this.#begin(view, known, inputs, wanted));
      if ("values" in found) return valuesAnswer(found.plan, found.values);
      if ("rows" in found) return wholeAnswer(found.plan, found.rows, rowsMax);
      return await this.#stream(known, found, inputs, options, rowsMax);
    } catch (thrown) {
      throw placedIn(sql, thrown);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const end of [...this.#underWay]) end(closing());
    await this.#options.threads.close();
  }

  /** All rows, as values where they are documents and `valuesMax` at most, or what is to be read in a thread. */
  #begin(
    view: ReadView,
    known: KnownStatement,
    inputs: Inputs,
    valuesMax: number,
  ): ReadTexts | ReadValues | Prepared {
    const prepared = this.#statements.select(view, known, inputs.parameters);
    if (prepared.kind === "count") {
      return { plan: prepared.plan, rows: [countRow(view, prepared)] };
    }
    if (valuesMax > 0 && prepared.value !== null) {
      const values = readAtOnce(view, prepared, inputs, prepared.value, (_, cells) => bodyChars(cells));
      if (values === null) return prepared;
      if (values.length <= valuesMax) return { plan: prepared.plan ?? "", values };
    }
    const rows = readAtOnce(view, prepared, inputs, prepared.write, (text) => text.length);
    return rows === null ? prepared : { plan: prepared.plan ?? "", rows };
  }

  async #stream(
    known: KnownStatement,
    first: Prepared,
    inputs: Inputs,
    options: QueryOptions,
    rowsMax: number,
  ): Promise<QueryAnswer> {
    const { storage } = this.#options;
    const again = (): Prepared => {
      const found = storage.read((view) => this.#statements.select(view, known, inputs.parameters));
      if (found.kind === "count") throw changing();
      return found;
    };
    const { prepared, reading, chunk } = await this.#inThread(first, again, inputs, options);
    const texts = chunk === null ? [] : textsOf(chunk), plan = prepared.plan ?? "";
    if (chunk === null || chunk.last) {
      if (texts.length <= limits.queryAtOnceRows) prepared.large = false;
      return wholeAnswer(plan, texts, rowsMax);
    }
    return streamedAnswer(plan, texts, new ChunksOf(reading), rowsMax);
  }

  /** Reads the first chunk, and compiles anew what was compiled for something that has changed. */
  async #inThread(
    first: Prepared,
    again: () => Prepared,
    inputs: Inputs,
    { timeoutMs = limits.queryMsDefault, signal }: QueryOptions,
  ): Promise<{ readonly prepared: Prepared; readonly reading: Reading; readonly chunk: ThreadChunk | null }> {
    const { clock, threads } = this.#options, beganMs = clock.monotonic();
    for (let prepared = first, attempt = 1;; attempt++) {
      const { compiled, tables } = prepared;
      const order = {
        sql: compiled.sql,
        values: compiled.values(inputs),
        output: compiled.kind === "rows" ? compiled.shape : "cells" as const,
        tables,
        explain: prepared.plan === null,
        ahead: limits.queryChunksAhead,
      };
      const reading = threads.read(order);
      const deadline = new Deadline(
        { clock, beganMs, timeoutMs, signal: signalOf(signal), all: this.#underWay },
        (reason) => reading.stop(reason),
      );
      reading.whenOver(() => deadline.clear());
      try {
        const chunk = await reading.next();
        if (chunk !== null && chunk.details !== null) learn(prepared, chunk.details);
        return { prepared, reading, chunk };
      } catch (thrown) {
        if (!(thrown instanceof StaleStatement)) throw thrown;
        if (attempt === attemptsMax) throw changing();
        prepared = again();
      }
    }
  }

  async #write(
    sql: string,
    { statement }: KnownStatement,
    inputs: Inputs,
    { timeoutMs = limits.queryMsDefault, signal, readOnly = false, once }: QueryOptions,
  ): Promise<QueryAnswer> {
    const { storage, clock, write } = this.#options, abort = new AbortController();
    if (statement.kind === "select") throw new DfdbError("internal", "a SELECT writes nothing");
    const deadline = new Deadline(
      { clock, beganMs: clock.monotonic(), timeoutMs, signal: signalOf(signal), all: this.#underWay },
      (reason) => abort.abort(reason),
    );
    const context: WriteContext = {
      sql,
      inputs,
      readOnly,
      once: once ?? null,
      timeoutMs,
      signal: abort.signal,
      catalog: () => liveCatalog(storage),
      matches: (where, collection) =>
        this.#matches(where, collection, inputs, { timeoutMs, signal: abort.signal }),
      matchesAtOnce: (view, where, collection) => {
        const prepared = this.#statements.matches(view, where, collection, inputs.parameters);
        const documents = readAtOnce(view, prepared, inputs, matchOf, ({ body }) => body.length);
        return documents === null ? null : { plan: prepared.plan ?? "", documents };
      },
    };
    try {
      return await write(statement, context);
    } finally {
      deadline.clear();
    }
  }

  async *#matches(
    where: Condition | null,
    collection: string,
    inputs: Inputs,
    options: QueryOptions,
  ): AsyncGenerator<readonly QueryMatch[], void, void> {
    const { storage } = this.#options;
    const prepare = (view: ReadView): Prepared =>
      this.#statements.matches(view, where, collection, inputs.parameters);
    signalOf(options.signal);
    const found = storage.read((view) => {
      const prepared = prepare(view);
      return readAtOnce(view, prepared, inputs, matchOf, ({ body }) => body.length) ?? prepared;
    });
    if (Array.isArray(found)) return yield found as QueryMatch[];
    const { prepared, reading, chunk } = await this.#inThread(
      found as Prepared,
      () => storage.read(prepare),
      inputs,
      options,
    );
    try {
      if ((chunk?.last ?? true) && (chunk?.rows.length ?? 0) <= limits.queryAtOnceRows) {
        prepared.large = false;
      }
      for (let next = chunk; next !== null; next = await reading.next()) yield matchesOf(next);
    } finally {
      reading.stop(leftByReader());
    }
  }
}

/** Null: it is not to be read here, or not all of it. */
function readAtOnce<Row>(
  view: ReadView,
  prepared: Prepared,
  inputs: Inputs,
  rowOf: (cells: Cells) => Row,
  charsOf: (row: Row, cells: Cells) => number,
): Row[] | null {
  if (prepared.atOnce === false || prepared.large) return null;
  const { sql, values: valuesOf, stepwise } = prepared.compiled, values = valuesOf(inputs);
  if (!(prepared.atOnce ?? learn(prepared, view.explain(sql, values)))) return null;
  const rows: Row[] = [], { whole } = prepared;
  let chars = 0;
  for (const cells of view.select(whole ?? sql, values, whole !== null || stepwise === "few")) {
    if (whole !== null && cells[2] === null) {
      prepared.whole = null;
      return readAtOnce(view, prepared, inputs, rowOf, charsOf);
    }
    if (rows.length >= limits.queryAtOnceRows || chars >= limits.queryAtOnceChars) {
      prepared.large = true;
      return null;
    }
    const row = rowOf(cells);
    rows.push(row);
    chars += charsOf(row, cells);
  }
  return rows;
}

/** Of a row of a document: id, seq, body. */
const bodyChars = (cells: Cells): number => (cells[2] as string).length;

/** Columns of a compiled statement of kind `matches`. */
function matchOf([, id, seq, body]: Cells): QueryMatch {
  return { id: documentIdOf(String(id)), seq: seqOf(Number(seq)), body: String(body) };
}

function matchesOf({ rows }: ThreadChunk): readonly QueryMatch[] {
  return (rows as readonly Cells[]).map(matchOf);
}

function countRow(view: ReadView, { name, collection }: PreparedCount): string {
  const documents = collection === null ? 0 : view.collection(collection)?.documents ?? 0;
  return `{${JSON.stringify(name)}:${documents}}`;
}

/** What there is whenever it is asked. */
function liveCatalog(storage: Pick<Storage, "read">): QueryCatalog {
  return {
    collection: (name) => storage.read((view) => catalogOf(view).collection(name)),
    names: () => storage.read((view) => catalogOf(view).names()),
  };
}

class StatementInputs implements Inputs {
  readonly parameters: QueryParameters;
  readonly newId: () => string;
  readonly #clock: Clock;
  #now: string | null = null;

  constructor({ clock, newId }: Pick<QueriesOptions, "clock" | "newId">, parameters: QueryParameters) {
    this.parameters = parameters;
    this.newId = newId;
    this.#clock = clock;
  }

  /** For most statements nobody asks. */
  get now(): string {
    return this.#now ??= new Date(this.#clock.wall()).toISOString();
  }
}

/** Throws its reason when it is aborted already. */
function signalOf(given: QueryOptions["signal"]): AbortSignal | undefined {
  const signal = typeof given === "function" ? given() : given;
  signal?.throwIfAborted();
  return signal;
}

const closing = (): DfdbError => new DfdbError("closing", "This node is stopping");
const changing = (): DfdbError =>
  new DfdbError("busy", "The collections and indexes of this query are changing; try again in a moment");
