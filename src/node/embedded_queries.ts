/** Queries and indexes of an embedded database: the same plans and rules as over HTTP, without it. */
import { fieldSteps } from "../document/field_path.ts";
import { pathText } from "../document/json_find.ts";
import { collectionName } from "../document/names.ts";
import type { IndexDefinition } from "../document/operation.ts";
import type { IndexParts } from "../engine/build_index.ts";
import { clientIndexes, createIndex, defaultIndexName, dropIndex } from "../engine/build_index.ts";
import type { QueryAnswer } from "../engine/query_types.ts";
import { positionText } from "../storage/position_text.ts";
import type { NodeDatabase } from "./database.ts";
import { Documents } from "./embedded_documents.ts";

/** A row of a result: a document, or what the statement selects. */
export type Row = Readonly<Record<string, unknown>>;

/** Values for `?` in their order, or for `:name` by name. */
export type QueryParams = readonly unknown[] | Readonly<Record<string, unknown>>;

export interface QueryOptions {
  /** Default: 30 s. */
  readonly timeoutMs?: number;
  /** More rows than this are refused with `payload_too_large`, after so many were given. Default: 1,000,000. */
  readonly rowsMax?: number;
  readonly signal?: AbortSignal;
  /** A statement that writes is refused with `forbidden`. */
  readonly readOnly?: boolean;
}

/** What a statement came to. Its rows are read while they are asked for: once, to the end or until the loop is left. */
export interface QueryResult extends AsyncIterable<Row> {
  /** `INDEX_SCAN(name)`, `COLLECTION_SCAN`, ...; "" where there is none. */
  readonly plan: string;
  /** Documents written or deleted. */
  readonly affected: number;
  /** What a statement that writes says of itself. */
  readonly message: string | null;
  /** Of what was written, for `reached` on a follower; null: nothing was. */
  readonly position: string | null;
}

export interface EmbeddedIndex {
  readonly name: string;
  /** `passenger.lastName`, `tags[*]`. */
  readonly paths: readonly string[];
  readonly unique: boolean;
  /** Keys in it: kept, never counted. */
  readonly entries: number;
  /** Filled: queries use it. */
  readonly ready: boolean;
}

export interface IndexOptions {
  /** Default: made out of collection and paths. */
  readonly name?: string;
  /** No two documents may have the same keys; null is no key. */
  readonly unique?: boolean;
}

/** {@linkcode Documents} with the query language. */
export class QueriedDocuments extends Documents {
  readonly #database: NodeDatabase;

  constructor(database: NodeDatabase) {
    super(database);
    this.#database = database;
  }

  /**
   * Runs one statement. Rejects as `POST /query`: `bad_request` (details: `line`, `column`), `collection_not_found`, `query_timeout`, and as
   * writes do; the rows reject with `query_timeout`, `payload_too_large`, or the reason of `signal`.
   *
   * @example
   * ```ts
   * for await (const order of await db.query("SELECT * FROM orders WHERE total > ?", [100])) console.log(order);
   * ```
   */
  async query(sql: string, params: QueryParams = [], options: QueryOptions = {}): Promise<QueryResult> {
    const answer = await this.#run(sql, params, options);
    const { plan, affected, message, position } = answer;
    return {
      plan,
      affected,
      message,
      position: position === null ? null : positionText(position, position.seq),
      [Symbol.asyncIterator]: () => rowsOf(answer),
    };
  }

  /** As {@linkcode query}, with all rows at once. */
  async queryAll(sql: string, params: QueryParams = [], options: QueryOptions = {}): Promise<readonly Row[]> {
    const answer = await this.#run(sql, params, options), rows: Row[] = [];
    // Most are there at once: a promise for each row would cost more than the row.
    if (answer.values !== null) return answer.values;
    if (answer.whole !== null) return answer.whole.map((text) => JSON.parse(text) as Row);
    for await (const row of rowsOf(answer)) rows.push(row);
    return rows;
  }

  #run(sql: string, parameters: QueryParams, options: QueryOptions): Promise<QueryAnswer> {
    return this.#database.queries.run(sql, { ...options, parameters, values: true });
  }

  /** Resolves when it is filled and durable. Rejects as `POST /index`: `conflict`, `duplicate_key`, `bad_request`, and as writes do. */
  async createIndex(
    collection: string,
    paths: string | readonly string[],
    { name, unique = false }: IndexOptions = {},
  ): Promise<{ readonly name: string; readonly entries: number }> {
    const of = collectionName(collection), steps = [paths].flat().map(fieldSteps);
    const definition: IndexDefinition = {
      name: name ?? defaultIndexName(of, steps),
      unique,
      time: false,
      paths: steps,
    };
    const made = await createIndex(this.#parts, of, definition, { createsCollection: true });
    return { name: made.name, entries: made.entries };
  }

  /** Rejects with `not_found` when there is none. */
  async dropIndex(collection: string, name: string): Promise<void> {
    await dropIndex(this.#parts, collectionName(collection), name);
  }

  indexes(collection: string): readonly EmbeddedIndex[] {
    const name = collectionName(collection);
    return this.#database.storage.read((view) => {
      const info = view.collection(name);
      const found = info === null ? [] : clientIndexes(view, info.number);
      return found.map(({ name, paths, unique, entries, ready }) => ({
        name,
        paths: paths.map((steps) => pathText(steps)),
        unique,
        entries,
        ready,
      }));
    });
  }

  get #parts(): IndexParts {
    const { engine, storage, logger, runtime: { clock } } = this.#database;
    return { engine, storage, clock, logger };
  }
}

async function* rowsOf({ rows, values }: QueryAnswer): AsyncGenerator<Row, void, undefined> {
  if (values !== null) return yield* values;
  for await (const chunk of rows) {
    for (const text of chunk) yield JSON.parse(text) as Row;
  }
}
