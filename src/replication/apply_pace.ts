/** How many entries go into one apply: as many as fit the time that one macrotask may take, measured as it goes. */
export class ApplyPace {
  readonly #targetMs: number;
  readonly #entriesMax: number;
  #entries: number;

  constructor(targetMs: number, entriesMax: number) {
    this.#targetMs = targetMs;
    this.#entriesMax = entriesMax;
    this.#entries = entriesMax;
  }

  get entries(): number {
    return this.#entries;
  }

  /** `entries` took `tookMs`: shrinks at once when that was too long, grows by doubling when there is room. */
  took(entries: number, tookMs: number): void {
    if (tookMs > this.#targetMs) {
      this.#entries = Math.max(1, Math.floor(entries * this.#targetMs / tookMs));
    } else if (entries >= this.#entries && tookMs * 2 <= this.#targetMs) {
      this.#entries = Math.min(this.#entriesMax, this.#entries * 2);
    }
  }
}
