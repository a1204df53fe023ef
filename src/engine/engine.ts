/**
 * The commit path. How it works:
 * 1. `submit` queues a plan and asks for a flush in a later macrotask: everything that arrives until then, and
 *    everything that arrives while a commit runs, shares one transaction and one fsync.
 * 2. A flush runs the plans in order in one write transaction. A plan that throws before it appended anything fails
 *    alone. The gate is asked last, in the same macrotask as COMMIT: nothing can change in between.
 * 3. After COMMIT the commit signal tells the new end of the log, and every plan of the group is answered: at once, or
 *    when enough followers hold the group. The next group does not wait for that.
 * 4. If something failed that concerns the whole transaction, nothing was kept: the plans run again one by one, so
 *    that only the guilty one fails.
 * 5. A sliced plan, or an apply of a large entry, has a transaction over many macrotasks to itself; the queue waits.
 */
import { assert, InvariantError } from "../base/assert.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { WallMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Emitter, Signal } from "../base/signal.ts";
import { signal } from "../base/signal.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { LogEntry, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import { isLarge } from "../storage/entry_codec.ts";
import type { Storage, WriteTransaction } from "../storage/storage.ts";
import type { Answer, Outcome } from "./group_answers.ts";
import { GroupAnswers } from "./group_answers.ts";
import type { Committed, Gate, Leadership, LostRight, Plan, SlicedPlan } from "./plan.ts";
import { Rules } from "./rules.ts";
import { applyInSlices, writeInSlices } from "./sliced_write.ts";

export interface Engine {
  /** The end of the log; emits after every commit and every apply. */
  readonly committed: Signal<Position>;
  /**
   * Resolves when the plan is durable here, and, if it wrote, what `replicated` waits for has come. Rejects with what
   * the plan threw, with what the gate says, `busy` (queue full), `closing`, `disk_full`, with `outcome_unknown` when the
   * disk failed in COMMIT, or with what `replicated` rejects with: the write is durable here then.
   */
  submit<Value>(plan: Plan<Value> | SlicedPlan<Value>): Promise<Committed<Value>>;
  /**
   * Follower: applies entries in one transaction, durable when it returns or resolves; a promise where one of them is
   * large, or something else has the database to itself. Throws or rejects as `WriteTransaction.apply`: nothing was kept.
   */
  apply(entries: readonly LogEntry[]): Position | Promise<Position>;
  /** `Storage.exchange`, when what has begun is over; then tells where the log ends now. Writes wait meanwhile. */
  exchange(run: () => Promise<void>): Promise<void>;
  /** Refuses new plans with `closing` and resolves when all that was begun is over and answered. */
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly gate: Gate;
  /**
   * Asked after each commit with the new end of the log: null when the writes may be answered at once, else what has to
   * resolve first. A rejection goes to every plan of the group that wrote.
   */
  readonly replicated?: (position: Position) => Promise<void> | null;
  /**
   * Asked right after each COMMIT that changed something, in its macrotask: not null when this node had lost the right to write
   * before it returned.
   */
  readonly stillLeads?: () => LostRight | null;
  /** Called after a commit whose outcome nobody can know: the process must end. */
  readonly onFatal: (error: DfdbError) => void;
  /** Called when the disk is full; nothing was kept. */
  readonly onDiskFull: (error: DfdbError) => void;
}

interface Queued extends Answer {
  readonly plan: Plan<unknown> | SlicedPlan<unknown>;
}

/** Thrown to leave a transaction in which nothing was written; never seen outside. */
class NothingToCommit extends Error {}

export function engine(options: EngineOptions): Engine {
  return new CommitQueue(options);
}

