import type { WallMs } from "../base/ids.ts";
import type { Operation } from "../document/operation.ts";
import { bytesOf, Slice } from "../storage/entry_codec.ts";
import type { WriteTransaction } from "../storage/storage.ts";

/** Makes entries of about a slice each of what a transaction has to write. */
export class EntryWriter {
  /** Operations that were written, or are to be. */
  count = 0;
  readonly #tx: WriteTransaction;
  readonly #wallMs: WallMs;
  readonly #slice = new Slice();
  #operations: Operation[] = [];
  #full = false;

  constructor(tx: WriteTransaction, wallMs: WallMs) {
    this.#tx = tx;
    this.#wallMs = wallMs;
  }

  /** True: it is time for {@linkcode flush}. */
  add(operations: readonly Operation[]): boolean {
    for (const operation of operations) {
      this.#operations.push(operation);
      this.count++;
      if (this.#slice.full(bytesOf(operation))) this.#full = true;
    }
    return this.#full;
  }

  /** Appends what was added, a slice a step. */
  *flush(): Generator<void, void, void> {
    if (this.#operations.length > 0) yield* this.#tx.appendInSlices(this.#taken(), this.#wallMs);
  }

  /** The same at once. */
  finish(): void {
    if (this.#operations.length > 0) this.#tx.append(this.#taken(), this.#wallMs);
  }

  #taken(): readonly Operation[] {
    const operations = this.#operations;
    this.#operations = [];
    this.#full = false;
    return operations;
  }
}
