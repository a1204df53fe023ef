import { DfdbError } from "../base/errors.ts";
import type { ThreadChunk, ThreadReading } from "./query_messages.ts";

/** What a reading is rejected with when its statement was compiled for something that has changed. */
export class StaleStatement extends Error {}

/** What a thread still sends for it. */
export interface Supply {
  /** Another chunk may come. */
  more(): void;
  /** Nothing is wanted any more. */
  leave(): void;
}

/** The rows of one statement on their way from a thread: what came and was not taken is at most `ThreadReading.ahead` chunks. */
export class Reading {
  readonly order: ThreadReading;
  #chunks: ThreadChunk[] = [];
  #supply: Supply | null;
  #waiting: PromiseWithResolvers<ThreadChunk | null> | null = null;
  #failure: { readonly reason: unknown } | null = null;
  #whole = false;
  #over: (() => void) | null = null;

  constructor(order: ThreadReading, supply: (reading: Reading) => Supply) {
    this.order = order;
    this.#supply = supply(this);
  }

  /** Calls `run` once, when all of it has come, or when it has failed. */
  whenOver(run: () => void): void {
    if (this.#failure !== null || this.#whole) run();
    else this.#over = run;
  }

  /** The next chunk; null after the last one. One call at a time. */
  next(): Promise<ThreadChunk | null> {
    if (this.#failure !== null) return Promise.reject(this.#failure.reason);
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#supply?.more();
      return Promise.resolve(chunk);
    }
    if (this.#whole) return Promise.resolve(null);
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  /** Ends it: from now on `next` rejects with `reason`. Does nothing when all of it has come, or when it has failed. */
  stop(reason: unknown): void {
    if (this.#failure !== null || this.#whole) return;
    this.fail(reason);
    const supply = this.#supply;
    this.#supply = null;
    supply?.leave();
  }

  /** From the thread. */
  deliver(chunk: ThreadChunk): void {
    if (this.#failure !== null) return;
    if (chunk.last) {
      this.#whole = true;
      this.#supply = null;
      this.#ended();
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) return void this.#chunks.push(chunk);
    this.#supply?.more();
    waiting.resolve(chunk);
  }

  /** From the thread: nothing more will come. */
  fail(reason: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = { reason };
    this.#chunks = [];
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#ended();
    waiting?.reject(reason);
  }

  #ended(): void {
    const over = this.#over;
    this.#over = null;
    over?.();
  }
}

/** The chunks of texts that come next. To return it ends the reading, also while one is waited for. */
export class ChunksOf implements AsyncIterator<readonly string[], undefined> {
  readonly #reading: Reading;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  async next(): Promise<IteratorResult<readonly string[], undefined>> {
    const chunk = await this.#reading.next();
    return chunk === null ? { done: true, value: undefined } : { done: false, value: textsOf(chunk) };
  }

  return(): Promise<IteratorResult<readonly string[], undefined>> {
    this.#reading.stop(leftByReader());
    return Promise.resolve({ done: true, value: undefined });
  }
}

/** What who waits for a chunk is told when the rest was left. */
export const leftByReader = (): DfdbError => new DfdbError("closing", "The result was left");

/** The rows of a chunk of texts. */
export const textsOf = ({ rows }: ThreadChunk): readonly string[] => rows as readonly string[];
