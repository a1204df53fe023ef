/**
 * Virtual time: one heap of (time, number, action). An action runs, then one real macrotask passes, so that every
 * promise chain that it started has drained before the next action; nothing else drives the nodes.
 */
import type { Clock, Random, Timer } from "../../src/runtime/runtime.ts";
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";

interface Event {
  readonly at: number;
  readonly number: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Wall time at virtual time 0. */
const wallStart = 1_790_000_000_000;

export class World implements Clock {
  readonly random: Random;
  readonly #uniform: () => number;
  #now = 0;
  #events = 0;
  #planned = 0;
  readonly #heap: Event[] = [];

  constructor(seed: number) {
    const generator = prng(seed);
    this.#uniform = () => generator.float();
    this.random = { bytes: (length) => generator.bytes(length), float: () => generator.float() };
  }

  get now(): number {
    return this.#now;
  }

  /** Events carried out so far. */
  get events(): number {
    return this.#events;
  }

  monotonic() {
    return monotonicMsOf(this.#now);
  }

  wall() {
    return wallMsOf(wallStart + Math.floor(this.#now));
  }

  timer(delayMs: number, run: () => void): Timer {
    const event: Event = {
      at: this.#now + Math.max(0, delayMs),
      number: this.#planned++,
      run,
      cancelled: false,
    };
    this.#push(event);
    return {
      cancel: () => {
        event.cancelled = true;
      },
    };
  }

  macrotask(run: () => void): void {
    this.timer(0, run);
  }

  /** Uniform in [min, max). */
  between(min: number, max: number): number {
    return min + this.#uniform() * (max - min);
  }

  /** Runs events until `done` holds; false when `msMax` of virtual time passed before. */
  async until(done: () => boolean, msMax: number): Promise<boolean> {
    const end = this.#now + msMax;
    await drained();
    while (!done()) {
      const next = this.#heap[0];
      if (next === undefined || next.at > end) {
        this.#now = end;
        return false;
      }
      this.#pop();
      if (next.cancelled) continue;
      this.#now = Math.max(this.#now, next.at);
      this.#events++;
      next.run();
      await drained();
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    heap.push(event);
    for (let i = heap.length - 1; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!before(heap[i] as Event, heap[parent] as Event)) break;
      [heap[i], heap[parent]] = [heap[parent] as Event, heap[i] as Event];
      i = parent;
    }
  }

  #pop(): Event | undefined {
    const heap = this.#heap, top = heap[0], last = heap.pop();
    if (heap.length === 0 || last === undefined) return top;
    heap[0] = last;
    for (let i = 0;;) {
      const left = 2 * i + 1, right = left + 1;
      let least = i;
      if (left < heap.length && before(heap[left] as Event, heap[least] as Event)) least = left;
      if (right < heap.length && before(heap[right] as Event, heap[least] as Event)) least = right;
      if (least === i) return top;
      [heap[i], heap[least]] = [heap[least] as Event, heap[i] as Event];
      i = least;
    }
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.number < b.number);
}

function drained(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
