import { limits } from "../../base/limits.ts";
import type { State } from "./state.ts";

/** Pages that a small entry adds to the WAL, about: of the log, the documents, their ids, the catalog. */
const pagesPerEntry = 4;

/**
 * Pages that a slice adds to the WAL, about: of freeing (most are of the ids' index), of trimming, and of filling an index (many keys, each
 * on a page of its own).
 */
const pagesPerSlice = { reclaim: 300, trim: 48, index: 300 } as const;

/** Estimates how much the WAL has grown: asking SQLite costs as much as a small commit. */
export class WalGrowth {
  readonly #state: State;
  /** The end of the log when the length of the WAL was asked for last. */
  #looked = { seq: -Infinity, bytes: 0 };

  constructor(state: State) {
    this.#state = state;
  }

  /** A slice beside the entries. */
  add(slice: keyof typeof pagesPerSlice): void {
    this.#looked.bytes -= pagesPerSlice[slice] * limits.pageBytes;
  }

  /** Whether it may have grown enough to be looked at; then it counts anew. */
  isDue(): boolean {
    const { position, endBytes } = this.#state;
    const grown = (position.seq - this.#looked.seq) * pagesPerEntry +
      (endBytes - this.#looked.bytes) / limits.pageBytes;
    if (grown < limits.checkpointPages / 8) return false;
    this.#looked = { seq: position.seq, bytes: endBytes };
    return true;
  }

  /** It may be of any length. */
  reset(): void {
    this.#looked = { seq: -Infinity, bytes: 0 };
  }
}
