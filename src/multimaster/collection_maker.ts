import type { CollectionNumber } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { collectionKey } from "../document/names.ts";
import type { Operation } from "../document/operation.ts";
import type { WriteTransaction } from "../storage/storage.ts";

/** Makes the collections that outcomes of one transaction need; what it makes is in no list before it is appended. */
export class CollectionMaker {
  readonly #tx: WriteTransaction;
  /** Collections that this transaction makes, by their keys. */
  readonly #made = new Map<string, CollectionNumber>();

  constructor(tx: WriteTransaction) {
    this.#tx = tx;
  }

  /** What makes the collection, if it is not there; a text: why it cannot be made. */
  missing(name: string): readonly Operation[] | string {
    if (this.#made.has(collectionKey(name)) || this.#tx.collection(name) !== null) return [];
    // What this transaction made and has not appended yet is not in the list: some too many at most.
    if (this.#tx.collections().length >= limits.collectionsMax) {
      return `a database holds at most ${limits.collectionsMax} collections`;
    }
    const collection = this.#tx.newCollectionNumber();
    this.#made.set(collectionKey(name), collection);
    return [{ kind: "createCollection", collection, name }];
  }
}
