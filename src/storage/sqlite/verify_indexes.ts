import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { CollectionNumber, IndexNumber } from "../../base/ids.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import { connect } from "./connection.ts";
import { hasOneKey, indexTableOf, keyColumns, rowsSql } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";
import { loadState } from "./load_state.ts";
import { tableOf } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";

export interface IndexesVerified {
  /** Indexes that were looked at: linked and whole. */
  readonly indexes: number;
  /** Those that are not what their documents say; empty when all is well. */
  readonly wrong: readonly WrongIndex[];
}

export interface WrongIndex {
  readonly collection: string;
  readonly name: string;
  /** Documents of which a key is missing, and keys that no document has, or not any more. */
  readonly missing: number;
  readonly tooMany: number;
  /** What is kept as their number, and what it is. */
  readonly keptEntries: number;
  readonly entries: number;
}

const sliceRows = 5_000;

/**
 * Compares all indexes with their documents. Reads everything, in slices, each with a read transaction and a hold of its own: for a
 * worker. An index that is dropped or made anew meanwhile is left out. The number of entries is compared only where nothing was
 * written meanwhile. Throws `closing` when it was stopped, `data_corrupt`, `io_error`.
 */
export function verifyIndexes({ path }: { readonly path: string }, context: TaskContext): IndexesVerified {
  const wrong: WrongIndex[] = [];
  let indexes = 0;
  const numbers = reading(path, context, (_, state) => [...state.indexes.all()].map(({ number }) => number));
  for (const number of numbers) {
    const found = verifyIndex(path, context, number);
    if (found === null) continue;
    indexes++;
    if (found.missing + found.tooMany > 0 || found.entries !== found.keptEntries) wrong.push(found);
  }
  return { indexes, wrong };
}

type State = ReturnType<typeof loadState>["state"];

function reading<Result>(
  path: string,
  context: TaskContext,
  run: (db: DatabaseSync, state: State) => Result,
): Result {
  if (context.stopped) throw new DfdbError("closing", `verifying the indexes of ${path} was given up`);
  return context.hold(() =>
    mapped(`reading the indexes of ${path}`, () => {
      const db = connect(path, true);
      try {
        db.prepare("BEGIN").run();
        return run(db, loadState(db, path).state);
      } finally {
        db.close();
      }
    })
  );
}

/** Null: it is not there, or being filled. */
function verifyIndex(path: string, context: TaskContext, number: IndexNumber): WrongIndex | null {
  let missing = 0, tooMany = 0, entries = 0;
  let row: number | null = 0, key: SQLInputValue[] | null = null, keysLeft = true;
  const begun = reading(path, context, (db, state) => about(db, state, number));
  if (begun === null) return null;
  while (row !== null || keysLeft) {
    const alive = reading(path, context, (db, state) => {
      const index = state.indexes.get(number);
      if (index?.state !== "ready") return false;
      if (row !== null) {
        const slice = documentsSlice(db, index, row);
        missing += slice.missing;
        row = slice.next;
      } else {
        const slice: KeysSlice = keysSlice(db, index, key);
        tooMany += slice.tooMany;
        entries += slice.entries;
        key = slice.next;
        keysLeft = slice.next !== null;
      }
      return true;
    });
    if (!alive) return null;
  }
  const ended = reading(path, context, (db, state) => about(db, state, number));
  if (ended === null) return null;
  const unchanged = begun.seq === ended.seq;
  const { collection, name, keptEntries } = ended;
  return { collection, name, missing, tooMany, keptEntries, entries: unchanged ? entries : keptEntries };
}

function about(db: DatabaseSync, { indexes, collections, position }: State, number: IndexNumber) {
  const index = indexes.get(number);
  if (index?.state !== "ready") return null;
  const collection = collections.get(index.collection as CollectionNumber);
  const kept = db.prepare("SELECT entries FROM indexes WHERE number = ?").get(number);
  return {
    collection: collection?.name ?? "",
    name: index.name,
    keptEntries: hasOneKey(index) ? collection?.documents ?? 0 : Number(kept?.["entries"]),
    seq: position.seq,
  };
}

/** Documents after `after`: those with a key that the index has not. */
function documentsSlice(db: DatabaseSync, index: IndexState, after: number) {
  const docs = tableOf(index.collection), table = indexTableOf(index.number), columns = keyColumns(index);
  const last = db.prepare(
    `SELECT row FROM ${docs} WHERE row > ? ORDER BY row LIMIT 1 OFFSET ${sliceRows - 1}`,
  )
    .get(after)?.["row"];
  const next = last === undefined ? null : Number(last);
  const from = `(SELECT row, body FROM ${docs} WHERE row > ?1 AND row <= ?2) d`;
  const names = [...columns, "row"].join(", ");
  const { missing } = db.prepare(
    `WITH wanted(${names}) AS (${
      rowsSql(index, "d", from)
    }) SELECT count(DISTINCT row) AS missing FROM wanted w ` +
      `WHERE NOT EXISTS (SELECT 1 FROM ${table} x WHERE ${same("x", "w", columns)} AND x.row = w.row)`,
  ).get(after, next ?? Number.MAX_SAFE_INTEGER) as { missing: number };
  return { missing, next };
}

interface KeysSlice {
  readonly tooMany: number;
  readonly entries: number;
  /** The last key of the slice; null: it was the last slice. */
  readonly next: SQLInputValue[] | null;
}

/** Keys after `after`: those that no document has. */
function keysSlice(db: DatabaseSync, index: IndexState, after: SQLInputValue[] | null): KeysSlice {
  const docs = tableOf(index.collection), table = indexTableOf(index.number), columns = keyColumns(index);
  const all = [...columns, "row"], list = all.join(", "), marks = all.map(() => "?").join(", ");
  const low = after ?? [...columns.map(() => -Infinity), 0];
  const statement = db.prepare(
    `SELECT ${list} FROM ${table} WHERE (${list}) > (${marks}) ORDER BY ${list} LIMIT 1 OFFSET ${
      sliceRows - 1
    }`,
  );
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  const next = (statement.get(...low) ?? null) as unknown as SQLInputValue[] | null;
  const range = `(${list}) > (${marks}) AND (${list}) <= (${marks})`;
  const bounds = [...low, ...next ?? all.map(() => new Uint8Array())];
  const { entries } = db.prepare(`SELECT count(*) AS entries FROM ${table} WHERE ${range}`)
    .get(...bounds) as { entries: number };
  const from = `(SELECT row, body FROM ${docs} WHERE row = x.row) d`;
  const { many } = db.prepare(
    `SELECT count(*) AS many FROM (SELECT * FROM ${table} WHERE ${range}) x WHERE (${list}) NOT IN (${
      rowsSql(index, "d", from)
    })`,
  ).get(...bounds) as { many: number };
  return { tooMany: many, entries, next };
}

function same(one: string, other: string, columns: readonly string[]): string {
  return columns.map((column) => `${one}.${column} = ${other}.${column}`).join(" AND ");
}
