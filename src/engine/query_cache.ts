/** Of each half of a cache. */
export interface CacheBounds {
  readonly entriesMax: number;
  readonly charsMax: number;
}

/** What was made of texts, kept while it is used: bounded by number and by characters. */
export class TextCache<Value> {
  readonly #entriesMax: number;
  readonly #charsMax: number;
  // What is asked for moves to the new half; when that is full the other one is forgotten. A hit costs one look-up.
  #new = new Map<string, Value>();
  #old = new Map<string, Value>();
  #chars = 0;

  constructor(bounds: CacheBounds) {
    this.#entriesMax = bounds.entriesMax;
    this.#charsMax = bounds.charsMax;
  }

  get size(): number {
    return this.#new.size + this.#old.size;
  }

  get(text: string): Value | undefined {
    const found = this.#new.get(text);
    if (found !== undefined) return found;
    const older = this.#old.get(text);
    if (older === undefined) return undefined;
    this.#old.delete(text);
    this.set(text, older);
    return older;
  }

  /** A text that is too long for it is not kept. */
  set(text: string, value: Value): void {
    if (text.length > this.#charsMax / 8) return;
    if (this.#new.size >= this.#entriesMax || this.#chars + text.length > this.#charsMax) {
      this.#old = this.#new;
      this.#new = new Map();
      this.#chars = 0;
    }
    this.#new.set(text, value);
    this.#chars += text.length;
  }
}
