/** Checksums of this node's content at one position, and how a follower stops at exactly that position for them. */
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import type { Signal } from "../base/signal.ts";
import type {
  LogVerification,
  Verification,
  Verify,
  VerifyProgress,
  VerifyRequest,
  VerifySum,
} from "../http/verify_types.ts";
import type { LeaderFollowing } from "../replication/types.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { Workers } from "../runtime/workers.ts";
import type { Position } from "../storage/log.ts";
import type { PositionToken } from "../storage/position_text.ts";
import { positionText, termAt } from "../storage/position_text.ts";
import type { VerifyProgress as TaskProgress } from "../storage/sqlite/verify_content.ts";
import type { Storage } from "../storage/storage.ts";
import { runTask } from "./tasks.ts";

/** Checksums that are made at the same time. */
const runningMax = 2;
/** How long a follower is waited for until it is at the position asked for, ms. */
const reachMs = 10_000;
/** How long entries are held back for a checksum that does not come to its beginning, ms. */
const pinMs = 10_000;

export interface VerifyOptions {
  readonly storage: Pick<Storage, "log" | "stats">;
  readonly workers: Workers;
  readonly clock: Clock;
  readonly committed: Signal<Position>;
  /** Whom this node follows at present; null: nobody. */
  readonly following: () => Pick<LeaderFollowing, "holdAfter"> | null;
}

/** To be closed before the storage is. */
export interface ClosableVerify extends Verify {
  /** Ends what runs and lifts all holds; resolves when no thread reads any more. */
  close(): Promise<void>;
}

export function verify(options: VerifyOptions): ClosableVerify {
  return new Verifications(options);
}

class Verifications implements ClosableVerify {
  readonly #options: VerifyOptions;
  /** Entries after the lowest of these wait. */
  readonly #holds = new Set<{ readonly seq: Seq }>();
  readonly #running = new Set<{ readonly abort: AbortController; readonly ended: Promise<unknown> }>();
  #asked: { readonly hold: { readonly seq: Seq }; readonly timer: Timer } | null = null;
  #closed = false;

  constructor(options: VerifyOptions) {
    this.#options = options;
  }

