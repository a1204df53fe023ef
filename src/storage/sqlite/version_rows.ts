/** Rows of `versions`, and what a write or a drop makes of those of a key: the same for leader, follower and reader. */
import type { Seq, WallMs } from "../../base/ids.ts";
import { seqOf } from "../../base/ids.ts";
import type { ChangeVector } from "../../document/change_vector.ts";
import { decodeVector, encodeVector, vectorOf } from "../../document/change_vector.ts";
import type { Dot } from "../../document/run_tree.ts";
import type { BundleCatalog, KnownRuns, PendingDrop, Space } from "./bundle.ts";
import type { VersionStatements } from "./version_statements.ts";

export const keyState = { shown: 0, deleted: 1, conflict: 2 } as const;
export type KeyState = (typeof keyState)[keyof typeof keyState];

export interface VersionRow {
  readonly run: number;
  readonly seq: number;
  readonly change: number;
  readonly modified_ms: number;
  /** 0 or 1. */
  readonly deleted: number;
  /** Of the key: the same in all its rows. */
  readonly state: KeyState;
  /** Null: the dot alone. */
  readonly vector: Uint8Array | null;
}

export interface JudgedRow extends VersionRow {
  /** 1: there is no body. */
  readonly bare: number;
}

/** An entry of this history that replaces what a key holds. */
export interface Replacing {
  /** Number of its term. */
  readonly run: number;
  readonly seq: Seq;
  readonly wallMs: WallMs;
}

export function dotOf(runs: KnownRuns, { run, seq }: VersionRow): Dot {
  return { run: runs.runOf(run), seq: seqOf(seq) };
}

export function vectorOfRow(runs: KnownRuns, row: VersionRow): ChangeVector {
  return row.vector === null ? [dotOf(runs, row)] : decodeVector(row.vector);
}

/** As rows have it. */
export function storedVector(vector: ChangeVector): Uint8Array | null {
  return vector.length === 1 ? null : encodeVector(vector);
}

/** The version of `entry` that has seen all of `rows`. */
export function replacing(
  runs: KnownRuns,
  rows: readonly VersionRow[],
  { run, seq, wallMs }: Replacing,
  deleted: boolean,
): VersionRow {
  const gone = deleted ? 1 : 0;
  const row = {
    run,
    seq,
    change: seq,
    modified_ms: wallMs as number,
    deleted: gone,
    state: gone,
    vector: null,
  } as const;
  const [first] = rows;
  if (first === undefined) return row;
  // The same entry changes it once more: that is one change.
  if (rows.length === 1 && first.seq === seq && first.run === run) {
    return { ...row, modified_ms: first.modified_ms, vector: first.vector };
  }
  return { ...row, modified_ms: modifiedAfter(rows, wallMs), vector: seenBy(runs, rows, run, seq) };
}

/** `nextModified` of rows. */
function modifiedAfter(rows: readonly VersionRow[], wallMs: number): number {
  let highest = wallMs;
  for (const { modified_ms: modified } of rows) if (modified >= highest) highest = modified + 1;
  return highest;
}

/** What whoever wrote entry `seq` of run `run` over `rows` has seen. */
function seenBy(runs: KnownRuns, rows: readonly VersionRow[], run: number, seq: Seq): Uint8Array | null {
  if (rows.every((row) => row.vector === null && runs.isBefore(run, row.run, row.seq))) return null;
  const dots = rows.flatMap((row) => vectorOfRow(runs, row));
  return storedVector(vectorOf(runs.tree, [...dots, { run: runs.runOf(run), seq }]));
}

/** What a drop that is not written yet makes of a key; null: nothing. */
export function droppedRow(
  { drops, runs }: Pick<BundleCatalog, "drops" | "runs">,
  space: number,
  rows: readonly VersionRow[],
): VersionRow | null {
  const [first] = rows;
  if (drops.length === 0 || first === undefined || first.state === keyState.deleted) return null;
  const change = changeOf(rows), drop = drops.find((one) => one.space === space && one.change > change);
  return drop === undefined ? null : replacedByDrop(runs, rows, drop);
}

export function replacedByDrop(runs: KnownRuns, rows: readonly VersionRow[], drop: PendingDrop): VersionRow {
  return replacing(runs, rows, { run: drop.run, seq: drop.change, wallMs: drop.wallMs }, true);
}

/** Seq of the last entry that brought a version here. */
export function changeOf(rows: readonly VersionRow[]): number {
  let change = 0;
  for (const row of rows) if (row.change > change) change = row.change;
  return change;
}

/** Rows of a key as they are to be; what a drop has made of them is written first. */
export function settledRows<Row extends VersionRow>(
  statements: VersionStatements,
  bundle: BundleCatalog,
  { number }: Space,
  id: string,
  read: "key" | "judged",
): Row[] {
  const rows = statements.get(read).all(number, id) as unknown as Row[];
  const dropped = droppedRow(bundle, number, rows);
  if (dropped === null) return rows;
  replaceRows(statements, number, id, rows, dropped, null);
  return statements.get(read).all(number, id) as unknown as Row[];
}

/** One row in the place of those that the key has. */
export function replaceRows(
  statements: VersionStatements,
  space: number,
  id: string,
  rows: readonly VersionRow[],
  row: VersionRow,
  body: Uint8Array | null,
): void {
  const { run, seq, change, modified_ms: modified, deleted, state, vector } = row;
  if (rows.length === 1) {
    // In its place: half the price.
    if (rows[0]?.run === run) {
      statements.get("again").run(seq, change, modified, deleted, state, vector, body, space, id, run);
      return;
    }
    statements.get("replace").run(run, seq, change, modified, deleted, state, vector, body, space, id);
    return;
  }
  if (rows.length > 1) statements.get("removeKey").run(space, id);
  insertRow(statements, space, id, row, body);
}

export function insertRow(
  statements: VersionStatements,
  space: number,
  id: string,
  { run, seq, change, modified_ms: modified, deleted, state, vector }: VersionRow,
  body: Uint8Array | null,
): void {
  statements.get("insert").run(space, id, run, seq, change, modified, deleted, state, vector, body);
}
