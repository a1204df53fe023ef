/** How many documents the next batch has: fewer after one that took too long, down to one, and twice as many after each success. */
export class BatchSize {
  readonly #max: number;
  #items: number;

  constructor(max: number) {
    this.#max = max;
    this.#items = max;
  }

  get items(): number {
    return this.#items;
  }

  /** A batch of `count` was too much; it may have been smaller than it could be. */
  tooMuch(count: number): void {
    this.#items = Math.max(1, Math.floor(Math.min(count, this.#items) / 2));
  }

  sent(): void {
    this.#items = Math.min(this.#max, this.#items * 2);
  }
}
