/** Waiting times between attempts: doubling, jittered over the whole range, never below the first. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #failures = 0;

  /** `random` is uniform in [0, 1). */
  constructor(minMs: number, maxMs: number, random: () => number) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** How long to wait now, ms. */
  next(): number {
    const ceiling = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(30, this.#failures + 1));
    this.#failures++;
    return Math.round(this.#minMs + this.#random() * Math.max(0, ceiling - this.#minMs));
  }

  /** Something went well: begin with short waits again. */
  reset(): void {
    this.#failures = 0;
  }
}
