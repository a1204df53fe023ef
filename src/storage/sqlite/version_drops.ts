import type { DatabaseSync } from "node:sqlite";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { transaction } from "./connection.ts";
import type { MetaWriter } from "./meta_writer.ts";
import type { State } from "./state.ts";
import type { TableStatements } from "./statements.ts";
import type { VersionRow } from "./version_rows.ts";
import { changeOf, keyState, replacedByDrop, replaceRows } from "./version_rows.ts";

/** What a slice works with. */
export interface DropParts {
  readonly writer: DatabaseSync;
  readonly state: State;
  readonly tables: TableStatements;
  readonly meta: MetaWriter;
  readonly crashPoint: CrashPoint;
}

type Row = VersionRow & { readonly id: string };

/**
 * Writes the tombstones of up to `limits.reclaimRows` rows of the collection that was dropped first. What is read does not change by it: until
 * then whoever reads a row makes the tombstone of it.
 */
export function writeDropped({ writer, state, tables, meta, crashPoint }: DropParts): void {
  const { bundle } = state, drop = bundle?.drops[0], statements = tables.versions;
  if (bundle === null || drop === undefined) return;
  const { change, space } = drop;
  const after = transaction(writer, (): string | null => {
    if (state.clean) meta.cleanSeq(null);
    const rows = statements.get("after").all(space, drop.after, limits.reclaimRows) as unknown as Row[];
    const keys = keysOf(rows), whole = rows.length < limits.reclaimRows, end = rows.at(-1)?.id;
    // The last one may have more rows.
    if (!whole && end !== undefined) {
      if (keys.size > 1) keys.delete(end);
      else keys.set(end, statements.get("key").all(space, end) as unknown as VersionRow[]);
    }
    for (const [id, own] of keys) {
      if (own[0]?.state === keyState.deleted || changeOf(own) >= change) continue;
      replaceRows(statements, space, id, own, replacedByDrop(bundle.runs, own, drop), null);
    }
    const last = whole ? null : [...keys.keys()].at(-1) as string;
    if (last === null) statements.get("dropDone").run(change, space);
    else statements.get("dropped").run(last, change, space);
    crashPoint("drop:slice");
    return last;
  });
  state.clean = false;
  const rest = bundle.drops.slice(1);
  bundle.drops = after === null ? rest : [{ ...drop, after }, ...rest];
}

function keysOf(rows: readonly Row[]): Map<string, VersionRow[]> {
  const keys = new Map<string, VersionRow[]>();
  for (const row of rows) {
    const own = keys.get(row.id);
    if (own === undefined) keys.set(row.id, [row]);
    else own.push(row);
  }
  return keys;
}
