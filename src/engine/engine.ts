/**
 * The commit path. How it works:
 * 1. `submit` queues a plan and asks for a flush in a later macrotask: everything that arrives until then, and
 *    everything that arrives while a commit runs, shares one transaction and one fsync.
 * 2. A flush runs the plans in order in one write transaction. A plan that throws before it appended anything fails
 *    alone. The gate is asked last, in the same macrotask as COMMIT: nothing can change in between.
 * 3. After COMMIT every plan of the group is answered and the commit signal tells the new end of the log.
 * 4. If something failed that concerns the whole transaction, nothing was kept: the plans run again one by one, so
 *    that only the guilty one fails.
 */
import { assert, InvariantError } from "../base/assert.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Emitter, Signal } from "../base/signal.ts";
import { signal } from "../base/signal.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { LogEntry, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { Storage, WriteTransaction } from "../storage/storage.ts";
import type { Committed, Gate, Plan } from "./plan.ts";

export interface Engine {
  /** The end of the log; emits after every commit and every apply. */
  readonly committed: Signal<Position>;
  /**
   * Resolves when the plan is durable here. Rejects with what the plan threw, with what the gate says, `busy` (queue
   * full), `closing`, `disk_full`, or `outcome_unknown` when the disk failed in COMMIT.
   */
  submit<Value>(plan: Plan<Value>): Promise<Committed<Value>>;
  /** Follower: applies entries in one transaction, durable when it returns. Throws as `WriteTransaction.apply`. */
  apply(entries: readonly LogEntry[]): Position;
  /** Refuses new plans with `closing` and resolves when what was queued is answered. */
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly gate: Gate;
  /** Called after a commit whose outcome nobody can know: the process must end. */
  readonly onFatal: (error: DfdbError) => void;
  /** Called when the disk is full; nothing was kept. */
  readonly onDiskFull: (error: DfdbError) => void;
}

interface Queued {
  readonly plan: Plan<unknown>;
  readonly resolve: (committed: Committed<unknown>) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { readonly value: unknown; readonly position: Position } | { readonly error: unknown };

/** Thrown to leave a transaction in which nothing was written; never seen outside. */
class NothingToCommit extends Error {}

export function engine(options: EngineOptions): Engine {
  return new CommitQueue(options);
}

class CommitQueue implements Engine {
  readonly #options: EngineOptions;
  readonly #committed: Emitter<Position>;
  #queue: Queued[] = [];
  #queuedBytes = 0;
  #scheduled = false;
  #closing = false;
  #idle: (() => void) | null = null;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#committed = signal(options.storage.log.last);
  }

  get committed(): Signal<Position> {
    return this.#committed;
  }

  submit<Value>(plan: Plan<Value>): Promise<Committed<Value>> {
    if (this.#closing) return Promise.reject(new DfdbError("closing", "This node is stopping"));
    if (
      this.#queue.length >= limits.commitQueueMax ||
      (this.#queue.length > 0 && this.#queuedBytes + plan.bytes > limits.commitQueueBytesMax)
    ) {
      return Promise.reject(new DfdbError("busy", "Too many writes are waiting; try again in a moment"));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ plan, resolve: resolve as Queued["resolve"], reject });
      this.#queuedBytes += plan.bytes;
      this.#schedule();
    });
  }

  apply(entries: readonly LogEntry[]): Position {
    const position = this.#options.storage.write((tx) => {
      let last = tx.position;
      for (const entry of entries) last = tx.apply(entry);
      return last;
    });
    this.#committed.emit(position);
    return position;
  }

  close(): Promise<void> {
    this.#closing = true;
    if (this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.clock.macrotask(() => {
      this.#scheduled = false;
      this.#commit(this.#takeGroup());
      if (this.#queue.length > 0) this.#schedule();
      else this.#idle?.();
    });
  }

  /** The longest head of the queue that fits one commit. */
  #takeGroup(): Queued[] {
    let count = 0, bytes = 0;
    for (const queued of this.#queue) {
      if (
        count > 0 &&
        (count >= limits.commitGroupMax || bytes + queued.plan.bytes > limits.commitGroupBytesMax)
      ) break;
      count++;
      bytes += queued.plan.bytes;
    }
    this.#queuedBytes -= bytes;
    if (count === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      return all;
    }
    return this.#queue.splice(0, count);
  }

  #commit(group: readonly Queued[]): void {
    const before = this.#options.storage.log.last;
    const outcomes: Outcome[] = [];
    try {
      this.#options.storage.write((tx) => this.#runGroup(tx, group, outcomes));
    } catch (error) {
      if (!(error instanceof NothingToCommit)) return this.#failed(group, error);
    }
    const after = this.#options.storage.log.last, unchanged = samePosition(before, after);
    group.forEach((queued, i) => {
      const outcome = outcomes[i];
      assert(outcome !== undefined, "every plan of a committed group has an outcome");
      if ("error" in outcome) queued.reject(outcome.error);
      // Where nothing was kept, a position inside the transaction (after the run's term entry) never came to be.
      else queued.resolve(unchanged ? { value: outcome.value, position: after } : outcome);
    });
    if (!unchanged) this.#committed.emit(after);
  }

  #runGroup(tx: WriteTransaction, group: readonly Queued[], outcomes: Outcome[]): void {
    const leadership = this.#options.gate();
    const wallMs = this.#options.clock.wall();
    const begin = tx.position;
    if (begin.run !== leadership.run) {
      // The run's first write: its `term` entry goes before it, in the same transaction.
      tx.append(
        [{ kind: "term", epoch: leadership.epoch, run: leadership.run, nodeId: leadership.nodeId }],
        wallMs,
      );
    }
    const written = tx.position;
    for (const { plan } of group) {
      const last = tx.position;
      try {
        const value = plan.run(tx, wallMs);
        outcomes.push({ value, position: tx.position });
      } catch (error) {
        // Thrown after an append: the transaction holds a part of the plan and cannot be kept.
        if (!(error instanceof DfdbError) || !samePosition(last, tx.position)) throw error;
        outcomes.push({ error });
      }
    }
    if (samePosition(written, tx.position)) throw new NothingToCommit();
    assert(this.#options.gate().run === leadership.run, "leadership does not change inside a macrotask");
  }

  /** Nothing of the group was kept. */
  #failed(group: readonly Queued[], error: unknown): void {
    if (error instanceof InvariantError) throw error; // ends the process: nothing may go on after it
    const code = error instanceof DfdbError ? error.code : "internal";
    if (code === "io_error" || code === "data_corrupt") {
      const unknown = new DfdbError("outcome_unknown", "The disk failed while the write was committed", {
        cause: error,
      });
      for (const queued of group) queued.reject(unknown);
      this.#options.onFatal(error as DfdbError);
    } else if (group.length > 1 && code !== "disk_full" && !this.#gateRefuses()) {
      for (const queued of group) this.#commit([queued]);
    } else {
      if (code === "disk_full") this.#options.onDiskFull(error as DfdbError);
      for (const queued of group) queued.reject(error);
    }
  }

  #gateRefuses(): boolean {
    try {
      this.#options.gate();
      return false;
    } catch (error) {
      assert(error instanceof DfdbError, `the gate throws DfdbError only: ${messageOf(error)}`);
      return true;
    }
  }
}
