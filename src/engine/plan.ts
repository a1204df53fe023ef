import type { DfdbError } from "../base/errors.ts";
import type { NodeId, WallMs } from "../base/ids.ts";
import type { Position, Term } from "../storage/log.ts";
import type { WriteTransaction } from "../storage/storage.ts";

/**
 * A write that somebody wants. It runs inside the write transaction, together with others: it reads, decides and
 * appends entries. It must be repeatable (a group that fails as a whole is run again one by one), and must throw
 * before its first `append` or not at all.
 */
export interface Plan<Value> {
  /** Rough size in memory, bytes: bounds the queue and the group. */
  readonly bytes: number;
  /** The run's `term` entry is kept even when nothing else is written. */
  readonly beginsRun?: boolean;
  /** Answered as a write is, also where it appends nothing: what it found may be a write that waits for followers still. */
  readonly asWrite?: boolean;
  run(tx: WriteTransaction, wallMs: WallMs): Value;
}

/**
 * A write that would hold the event loop too long: alone in its transaction, a slice in a macrotask each, nothing kept
 * when it throws.
 */
export interface SlicedPlan<Value> {
  readonly bytes: number;
  /** As in {@linkcode Plan}. */
  readonly asWrite?: boolean;
  slices(tx: WriteTransaction, wallMs: WallMs): Generator<void, Value, void>;
}

/** The outcome of a plan that is durable on this node, and on as many followers as `EngineOptions.replicated` waits for. */
export interface Committed<Value> {
  readonly value: Value;
  /** The log's end right after the plan: the plan's own entry when it made one. */
  readonly position: Position;
}

/** Who leads, as the commit path needs it. */
export interface Leadership extends Term {
  readonly nodeId: NodeId;
}

/**
 * Whether this node may write now. Asked in the macrotask of every COMMIT: throws `not_leader`, `read_only`,
 * `closing`, ... ; returns the leadership to write under.
 */
export type Gate = () => Leadership;

/** This node had lost the right to write when a COMMIT returned. */
export interface LostRight {
  /** What the writes of the group are answered with (`outcome_unknown`). */
  readonly error: DfdbError;
  /** The commit signal is not given: nobody is to see an entry of who may not lead. */
  readonly quiet: boolean;
}
