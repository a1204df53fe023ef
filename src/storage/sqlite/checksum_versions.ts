/** Checksums of versions, for comparing nodes: what keys hold beside the documents that they show. */
import type { DatabaseSync } from "node:sqlite";
import { hex } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import { limits } from "../../base/limits.ts";
import { ContentSum } from "../../document/content_hash.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import type { Bundle, Space } from "./bundle.ts";
import { foldName } from "./fold_name.ts";
import type { State } from "./state.ts";
import type { JudgedRow } from "./version_rows.ts";
import { changeOf, droppedRow } from "./version_rows.ts";

/** No collection can have such a name. */
const suffix = " (versions)";

/** The versions of one collection, told as one of its own. */
export interface VersionsTold {
  readonly name: string;
  readonly space: Space;
  /** Keys, as the catalog says. */
  readonly keptCount: number;
}

/**
 * Those of all collections that are there or were (`only` null), of that one, or where `only` is the name of versions, of these alone. By
 * name; none without the bundle.
 */
export function versionsOf({ bundle, collections, numbers }: State, only: string | null): VersionsTold[] {
  if (bundle === null) return [];
  const folded = only === null ? null : foldName(only);
  return [...bundle.spaces].map((space): VersionsTold => {
    const number = numbers.get(space.name),
      collection = number === undefined ? undefined : collections.get(number);
    return {
      name: `${collection?.name ?? space.name}${suffix}`,
      space,
      keptCount: (collection?.documents ?? 0) + space.tombstones + space.conflicts,
    };
  }).filter(({ space, name }) => folded === null || folded === space.name || folded === foldName(name))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** True for the name of versions. */
export function areVersions(name: string | null): boolean {
  return name !== null && foldName(name).endsWith(suffix);
}

/** Called with each key once `sum` has it, then, after each slice, with null. */
type Tell = (
  key: { readonly row: number; readonly id: string; readonly seq: number; readonly body: string } | null,
  sum: ContentSum,
) => void;

/** Rows of one slice; more than the versions of one key. */
const sliceRows = 2 * limits.vectorEntriesMax;

type Row = JudgedRow & { readonly id: string };

export interface VersionsAsked {
  readonly bundle: Bundle;
  readonly space: Space;
  /** Without what is each master's own: its numbers of runs, by which rows are sorted, and of its entries. */
  readonly masters: boolean;
}

/** Each key counts once, with all that it holds; in the order of ids. */
export function sumVersions(
  db: DatabaseSync,
  { bundle, space: { number }, masters }: VersionsAsked,
  context: Pick<TaskContext, "stopped">,
  tell: Tell | null,
): ContentSum {
  const page = db.prepare(
    "SELECT id, run, seq, change, modified_ms, deleted, state, vector, body IS NULL AS bare FROM versions " +
      "WHERE collection = ? AND id > ? ORDER BY id, run LIMIT ?",
  );
  // One by one: they may be large.
  const body = db.prepare(
    "SELECT body FROM versions WHERE collection = ? AND id = ? AND run = ?",
  );
  const bodyOf = ({ id, run, bare }: Row): string =>
    bare === 1 ? "" : String(body.get(number, id, run)?.["body"]);
  const sum = new ContentSum();
  for (let after = "";;) {
    if (context.stopped) throw new DfdbError("closing", "the verification was stopped");
    const rows = page.all(number, after, sliceRows) as unknown as Row[], whole = rows.length < sliceRows;
    const last = rows.at(-1)?.id;
    for (let from = 0, to = 0; from < rows.length; from = to) {
      const { id } = rows[from] as Row;
      while (rows[to]?.id === id) to++;
      // The last one may have more rows.
      if (id === last && !whole) break;
      const own = rows.slice(from, to), dropped = droppedRow(bundle, number, own);
      const told = dropped === null ? own : [{ ...dropped, id, bare: 1 }];
      const texts = told.map((row) => `${textOf(bundle, row, masters)} ${bodyOf(row)}`);
      sum.add(id, (masters ? texts.sort() : texts).join("\n"));
      tell?.({ row: 0, id, seq: changeOf(told), body: "" }, sum);
      after = id;
    }
    if (rows.length > 0) tell?.(null, sum);
    if (whole) return sum;
  }
}

function textOf({ runs }: Bundle, row: JudgedRow, masters: boolean): string {
  const { run, seq, change, modified_ms: modified, deleted, state, vector } = row;
  const own = masters ? [] : [change];
  return [runs.runOf(run), seq, ...own, modified, deleted, state, vector === null ? "" : hex(vector)].join(
    " ",
  );
}
