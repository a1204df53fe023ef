import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { IndexNumber } from "../../base/ids.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import { foldName } from "./fold_name.ts";
import { hasOneKey, indexTableOf, keyColumns, rowsSql } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";
import { readFile } from "./read_file.ts";
import { tableOf } from "./schema.ts";
import type { State } from "./state.ts";

export interface IndexesVerified {
  /** Indexes that were looked at: linked and whole. */
  readonly indexes: number;
  /** Those that are not what their documents say; empty when all is well. */
  readonly wrong: readonly VerifiedIndex[];
}

export interface VerifiedIndex {
  readonly collection: string;
  readonly name: string;
  /** Counted. */
  readonly entries: number;
  /** What the catalog says; null: of this kind nothing is kept, it has one for each document. */
  readonly keptEntries: number | null;
  /** Documents of which a key is missing. */
  readonly missing: number;
  /** Entries that no document has, or not any more. */
  readonly tooMany: number;
}

/** What the task reports: each index when it was looked at. */
export type IndexProgress = { readonly type: "index" } & VerifiedIndex | { readonly type: "alive" };

export interface IndexesInput {
  readonly path: string;
  /** Only those of this collection, by name; null or not given: all. */
  readonly collection?: string | null;
}

/** Documents of a slice, and bytes of their bodies after which it ends: between two the task looks whether it was stopped. */
const sliceRows = 1_000, sliceBytes = 4 * 1024 * 1024, aliveSlices = 100;

/**
 * Compares indexes with their documents, each one in a read transaction and a hold of its own, so that the WAL is held back by one index at
 * a time. Reads everything: for a worker. One that is dropped meanwhile, or not whole, is left out. Throws `closing` when it was stopped,
 * `data_corrupt`, `io_error`.
 */
export function verifyIndexes(
  { path, collection = null }: IndexesInput,
  context: TaskContext,
): IndexesVerified {
  const wrong: VerifiedIndex[] = [];
  let indexes = 0;
  for (const number of reading(path, context, (_, state) => chosen(state, collection))) {
    const found = reading(path, context, (db, state) => verifyIndex(db, state, number, context));
    if (found === null) continue;
    indexes++;
    context.progress({ type: "index", ...found } satisfies IndexProgress);
    if (isWrong(found)) wrong.push(found);
  }
  return { indexes, wrong };
}

function isWrong({ missing, tooMany, entries, keptEntries }: VerifiedIndex): boolean {
  return missing + tooMany > 0 || (keptEntries !== null && keptEntries !== entries);
}

function reading<Result>(
  path: string,
  context: TaskContext,
  run: (db: DatabaseSync, state: State) => Result,
): Result {
  stopIf(context);
  return context.hold(() => readFile(path, run));
}

function stopIf({ stopped }: TaskContext): void {
  if (stopped) throw new DfdbError("closing", "verifying the indexes was given up");
}

function chosen({ indexes, collections }: State, collection: string | null): readonly IndexNumber[] {
  const wanted = collection === null ? null : foldName(collection);
  return [...indexes.all()].filter((index) =>
    wanted === null || foldName(collections.get(index.collection)?.name ?? "") === wanted
  ).map(({ number }) => number);
}

/**
 * Null: it is not there, or being filled. Every key that the documents want is looked for; as many entries as were found are right, the
 * others are too many. So no key is looked for among the documents, which would read one with a long array again for each of its elements.
 */
function verifyIndex(
  db: DatabaseSync,
  { indexes, collections }: State,
  number: IndexNumber,
  context: TaskContext,
): VerifiedIndex | null {
  const index = indexes.get(number);
  if (index?.state !== "ready") return null;
  let found = 0, missing = 0, slices = 0;
  for (const slice of slicesOf(db, index)) {
    found += slice.found;
    missing += slice.missing;
    stopIf(context);
    if (++slices % aliveSlices === 0) context.progress({ type: "alive" } satisfies IndexProgress);
  }
  const { entries } = db.prepare(`SELECT count(*) AS entries FROM ${indexTableOf(number)}`).get() as {
    entries: number;
  };
  const kept = hasOneKey(index)
    ? null
    : db.prepare("SELECT entries FROM indexes WHERE number = ?").get(number);
  return {
    collection: collections.get(index.collection)?.name ?? "",
    name: index.name,
    entries,
    keptEntries: kept === null ? null : Number(kept?.["entries"]),
    missing,
    tooMany: entries - found,
  };
}

interface Slice {
  /** Keys of its documents that the index has. */
  readonly found: number;
  /** Documents with a key that it has not. */
  readonly missing: number;
}

function* slicesOf(db: DatabaseSync, index: IndexState): Generator<Slice, void, undefined> {
  const docs = tableOf(index.collection), table = indexTableOf(index.number), columns = keyColumns(index);
  const end = db.prepare(
    `SELECT max(row) AS last FROM (SELECT row, sum(bytes) OVER (ORDER BY row) - bytes AS before ` +
      `FROM (SELECT row, octet_length(body) AS bytes FROM ${docs} WHERE row > ? ORDER BY row LIMIT ${sliceRows})) ` +
      `WHERE before < ${sliceBytes}`,
  );
  const rows = rowsSql(index, "d", `(SELECT row, body FROM ${docs} WHERE row > ? AND row <= ?) d`);
  // One key of each document cannot be there twice.
  const wanted = hasOneKey(index) ? rows : `SELECT DISTINCT * FROM (${rows})`;
  const same = columns.map((column) => `x.${column} = w.${column}`).join(" AND ");
  const compare = db.prepare(
    `WITH w(${columns.join(", ")}, row) AS (${wanted}) SELECT count(x.row) AS found, ` +
      // Without the affinity of `row`: the table would not be searched by it, and all entries of the same key be walked through.
      `count(DISTINCT iif(x.row IS NULL, w.row, NULL)) AS missing FROM w LEFT JOIN ${table} x ON ${same} AND x.row = +w.row`,
  );
  for (let after = 0;;) {
    const last = (end.get(after) as { last: number | null }).last;
    if (last === null) return;
    yield compare.get(after, last) as unknown as Slice;
    after = last;
  }
}
