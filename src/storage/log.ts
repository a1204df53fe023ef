import type { Epoch, NodeId, RunId, Seq, WallMs } from "../base/ids.ts";
import { epochOf, noRun, seqOf } from "../base/ids.ts";

/** One leadership: the epoch orders leaderships, the run tells two of the same epoch apart. */
export interface Term {
  readonly epoch: Epoch;
  readonly run: RunId;
}

/** A term as the database remembers it, for ever. */
export interface TermRecord extends Term {
  readonly nodeId: NodeId;
  /** Seq of its `term` entry. */
  readonly firstSeq: Seq;
}

/**
 * A place in a history. Two nodes that have equal positions have equal logs up to there: `chain` is the rolling
 * CRC-32 over everything before (see `chain.ts`).
 */
export interface Position extends Term {
  readonly seq: Seq;
  readonly chain: number;
}

/** The position of a database that never held an entry. */
export const origin: Position = { epoch: epochOf(0), run: noRun, seq: seqOf(0), chain: 0 };

export function samePosition(a: Position, b: Position): boolean {
  return a.seq === b.seq && a.chain === b.chain && a.epoch === b.epoch && a.run === b.run;
}

/** One row of the log. `payload` is shipped and stored as it is, never encoded again (see `entry_codec.ts`). */
export interface LogEntry {
  readonly seq: Seq;
  readonly term: Term;
  /** Rolling CRC-32 up to and with this entry. */
  readonly chain: number;
  /** The leader's wall clock when it made the entry. */
  readonly wallMs: WallMs;
  readonly payload: Uint8Array;
}

/** Bounds of one read of the log; at least one entry is returned however large it is. */
export interface LogReadLimits {
  /** Sum of payload bytes after which no further entry is added. */
  readonly bytesMax: number;
  readonly entriesMax: number;
}

/** Reads committed entries only. Every consumer keeps its own position; nothing is queued for anybody. */
export interface LogReader {
  /** Seq of the first entry kept; `last.seq + 1` when none is kept. */
  readonly first: Seq;
  /** The applied position of this database. */
  readonly last: Position;
  /** All terms, oldest first. */
  readonly terms: readonly TermRecord[];
  /** The position right after entry `seq` (`origin` for 0). "compacted": trimmed away; "ahead": not here yet. */
  at(seq: Seq): Position | "compacted" | "ahead";
  /** Entries after `after`, in order; empty when there is nothing newer; "compacted" when they are gone. */
  entries(after: Seq, limits: LogReadLimits): readonly LogEntry[] | "compacted";
  /** Payload bytes of all entries after `seq` that are kept. */
  bytesAfter(seq: Seq): number;
}

/** A log that tells the age of an entry without reading it. */
export interface TimedLogReader extends LogReader {
  /** Wall time of entry `seq`; null when it is not kept. */
  wallMsAt(seq: Seq): WallMs | null;
}
