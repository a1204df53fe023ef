/**
 * Virtual time: one heap of (time, number, action). An action runs, then one real macrotask passes, so that every
 * promise chain that it started has drained before the next action; nothing else drives the processes.
 */
import { limits } from "../../src/base/limits.ts";
import { type Chance, chance } from "./chance.ts";
import { Violation } from "./types.ts";
import { EventHeap, type HeapEvent } from "./event_heap.ts";

/** Whose an event is: a process. */
export interface Owner {
  /** The events of who is dead do not happen. */
  readonly alive: boolean;
  /** Its thread is busy, or stopped, until this virtual time: its events wait. */
  readonly busyUntil: number;
}

/** `timer`: the process asked to be called. `input`: something arrives from outside. */
export type EventKind = "timer" | "input";

export interface Cancel {
  cancel(): void;
}

interface Event extends HeapEvent {
  at: number;
  readonly owner: Owner | null;
  readonly kind: EventKind;
  readonly run: () => void;
  cancelled: boolean;
}

/** What a node may hold its thread for, ms; a world does not change it. */
const { stallMs } = limits;

/** A world that needs more does not come to an end. */
const eventsMax = 2_000_000;

export class World {
  readonly seed: number;
  /** Events after which `until` throws. */
  eventsMax = eventsMax;
  /** Takes the lines of the trace; null: nobody wants them. */
  trace: ((line: string) => void) | null = null;
  /** After a stop a process finds its timers due before it reads its sockets. */
  timersFirst = false;
  /** Called after each event, when everything that it started has drained. */
  afterEvent: ((owner: Owner | null) => void) | null = null;
  /** Longest real time of one event, ms. */
  longestMs = 0;
  /** Numbers of the events of processes that took longer than a thread may be held. */
  readonly slowEvents: number[] = [];
  readonly #heap = new EventHeap<Event>();
  readonly #held = new Set<Promise<unknown>>();
  #now = 0;
  #events = 0;
  #planned = 0;
  #running: Owner | null = null;
  #failure: { readonly thrown: unknown } | null = null;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Virtual ms since the world began. */
  get now(): number {
    return this.#now;
  }

  /** Events carried out so far. */
  get events(): number {
    return this.#events;
  }

  /** Whose event runs. */
  get running(): Owner | null {
    return this.#running;
  }

  chance(name: string): Chance {
    return chance(this.seed, name);
  }

  /** Calls `run` in `delayMs` from now, if `owner` still lives then; later while it is busy. */
  at(owner: Owner | null, delayMs: number, run: () => void, kind: EventKind = "input"): Cancel {
    const at = this.#now + Math.max(0, delayMs);
    const event: Event = { at, number: this.#planned++, owner, kind, run, cancelled: false };
    this.#heap.push(event);
    return { cancel: () => void (event.cancelled = true) };
  }

  /** Virtual time stands still until `promise` settled: it is work of a real thread. */
  hold(promise: Promise<unknown>): void {
    const own = promise.then(() => {}, () => {}).then(() => void this.#held.delete(own));
    this.#held.add(own);
  }

  /** Ends the run: `until` throws. */
  fail(thrown: unknown): void {
    this.#failure ??= { thrown };
  }

  say(line: () => string): void {
    this.trace?.(`${this.#now.toFixed(2).padStart(10)} ${line()}`);
  }

  /** Runs events until `done` holds; false when `msMax` of virtual time passed before. */
  async until(done: () => boolean, msMax: number): Promise<boolean> {
    const end = this.#now + msMax;
    await this.#drained();
    while (!done()) {
      const next = this.#heap.first;
      if (next === null || next.at > end) {
        this.#now = end;
        return false;
      }
      this.#heap.pop();
      const { owner } = next;
      if (next.cancelled || owner?.alive === false) continue;
      if (owner !== null && owner.busyUntil > next.at) {
        next.at = this.#later(owner, next.kind);
        this.#heap.push(next);
        continue;
      }
      await this.#carryOut(next);
    }
    return true;
  }

  /** From now on so many events, and no end, are a violation. */
  allow(events: number): void {
    this.eventsMax = this.#events + events;
  }

  /** Lets virtual time pass. */
  async pass(ms: number): Promise<void> {
    await this.until(() => false, ms);
  }

  async #carryOut(event: Event): Promise<void> {
    this.#now = Math.max(this.#now, event.at);
    if (++this.#events > this.eventsMax) {
      throw new Violation("liveness", `${this.#events} events, and no end, at ${this.#now.toFixed(2)} ms`);
    }
    this.#running = event.owner;
    const startedAt = performance.now();
    try {
      event.run();
    } catch (thrown) {
      this.fail(thrown);
    }
    await this.#drained();
    this.#running = null;
    const tookMs = performance.now() - startedAt;
    this.longestMs = Math.max(this.longestMs, tookMs);
    if (tookMs > stallMs && event.owner !== null) this.slowEvents.push(this.#events);
    if (this.#failure !== null) throw this.#failure.thrown;
    this.afterEvent?.(event.owner);
  }

  #later({ busyUntil }: Owner, kind: EventKind): number {
    return this.timersFirst && kind === "input" ? busyUntil + 0.001 : busyUntil;
  }

  async #drained(): Promise<void> {
    do {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#held.size > 0) await Promise.all(this.#held);
      else return;
    } while (true);
  }
}
