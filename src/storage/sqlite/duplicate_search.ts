import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { indexTableOf, keyColumns, nullKey } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";
import { tableOf } from "./schema.ts";

const sliceKeys = 2_000;

/** Looks through an index for two documents that have the same key, of which no part is null; in slices. */
export class DuplicateSearch {
  readonly #end: StatementSync;
  readonly #twice: StatementSync;
  readonly #most: SQLInputValue[];
  /** The last key that was looked at; at first one that is less than all. */
  #after: SQLInputValue[];

  constructor(db: DatabaseSync, index: IndexState) {
    const table = indexTableOf(index.number), docs = tableOf(index.collection), keys = keyColumns(index);
    const columns = [...keys, "row"], list = columns.join(", "), marks = columns.map(() => "?").join(", ");
    const of = (alias: string): string => columns.map((column) => `${alias}.${column}`).join(", ");
    this.#after = [...keys.map(() => -Infinity), 0];
    // No key is a BLOB, which sorts behind all else.
    this.#most = columns.map(() => new Uint8Array());
    this.#end = db.prepare(
      `SELECT ${list} FROM ${table} WHERE (${list}) > (${marks}) ORDER BY ${list} LIMIT 1 OFFSET ${
        sliceKeys - 1
      }`,
    );
    this.#end.setReturnArrays(true);
    this.#end.setReadBigInts(true);
    const same = keys.map((key) => `b.${key} = a.${key} AND a.${key} <> ${nullKey}`).join(" AND ");
    this.#twice = db.prepare(
      `SELECT c.id AS id, d.id AS other FROM ${table} a CROSS JOIN ${table} b ON ${same} AND b.row > a.row ` +
        `CROSS JOIN ${docs} c ON c.row = a.row CROSS JOIN ${docs} d ON d.row = b.row ` +
        `WHERE (${of("a")}) > (${marks}) AND (${of("a")}) <= (${marks}) LIMIT 1`,
    );
  }

  /** The ids of two documents, `more` when there is more to look at. */
  slice(): readonly [string, string] | "none" | "more" {
    const end = this.#end.get(...this.#after) as unknown as SQLInputValue[] | undefined;
    const twice = this.#twice.get(...this.#after, ...end ?? this.#most);
    if (twice !== undefined) return [String(twice["id"]), String(twice["other"])];
    if (end === undefined) return "none";
    this.#after = end;
    return "more";
  }
}
