import type { Clock } from "../runtime/runtime.ts";

/** Longest work on one request before others get their turn. */
const turnMs = 10;

/** Tells when a long job has had its turn. */
export class Turns {
  readonly #clock: Clock;
  #begunMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begunMs = clock.monotonic();
  }

  due(): boolean {
    return this.#clock.monotonic() - this.#begunMs >= turnMs;
  }

  /** Resolves in a later macrotask. */
  async next(): Promise<void> {
    await new Promise<void>((resolve) => this.#clock.macrotask(resolve));
    this.#begunMs = this.#clock.monotonic();
  }
}
