/** Fewer are never applied at once, if so many wait: what an apply costs by itself would cost more than they do. */
const entriesMin = 64;

/**
 * How many entries go into one apply: as many as fit the time that one macrotask may take, measured as it goes. What an apply
 * costs however small it is (fsync) does not count, because fewer entries would not make it less: it is what few take of late.
 */
export class ApplyPace {
  readonly #targetMs: number;
  readonly #entriesMax: number;
  readonly #entriesMin: number;
  #entries: number;
  #fixedMs = 0;

  constructor(targetMs: number, entriesMax: number) {
    this.#targetMs = targetMs;
    this.#entriesMax = entriesMax;
    this.#entriesMin = Math.min(entriesMin, entriesMax);
    this.#entries = entriesMax;
  }

  get entries(): number {
    return this.#entries;
  }

  /** `entries` took `tookMs`: shrinks at once when that was too long, grows up to the double when there is room. */
  took(entries: number, tookMs: number): void {
    this.#learn(entries, tookMs);
    const ownMs = tookMs - this.#fixedMs;
    const fitting = ownMs > 0 ? Math.floor(entries * this.#targetMs / ownMs) : Infinity;
    if (ownMs > this.#targetMs) this.#entries = Math.max(this.#entriesMin, fitting);
    else if (entries >= this.#entries) this.#entries = Math.min(this.#entriesMax, 2 * this.#entries, fitting);
  }

  /** Down at once, up by halves, so that one that was held up by something else is soon forgotten. */
  #learn(entries: number, tookMs: number): void {
    if (tookMs < this.#fixedMs) this.#fixedMs = tookMs;
    else if (entries <= this.#entriesMin) this.#fixedMs += (tookMs - this.#fixedMs) / 2;
  }
}
