/** The documents for which a condition holds, found inside a transaction in slices. */
import type { DocumentId, Seq } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Condition } from "../query/ast.ts";
import type { QueryCatalog } from "../query/catalog.ts";
import { compileMatches } from "../query/compile.ts";
import type { Inputs } from "../query/compile_slots.ts";
import { planName } from "../query/plan_name.ts";
import type { ReadView, SqlValue } from "../storage/storage.ts";
import { catalogOf } from "./view_catalog.ts";

export interface Match {
  readonly id: DocumentId;
  readonly seq: Seq;
}

/** As many are taken through an index at once; where there are more the documents are gone through. */
const atOnceMax = 2_000;

/** For conditions that an index answers alone or not at all: `path = value`. The collection must be there. Yields after each slice. */
export function* matchesIn(
  tx: ReadView,
  collection: string,
  where: Condition,
  inputs: Inputs,
): Generator<void, readonly Match[], void> {
  const catalog = catalogOf(tx), { parameters } = inputs;
  const compiled = compileMatches(where, collection, catalog, parameters);
  const values = compiled.values(inputs);
  const name = planName(compiled.plan, tx.explain(compiled.sql, values));
  if (name !== "COLLECTION_SCAN") {
    const found = foundBy(tx, compiled.sql, values, atOnceMax);
    if (found !== null) return found;
    yield;
  }
  const scan = compileMatches(where, collection, withoutIndexes(catalog), parameters);
  return yield* scanned(tx, catalog.collection(collection)!.table, scan.sql, scan.values(inputs));
}

/** Null: there are more than `most`. */
function foundBy(tx: ReadView, sql: string, values: readonly SqlValue[], most: number): Match[] | null {
  const found: Match[] = [];
  for (const [id, seq] of tx.select(`SELECT id, seq FROM (${sql}) LIMIT ${most + 1}`, values)) {
    found.push({ id: documentIdOf(id as string), seq: seqOf(Number(seq)) });
  }
  return found.length > most ? null : found;
}

/** By ranges of rows, each as many as one slice may read. */
function* scanned(
  tx: ReadView,
  table: string,
  sql: string,
  values: readonly SqlValue[],
): Generator<void, readonly Match[], void> {
  const first = values.length + 1, found: Match[] = [];
  const ranged = `SELECT id, seq FROM (${sql}) WHERE row > ?${first} AND row <= ?${first + 1}`;
  for (let after = 0, end = rangeEnd(tx, table, after); end !== null; end = rangeEnd(tx, table, after)) {
    for (const [id, seq] of tx.select(ranged, [...values, after, end])) {
      found.push({ id: documentIdOf(id as string), seq: seqOf(Number(seq)) });
    }
    after = end;
    yield;
  }
  return found;
}

/** The last row of a slice of documents after `after`; null: there are none. */
function rangeEnd(tx: ReadView, table: string, after: number): number | null {
  const sizes = `SELECT row, octet_length(body) FROM ${table} WHERE row > ?1 ORDER BY row LIMIT ?2`;
  let end: number | null = null, sum = 0;
  for (const [row, bytes] of tx.select(sizes, [after, limits.sliceOperations])) {
    if (end !== null && sum + Number(bytes) > limits.sliceBytes) break;
    end = Number(row);
    sum += Number(bytes);
  }
  return end;
}

function withoutIndexes(catalog: QueryCatalog): QueryCatalog {
  return {
    ...catalog,
    collection(name) {
      const found = catalog.collection(name);
      return found === null ? null : { ...found, indexes: [] };
    },
  };
}
