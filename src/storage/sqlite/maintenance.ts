import type { DatabaseSync } from "node:sqlite";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { transaction } from "./connection.ts";
import { indexTableOf } from "./index_sql.ts";
import type { IndexWriter } from "./index_writer.ts";
import type { MetaWriter } from "./meta_writer.ts";
import { tableOf } from "./schema.ts";
import type { State } from "./state.ts";
import type { DropParts } from "./version_drops.ts";
import { writeDropped } from "./version_drops.ts";

/** Answer of `PRAGMA wal_checkpoint`. `log`: pages in the WAL; `checkpointed`: those already in the data file. */
interface CheckpointRow {
  readonly busy: number;
  readonly log: number;
  readonly checkpointed: number;
}

/** `noop` only tells; `passive` never waits; `truncate` empties the WAL unless a reader or writer is in the way. */
export function checkpoint(db: DatabaseSync, mode: "noop" | "passive" | "truncate"): CheckpointRow {
  return db.prepare(`PRAGMA wal_checkpoint(${mode})`).get() as unknown as CheckpointRow;
}

/** More than this times `limits.checkpointPages` is too long for the main thread. */
const checkpointsAtOnce = 2;

/**
 * Checkpoints on the main thread while the database runs; true, and nothing is done, when there are so many pages that a
 * worker should do it (`checkpoint_task.ts`).
 */
export function checkpointIfDue(db: DatabaseSync, crashPoint: CrashPoint): boolean {
  const { log, checkpointed } = checkpoint(db, "noop"), due = log - checkpointed;
  if (due < limits.checkpointPages) return false;
  if (due > checkpointsAtOnce * limits.checkpointPages) return true;
  crashPoint("checkpoint:before");
  checkpoint(db, "passive");
  crashPoint("checkpoint:after");
  return false;
}

/** What one slice works with. */
export interface ReclaimParts extends DropParts {
  readonly indexes: IndexWriter;
}

/**
 * Writes a slice of the tombstones of a dropped collection, or deletes up to `limits.reclaimRows` rows of one dropped collection or index, and its table once it is empty: dropping a full
 * table in one go would take as long as it is large. True when more is left.
 */
export function reclaimSlice(parts: ReclaimParts): boolean {
  const { state } = parts;
  // Other databases wait for these.
  if ((state.bundle?.drops.length ?? 0) > 0) writeDropped(parts);
  else if (state.indexes.dropped.size > 0) reclaimIndex(parts);
  else if (state.dropped.size > 0) reclaimCollection(parts);
  return isReclaimDue(state);
}

export function isReclaimDue({ indexes, dropped, bundle }: State): boolean {
  return indexes.dropped.size + dropped.size + (bundle?.drops.length ?? 0) > 0;
}

function reclaimCollection({ writer, state, tables, meta, crashPoint }: ReclaimParts): void {
  const [number] = state.dropped;
  if (number === undefined) return;
  const freed = transaction(writer, () => {
    if (state.clean) meta.cleanSeq(null);
    const { changes } = tables.get(number, "free").run(limits.reclaimRows);
    crashPoint("reclaim:rows");
    if (Number(changes) === limits.reclaimRows) return false;
    tables.forget(number);
    writer.prepare(`DROP TABLE ${tableOf(number)}`).run();
    meta.removeCollection(number);
    crashPoint("reclaim:table");
    return true;
  });
  state.clean = false;
  if (!freed) return;
  state.dropped.delete(number);
  state.collections.delete(number);
}

function reclaimIndex({ writer, state, meta, indexes, crashPoint }: ReclaimParts): void {
  const [number] = state.indexes.dropped;
  if (number === undefined) return;
  const table = indexTableOf(number);
  const keys = writer.prepare(`SELECT name FROM pragma_table_info('${table}') ORDER BY pk`).all();
  const key = keys.map(({ name }) => String(name)).join(", ");
  const freed = transaction(writer, () => {
    if (state.clean) meta.cleanSeq(null);
    // One that was being prepared when this process was not there yet is still kept.
    indexes.unlink(number);
    const { changes } = writer.prepare(
      `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM ${table} ORDER BY ${key} LIMIT ?)`,
    ).run(limits.reclaimRows);
    crashPoint("reclaim:rows");
    if (Number(changes) === limits.reclaimRows) return false;
    writer.prepare(`DROP TABLE ${table}`).run();
    indexes.remove(number);
    crashPoint("reclaim:table");
    return true;
  });
  state.clean = false;
  if (freed) state.indexes = state.indexes.freed(number);
}

/**
 * Moves everything into the data file and then marks it: a copy of the file that has the mark has all of the rest.
 * Without the mark (a reader of another connection was in the way) the file is still right, with its WAL.
 */
export function closeCleanly(db: DatabaseSync, state: State, meta: MetaWriter, crashPoint: CrashPoint): void {
  crashPoint("close:before");
  const emptied = checkpoint(db, "truncate").busy === 0;
  crashPoint("close:checkpointed");
  if (state.clean || !emptied) return;
  transaction(db, () => meta.cleanSeq(state.position.seq));
  crashPoint("close:marked");
  checkpoint(db, "truncate");
}