class CommitQueue implements Engine {
  readonly #options: EngineOptions;
  readonly #committed: Emitter<Position>;
  readonly #answers: GroupAnswers;
  readonly #rules = new Rules();
  #queue: Queued[] = [];
  #queuedBytes = 0;
  /** What wants the database for more than a macrotask, and waits for its turn; each calls `#over` at its end. */
  readonly #jobs: (() => void)[] = [];
  #scheduled = false;
  /** One of them has it. */
  #exclusive = false;
  #closing = false;
  #idle: (() => void) | null = null;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#committed = signal(options.storage.log.last);
    this.#answers = new GroupAnswers({
      committed: this.#committed,
      replicated: (position) => options.replicated?.(position) ?? null,
      stillLeads: () => options.stillLeads?.() ?? null,
      onAnswered: () => this.#next(),
    });
  }

  get committed(): Signal<Position> {
    return this.#committed;
  }

  submit<Value>(plan: Plan<Value> | SlicedPlan<Value>): Promise<Committed<Value>> {
    if (this.#closing) return Promise.reject(new DfdbError("closing", "This node is stopping"));
    if (
      this.#queue.length + this.#answers.waiting >= limits.commitQueueMax ||
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

  apply(entries: readonly LogEntry[]): Position | Promise<Position> {
    const large = entries.some(({ payload }) => isLarge(payload));
    if (!large && !this.#exclusive && this.#jobs.length === 0) return this.#applyAtOnce(entries);
    return new Promise((resolve, reject) => {
      this.#jobs.push(() => this.#applyInSlices(entries, resolve, reject));
      this.#schedule();
    });
  }

  exchange(run: () => Promise<void>): Promise<void> {
    const { storage } = this.#options;
    return new Promise((resolve, reject) => {
      this.#jobs.push(() => {
        let refused: { readonly error: unknown } | null = null;
        const attempt = (): Promise<void> =>
          run().catch((error: unknown) => {
            refused = { error };
            throw error;
          });
        const ended = storage.exchange(attempt).finally(() => {
          this.#committed.emit(storage.log.last);
          this.#over();
        });
        ended.then(resolve, (error: unknown) => {
          // What `run` rejects with leaves the database as it was; anything else is the database's own.
          if (refused?.error !== error) this.#isFatal(error);
          reject(error);
        });
      });
      this.#schedule();
    });
  }

  close(): Promise<void> {
    this.#closing = true;
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#exclusive) return;
    this.#scheduled = true;
    this.#options.clock.macrotask(() => {
      this.#scheduled = false;
      const job = this.#jobs.shift() ?? this.#takeGroup();
      if (typeof job === "function") {
        this.#exclusive = true;
        return job();
      }
      this.#commit(job);
      this.#next();
    });
  }

  /** Goes on with what waits. */
  #next(): void {
    if (this.#queue.length > 0 || this.#jobs.length > 0) this.#schedule();
    else if (this.#isIdle()) this.#idle?.();
  }

  #over(): void {
    this.#exclusive = false;
    this.#next();
  }

  #isIdle(): boolean {
    return this.#queue.length === 0 && this.#jobs.length === 0 && !this.#exclusive &&
      this.#answers.waiting === 0;
  }

  #applyAtOnce(entries: readonly LogEntry[]): Position {
    let position: Position;
    try {
      position = this.#options.storage.write((tx) => {
        let last = tx.position;
        for (const entry of entries) last = tx.apply(entry);
        return last;
      });
    } catch (error) {
      this.#isFatal(error);
      throw error;
    }
    this.#committed.emit(position);
    return position;
  }

  #applyInSlices(
    entries: readonly LogEntry[],
    resolve: (position: Position) => void,
    reject: (error: unknown) => void,
  ): void {
    const { storage, clock } = this.#options;
    writeInSlices(storage, clock, {
      slices: (tx) => applyInSlices(tx, entries),
      beforeCommit: () => {},
      done: (position) => {
        resolve(position);
        this.#committed.emit(position);
        this.#over();
      },
      failed: (error) => {
        this.#isFatal(error);
        reject(error);
        this.#over();
      },
    });
  }

  /** The longest head of the queue that fits one commit; a sliced plan at its head as what carries it out. */
  #takeGroup(): readonly Queued[] | (() => void) {
    const [head] = this.#queue;
    if (head !== undefined && "slices" in head.plan) {
      const { plan } = head;
      this.#queue.shift();
      this.#queuedBytes -= plan.bytes;
      return () => this.#commitInSlices(head, plan);
    }
    let count = 0, bytes = 0;
    for (const queued of this.#queue) {
      if (
        count > 0 &&
        ("slices" in queued.plan || count >= limits.commitGroupMax ||
          bytes + queued.plan.bytes > limits.commitGroupBytesMax)
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
    this.#answer(group, outcomes, before);
  }

  #commitInSlices(queued: Queued, plan: SlicedPlan<unknown>): void {
    const { storage, clock, gate } = this.#options, before = storage.log.last, outcomes: Outcome[] = [];
    const rules = this.#rules;
    let leadership: Leadership | null = null;
    const begin = (tx: WriteTransaction, wallMs: WallMs) => this.#beginRun(tx, leadership = gate(), wallMs);
    writeInSlices(storage, clock, {
      *slices(tx) {
        const wallMs = clock.wall(), written = begin(tx, wallMs);
        const value = yield* plan.slices(rules.over(tx), wallMs);
        const wrote = !samePosition(written, tx.position);
        outcomes.push({ value, position: tx.position, wrote: wrote || plan.asWrite === true });
        if (!wrote) throw new NothingToCommit();
      },
      beforeCommit: () => {
        if (gate().run !== leadership?.run) throw new DfdbError("not_leader", "The leadership has changed");
      },
      done: () => {
        this.#answer([queued], outcomes, before);
        this.#over();
      },
      failed: (error) => {
        if (error instanceof NothingToCommit) this.#answer([queued], outcomes, before);
        else this.#failed([queued], error);
        this.#over();
      },
    });
  }

  #answer(group: readonly Queued[], outcomes: readonly Outcome[], before: Position): void {
    this.#answers.committed(group, outcomes, before, this.#options.storage.log.last);
  }

  #runGroup(tx: WriteTransaction, group: readonly Queued[], outcomes: Outcome[]): void {
    const leadership = this.#options.gate();
    const wallMs = this.#options.clock.wall();
    const begin = tx.position, written = this.#beginRun(tx, leadership, wallMs);
    for (const { plan } of group) {
      assert("run" in plan, "a sliced plan is alone in its transaction");
      const last = tx.position;
      try {
        const value = plan.run(this.#rules.over(tx), wallMs), position = tx.position;
        outcomes.push({ value, position, wrote: position !== last || plan.asWrite === true });
      } catch (error) {
        // Thrown after an append: the transaction holds a part of the plan and cannot be kept.
        if (!(error instanceof DfdbError) || !samePosition(last, tx.position)) throw error;
        outcomes.push({ error });
      }
    }
    const begun = !samePosition(begin, tx.position) &&
      group.some(({ plan }) => "beginsRun" in plan && plan.beginsRun);
    if (samePosition(written, tx.position) && !begun) throw new NothingToCommit();
    assert(this.#options.gate().run === leadership.run, "leadership does not change inside a macrotask");
  }

  /** The run's first write: its `term` entry goes before it, in the same transaction. Returns the log's end then. */
  #beginRun(tx: WriteTransaction, leadership: Leadership, wallMs: WallMs): Position {
    const { epoch, run, nodeId } = leadership;
    if (tx.position.run !== run) tx.append([{ kind: "term", epoch, run, nodeId }], wallMs);
    return tx.position;
  }

  /** Nothing of the group was kept. */
  #failed(group: readonly Queued[], error: unknown): void {
    if (error instanceof InvariantError) throw error; // ends the process: nothing may go on after it
    const code = error instanceof DfdbError ? error.code : "internal";
    if (this.#isFatal(error)) {
      const unknown = new DfdbError("outcome_unknown", "The disk failed while the write was committed", {
        cause: error,
      });
      for (const queued of group) queued.reject(unknown);
    } else if (group.length > 1 && code !== "disk_full" && !this.#gateRefuses()) {
      for (const queued of group) this.#commit([queued]);
    } else {
      if (code === "disk_full") this.#options.onDiskFull(error as DfdbError);
      for (const queued of group) queued.reject(error);
    }
  }

  /** True, and the node is told, when the disk or the file failed: nothing more can be written. */
  #isFatal(error: unknown): boolean {
    if (!(error instanceof DfdbError) || (error.code !== "io_error" && error.code !== "data_corrupt")) {
      return false;
    }
    this.#options.onFatal(error);
    return true;
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
