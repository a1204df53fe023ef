import type { DatabaseSync, StatementSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { Operation, Put } from "../../document/operation.ts";
import type { Draft } from "./draft.ts";
import { indexTableOf, keyColumns, nullKey, valueKeys } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";
import { isLinked } from "./index_state.ts";
import { tableOf } from "./schema.ts";

type Prepared = Record<"body" | "id", StatementSync>;

/**
 * Unique indexes, as whoever makes the entries obeys them: a put is refused when another document has its key. A key of
 * which a part is null is nobody's.
 */
export class UniqueKeys {
  readonly #db: DatabaseSync;
  /** By state: a number may be given again when the transaction that made the index was rolled back. */
  readonly #prepared = new WeakMap<IndexState, Prepared>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /**
   * Before an entry is written. Throws `duplicate_key` for a put that is alone in it, `busy` where an index that a put has to obey is
   * being filled. True: to be looked at by {@linkcode collides} once it is applied.
   */
  before(draft: Draft, operations: readonly Operation[]): boolean {
    const { indexes } = draft;
    if (!indexes.hasUnique) return false;
    let changes = 0, bound: { readonly put: Put; readonly operation: number } | null = null;
    operations.forEach((operation, i) => {
      if (operation.kind === "put" || operation.kind === "delete") changes++;
      if (operation.kind !== "put") return;
      for (const index of indexes.unique(operation.collection)) {
        if (index.state === "building") throw notYet(draft, index);
        bound ??= { put: operation, operation: i };
      }
    });
    if (bound === null) return false;
    if (changes > 1) return true;
    const { put, operation } = bound as { readonly put: Put; readonly operation: number };
    for (const index of indexes.unique(put.collection)) {
      const found = this.#statements(index).body.get(put.body, put.id);
      if (found !== undefined) throw duplicate(draft, index, String(found["id"]), put, operation);
    }
    return false;
  }

  /** Of an entry that is applied: the error where the document of operation `i` has another's key; null: all is well. */
  collides(draft: Draft, put: Operation, i: number): DfdbError | null {
    if (put.kind !== "put") return null;
    for (const index of draft.indexes.unique(put.collection)) {
      const found = this.#statements(index).id.get(put.id);
      if (found !== undefined) return duplicate(draft, index, String(found["id"]), put, i);
    }
    return null;
  }

  #statements(index: IndexState): Prepared {
    const found = this.#prepared.get(index);
    if (found !== undefined) return found;
    const docs = tableOf(index.collection);
    const prepared = {
      body: this.#db.prepare(
        `WITH d AS MATERIALIZED (SELECT CAST(?1 AS TEXT) AS body) SELECT o.id FROM ${sharing(index, "d")}` +
          ` CROSS JOIN ${docs} o ON o.row = x.row WHERE o.id <> ?2 LIMIT 1`,
      ),
      // `+?`: with a bare `?` SQLite from 3.54 on compiles it anew for each entry.
      id: this.#db.prepare(
        `SELECT o.id FROM ${sharing(index, `${docs} d`)} AND x.row <> d.row` +
          ` CROSS JOIN ${docs} o ON o.row = x.row WHERE d.id = +? LIMIT 1`,
      ),
    };
    this.#prepared.set(index, prepared);
    return prepared;
  }
}

/** `from`, which has a document, its keys, and as `x` whoever has one of them. */
function sharing(index: IndexState, from: string): string {
  const { sources, keys } = valueKeys(index, "d.body");
  const same = keyColumns(index).map((column, i) => `x.${column} = ${keys[i]} AND x.${column} <> ${nullKey}`);
  return [from, ...sources, `${indexTableOf(index.number)} x`].join(" CROSS JOIN ") +
    ` ON ${same.join(" AND ")}`;
}

function duplicate(draft: Draft, index: IndexState, id: string, put: Put, operation: number): DfdbError {
  const collection = draft.collection(index.collection)?.name ?? "";
  // Nobody finds it among the indexes, and it may never be there.
  const making = isLinked(index) ? "" : ", which is being made";
  return new DfdbError(
    "duplicate_key",
    `Document "${id}" of collection "${collection}" has the key that document "${put.id}" would have in the unique index "${index.name}"${making}`,
    { details: { index: index.name, id, operation } },
  );
}

function notYet(draft: Draft, index: IndexState): DfdbError {
  const collection = draft.collection(index.collection)?.name ?? "";
  return new DfdbError(
    "busy",
    `The unique index "${index.name}" of collection "${collection}" is being filled: until it is, documents cannot be written there; ` +
      "try again in a moment",
    { details: { index: index.name } },
  );
}
