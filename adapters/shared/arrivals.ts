/** What arrived and was not read yet: a queue for one reader, without a stream's cost for each chunk. */
export class Arrivals {
  readonly #bytesMax: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #over: { readonly error: Error | null } | null = null;
  #reader: { resolve(bytes: Uint8Array | null): void; reject(error: Error): void } | null = null;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True while less waits than may. */
  get hasRoom(): boolean {
    return this.#bytes < this.#bytesMax;
  }

  /** How it ended; null while it goes on. */
  get over(): { readonly error: Error | null } | null {
    return this.#over;
  }

  push(bytes: Uint8Array): void {
    const reader = this.#reader;
    if (reader !== null) {
      this.#reader = null;
      return reader.resolve(bytes);
    }
    this.#chunks.push(bytes);
    this.#bytes += bytes.byteLength;
  }

  /** Null: the end, after what waits. An error drops what waits. Only the first call counts. */
  end(error: Error | null): void {
    if (this.#over !== null) return;
    this.#over = { error };
    if (error !== null) this.take();
    const reader = this.#reader;
    this.#reader = null;
    if (error === null) reader?.resolve(null);
    else reader?.reject(error);
  }

  /** The next chunk, null at the end. One call at a time. */
  read(): Promise<Uint8Array | null> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#bytes -= chunk.byteLength;
      return Promise.resolve(chunk);
    }
    if (this.#over !== null) {
      return this.#over.error === null ? Promise.resolve(null) : Promise.reject(this.#over.error);
    }
    return new Promise((resolve, reject) => void (this.#reader = { resolve, reject }));
  }

  /** All that waits. */
  take(): readonly Uint8Array[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    return chunks;
  }
}