  hold(ms: number): Position {
    const { storage, clock } = this.#options, { last } = storage.log;
    if (this.#closed) throw closing();
    const hold = { seq: last.seq };
    this.#holds.add(hold);
    this.release();
    this.#asked = { hold, timer: clock.timer(ms, () => this.release()) };
    this.#tellHold();
    return last;
  }

  release(): void {
    if (this.#asked === null) return;
    const { hold, timer } = this.#asked;
    this.#asked = null;
    timer.cancel();
    this.#lift(hold);
  }

  async begin(request: VerifyRequest, signal: AbortSignal): Promise<Verification> {
    this.#admit();
    const abort = new AbortController(), stop = (): void => abort.abort(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    const begun = Promise.withResolvers<Verification>();
    this.#keep(abort, this.#run(request, abort, begun.resolve)).catch(begun.reject)
      .finally(() => signal.removeEventListener("abort", stop));
    return await begun.promise;
  }

  log(): Promise<LogVerification> {
    this.#admit();
    const { storage, workers } = this.#options, abort = new AbortController();
    const { path } = storage.stats();
    return this.#keep(abort, runTask(workers, "sqlite.verifyLog", { path }, { signal: abort.signal }));
  }

  #admit(): void {
    if (this.#closed) throw closing();
    if (this.#running.size >= runningMax) {
      throw new DfdbError("busy", "Other verifications run here; try again when one is done");
    }
  }

  /** Its place is free when what this returns settles. */
  #keep<Result>(abort: AbortController, work: Promise<Result>): Promise<Result> {
    const running = { abort, ended: work.catch(() => {}) };
    this.#running.add(running);
    return work.finally(() => this.#running.delete(running));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.release();
    for (const { abort } of this.#running) abort.abort(closing());
    await Promise.all([...this.#running].map(({ ended }) => ended));
  }

  /** Resolves or rejects when nothing reads any more; calls `onBegun` in between. */
  async #run(
    request: VerifyRequest,
    abort: AbortController,
    onBegun: (verification: Verification) => void,
  ): Promise<void> {
    const { at } = request, { clock } = this.#options, { signal } = abort;
    const hold = at === null ? null : { seq: at.seq };
    if (hold !== null) this.#take(hold);
    // Whatever happens to the worker, entries do not wait for ever.
    let late: Timer | null = null;
    const lift = (): void => {
      late?.cancel();
      if (hold !== null) this.#lift(hold);
    };
    try {
      if (at !== null) await this.#reached(at, signal);
      late = clock.timer(pinMs, lift);
      await this.#read(request, signal, (verification) => {
        lift();
        const wrong = at === null ? null : this.#wrong(at, verification.position.seq);
        if (wrong === null) onBegun(verification);
        else abort.abort(wrong);
      });
    } finally {
      lift();
    }
  }

  /** The hold that was asked for ends here: its successor is the position that was settled on. */
  #take(hold: { readonly seq: Seq }): void {
    this.#holds.add(hold);
    const earlier = this.#asked;
    if (earlier !== null && earlier.hold.seq <= hold.seq) this.release();
    else this.#tellHold();
  }

  #lift(hold: { readonly seq: Seq }): void {
    if (this.#holds.delete(hold)) this.#tellHold();
  }

  #tellHold(): void {
    let lowest: Seq | null = null;
    for (const { seq } of this.#holds) if (lowest === null || seq < lowest) lowest = seq;
    this.#options.following()?.holdAfter(lowest);
  }

  /** Resolves when this node's last entry is the one asked for. */
  #reached(at: PositionToken, signal: AbortSignal): Promise<void> {
    const { storage, committed, clock } = this.#options, { log } = storage;
    const wrong = this.#wrong(at, log.last.seq);
    if (wrong !== null) return Promise.reject(wrong);
    if (log.last.seq === at.seq) return Promise.resolve();
    if (this.#options.following() === null) {
      const message = `This node is at ${log.last.seq}, before ${at.seq}, and follows nobody`;
      return Promise.reject(new DfdbError("not_caught_up", message));
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = (): void => reject(signal.reason);
    const timer = clock.timer(reachMs, () => {
      const message = `This node is at ${log.last.seq} and did not reach ${at.seq} within ${
        reachMs / 1000
      } s`;
      reject(new DfdbError("not_caught_up", message));
    });
    const unsubscribe = committed.subscribe(({ seq }) => {
      if (seq < at.seq) return;
      const passed = this.#wrong(at, seq);
      if (passed === null) resolve();
      else reject(passed);
    });
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    return promise.finally(() => {
      timer.cancel();
      unsubscribe();
      signal.removeEventListener("abort", stop);
    });
  }

  /** Why a node whose last entry is `seq` cannot come to `at` any more; null: it is there, or may get there. */
  #wrong(at: PositionToken, seq: Seq): DfdbError | null {
    if (seq < at.seq) return null;
    const { terms } = this.#options.storage.log, term = termAt(terms, at.seq);
    if (positionText(term, at.seq) !== `${at.epoch}.${at.run}-${at.seq}`) {
      const message = `Entry ${at.seq} here is ${positionText(term, at.seq)}: another history`;
      return new DfdbError("position_lost", message);
    }
    if (seq === at.seq) return null;
    const message =
      `This node is past ${at.seq} already, at ${seq}: hold it first, or ask for a newer position`;
    return new DfdbError("position_lost", message);
  }

  async #read(
    request: VerifyRequest,
    signal: AbortSignal,
    onPinned: (verification: Verification) => void,
  ): Promise<void> {
    const { storage, workers } = this.#options, { collection, documents, indexes, masters } = request;
    const taken = new SharedArrayBuffer(4), cell = new Int32Array(taken);
    const done = Promise.withResolvers<VerifySum>();
    done.promise.catch(() => {}); // told to whoever awaits `done`
    let early: VerifyProgress[] = [];
    let listener = (progress: VerifyProgress): void => void early.push(progress);
    const verification = (position: Position): Verification => ({
      position,
      onProgress: (own) => {
        listener = own;
        for (const progress of early) own(progress);
        early = [];
      },
      taken: () => {
        Atomics.add(cell, 0, 1);
        Atomics.notify(cell, 0);
      },
      done: done.promise,
    });
    const input = { path: storage.stats().path, collection, documents, indexes, masters, taken };
    const onProgress = (value: unknown): void => {
      const progress = value as TaskProgress;
      if (progress.type === "pinned") onPinned(verification(progress.position));
      else listener(progress);
    };
    try {
      done.resolve(await runTask(workers, "sqlite.verifyContent", input, { signal, onProgress }));
    } catch (error) {
      done.reject(error);
      throw error;
    }
  }
}

const closing = (): DfdbError => new DfdbError("closing", "This node is stopping");
