import type { MonotonicMs, WallMs } from "../../src/base/ids.ts";
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import type { Clock, Timer } from "../../src/runtime/runtime.ts";

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that stands still until it is told to go on; nothing waits for real time. */
export class ManualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #timers = new Set<Pending>();
  #macrotasks: (() => void)[] = [];

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.size;
  }

  monotonic(): MonotonicMs {
    return monotonicMsOf(this.#now);
  }

  wall(): WallMs {
    return wallMsOf(1_760_000_000_000 + this.#now);
  }

  timer(delayMs: number, run: () => void): Timer {
    const pending = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#timers.add(pending);
    return { cancel: () => void this.#timers.delete(pending) };
  }

  macrotask(run: () => void): void {
    this.#macrotasks.push(run);
  }

  /** Runs everything that can run without time passing. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < 100_000; turns++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#macrotasks.length === 0) return;
      const due = this.#macrotasks;
      this.#macrotasks = [];
      for (const run of due) run();
    }
    throw new Error("never settles");
  }

  /** Lets `ms` pass, timer by timer. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (let next = this.#next(end); next !== null; next = this.#next(end)) {
      this.#fire(next);
      await this.settle();
    }
    this.#now = end;
    await this.settle();
  }

  /** Time that passes inside a synchronous call. */
  pass(ms: number): void {
    this.#now += ms;
  }

  /** Lets time pass in one jump, as for a process that was stopped: timers ring late. */
  async stall(ms: number): Promise<void> {
    await this.settle();
    this.#now += ms;
    await this.advance(0);
  }

  /** Lets time pass until `condition` holds; fails after `limitMs`. */
  async until(condition: () => boolean, what: string, limitMs = 60_000): Promise<void> {
    const end = this.#now + limitMs;
    await this.settle();
    while (!condition()) {
      const next = this.#next(end);
      if (next === null) throw new Error(`not within ${limitMs} ms: ${what}`);
      this.#fire(next);
      await this.settle();
    }
  }

  #next(end: number): Pending | null {
    let first: Pending | null = null;
    for (const timer of this.#timers) {
      if (timer.at > end) continue;
      if (first === null || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) {
        first = timer;
      }
    }
    return first;
  }

  #fire(timer: Pending): void {
    this.#timers.delete(timer);
    this.#now = Math.max(this.#now, timer.at);
    timer.run();
  }
}
