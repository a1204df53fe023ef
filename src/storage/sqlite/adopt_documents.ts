import type { DatabaseSync } from "node:sqlite";
import type { CollectionNumber } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { TermRecord } from "../log.ts";
import type { Space } from "./bundle.ts";
import { tableOf } from "./schema.ts";
import { insertRow, keyState } from "./version_rows.ts";
import type { VersionStatements } from "./version_statements.ts";

/**
 * Each document becomes the version that the entry of its last change made, whose writer had seen nothing else. In the order of ids, so that rows are put at the end
 * of their tree; yields after each slice.
 */
export function* adoptDocuments(
  db: DatabaseSync,
  statements: VersionStatements,
  terms: readonly TermRecord[],
  collection: CollectionNumber,
  space: Space,
): Generator<void, void, void> {
  const page = db.prepare(
    `SELECT id, seq, modified_ms FROM ${tableOf(collection)} WHERE id > ? ORDER BY id LIMIT ?`,
  );
  for (let after = "";;) {
    const rows = page.all(after, limits.reclaimRows);
    for (const { id, seq, modified_ms } of rows) {
      const change = Number(seq), run = termNumberAt(terms, change);
      insertRow(statements, space.number, String(id), {
        ...{ run, seq: change, change, modified_ms: Number(modified_ms), deleted: 0, state: keyState.shown },
        vector: null,
      }, null);
    }
    const last = rows.at(-1);
    if (rows.length < limits.reclaimRows || last === undefined) return;
    after = String(last["id"]);
    yield;
  }
}

/** Number of the term in which entry `seq` was written. */
function termNumberAt(terms: readonly TermRecord[], seq: number): number {
  let low = 0, high = terms.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((terms[middle] as TermRecord).firstSeq <= seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
