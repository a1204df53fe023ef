import type { DatabaseSync, StatementSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { Seq, WallMs } from "../../base/ids.ts";
import { seqOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { TrimPolicy } from "../storage.ts";
import { transaction } from "./connection.ts";
import type { MetaWriter } from "./meta_writer.ts";
import type { State, Trimmed } from "./state.ts";
import { termOf } from "./state.ts";

interface Row {
  readonly seq: number;
  readonly term: number;
  readonly chain: number;
  readonly wall_ms: number;
  readonly end_bytes: number;
}

/** One slice to be deleted. */
export interface TrimPlan {
  /** The last entry that goes. */
  readonly last: Row;
  /** The slice ended by its own bounds. */
  readonly more: boolean;
}

export interface LogTrimmerOptions {
  readonly db: DatabaseSync;
  readonly state: State;
  readonly meta: MetaWriter;
  readonly crashPoint: CrashPoint;
  /** Of an entry that is kept, else null. */
  readonly wallMsAt: (seq: Seq) => WallMs | null;
}

/** Deletes the oldest entries, a slice at a time; never the last one. */
export class LogTrimmer {
  readonly #options: LogTrimmerOptions;
  readonly #oldest: StatementSync;
  readonly #delete: StatementSync;

  constructor(options: LogTrimmerOptions) {
    const { db } = this.#options = options;
    // Columns before the payload: the pages of large entries are not read.
    this.#oldest = db.prepare(
      "SELECT seq, term, chain, wall_ms, end_bytes FROM log WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?",
    );
    this.#delete = db.prepare("DELETE FROM log WHERE seq <= ?");
  }

  /** What the next slice deletes; null when nothing is due. Cheap when neither limit is reached. */
  plan(policy: TrimPolicy): TrimPlan | null {
    const { endBytes, trimmed, position } = this.#options.state;
    const oldBefore = this.#oldBefore(policy);
    const bytes = endBytes - trimmed.endBytes, holdFrom = policy.hold?.from ?? Infinity;
    const before = (bytesMax: number): number => bytes > bytesMax ? endBytes - kept(bytesMax) : 0;
    const bytesBefore = before(policy.bytesMax);
    if (bytesBefore === 0 && oldBefore === 0) return null;
    const heldBefore = before(Math.max(policy.bytesMax, policy.hold?.bytesMax ?? 0));
    const rows = this.#oldest.all(trimmed.position.seq, position.seq, limits.trimEntries) as unknown as Row[];
    let last: Row | null = null;
    for (const row of rows) {
      // By the bytes before it: the entry that crosses the limit goes too.
      const held = row.seq >= holdFrom;
      const over = (last?.end_bytes ?? trimmed.endBytes) < (held ? heldBefore : bytesBefore);
      const old = row.wall_ms < oldBefore && !held;
      if (!over && !old) return last === null ? null : { last, more: false };
      if (last !== null && row.end_bytes - trimmed.endBytes > limits.trimBytes) return { last, more: true };
      last = row;
    }
    return last === null ? null : { last, more: rows.length === limits.trimEntries };
  }

  /** Deletes a slice: durable when it returns. */
  carryOut({ last }: TrimPlan): void {
    const { db, state, meta, crashPoint } = this.#options;
    const trimmed = trimmedAt(state, last);
    transaction(db, () => {
      // Trimming is a write like any other: a copy of the file taken from now on is of a file in use.
      if (state.clean) meta.cleanSeq(null);
      this.#delete.run(last.seq);
      crashPoint("trim:rows");
      meta.trimmed(trimmed, last.term);
      crashPoint("trim:before");
    });
    state.clean = false;
    state.trimmed = trimmed;
    crashPoint("trim:after");
  }

  /** Entries stamped before this wall time are old; 0: none is. */
  #oldBefore({ age }: TrimPolicy): number {
    const { trimmed, position } = this.#options.state;
    // A single entry is the last one.
    if (age === null || position.seq - trimmed.position.seq < 2) return 0;
    const newest = this.#options.wallMsAt(position.seq) ?? 0;
    return Math.max(0, Math.min(age.now, newest) - age.msMax);
  }
}

/** Bytes that stay when there are more than `bytesMax`. */
function kept(bytesMax: number): number {
  return bytesMax - Math.min(limits.trimBytes / 2, Math.floor(bytesMax / 8));
}

function trimmedAt(state: State, { seq, term, chain, end_bytes: endBytes }: Row): Trimmed {
  const record = termOf(state, term);
  if (record === undefined) {
    throw new DfdbError("data_corrupt", `entry ${seq} of the log is of an unknown term`);
  }
  return { position: { epoch: record.epoch, run: record.run, seq: seqOf(seq), chain }, endBytes };
}
