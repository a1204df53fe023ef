import type { CollectionNumber } from "../../base/ids.ts";
import { collectionNumberOf } from "../../base/ids.ts";
import type { Position, TermRecord } from "../log.ts";
import type { CollectionInfo } from "../storage.ts";
import type { Catalog, CollectionDraft, CollectionState, State } from "./state.ts";
import { foldName, infos } from "./state.ts";

/** The state as the running transaction sees it: what it changed over what is committed. Thrown away on rollback. */
export class Draft implements Catalog {
  readonly #base: State;
  position: Position;
  endBytes: number;
  terms: readonly TermRecord[];
  nextCollection: number;
  /** Touched collections; their catalog rows are written once, before COMMIT. */
  readonly changed = new Map<CollectionNumber, CollectionDraft>();
  readonly #names = new Map<string, CollectionNumber | null>();

  constructor(base: State) {
    this.#base = base;
    this.position = base.position;
    this.endBytes = base.endBytes;
    this.terms = base.terms;
    this.nextCollection = base.nextCollection;
  }

  collection(number: CollectionNumber): CollectionState | undefined {
    return this.changed.get(number) ?? this.#base.collections.get(number);
  }

  numberOf(name: string): CollectionNumber | undefined {
    const folded = foldName(name), mine = this.#names.get(folded);
    return mine === undefined ? this.#base.numbers.get(folded) : mine ?? undefined;
  }

  list(): CollectionInfo[] {
    return infos(
      new Map<CollectionNumber, CollectionState>([...this.#base.collections, ...this.changed]).values(),
    );
  }

  /** The collection to be changed; undefined when there is none of that number or it was dropped. */
  change(number: CollectionNumber): CollectionDraft | undefined {
    const mine = this.changed.get(number);
    if (mine !== undefined) return mine.name === null ? undefined : mine;
    const base = this.#base.collections.get(number);
    if (base === undefined || base.name === null) return undefined;
    const copy = { ...base };
    this.changed.set(number, copy);
    return copy;
  }

  create(number: CollectionNumber, name: string): void {
    this.changed.set(number, { number, name, documents: 0, nextRow: 1 });
    this.#names.set(foldName(name), number);
    this.nextCollection = Math.max(this.nextCollection, number + 1);
  }

  drop(collection: CollectionDraft): void {
    if (collection.name !== null) this.#names.set(foldName(collection.name), null);
    collection.name = null;
    collection.documents = 0;
  }

  /** Numbers below this were given to collections by committed entries. */
  get nextCollectionCommitted(): number {
    return this.#base.nextCollection;
  }

  /** Number of collections that have a name. */
  get linked(): number {
    let count = this.#base.numbers.size;
    for (const number of this.#names.values()) count += number === null ? -1 : 1;
    return count;
  }

  takeNumber(): CollectionNumber {
    return collectionNumberOf(this.nextCollection++);
  }

  /** Makes this the committed state; cannot fail. */
  commit(): void {
    const base = this.#base;
    base.position = this.position;
    base.endBytes = this.endBytes;
    base.terms = this.terms;
    base.nextCollection = this.nextCollection;
    base.clean = false;
    for (const [number, draft] of this.changed) {
      base.collections.set(number, draft);
      if (draft.name === null) base.dropped.add(number);
    }
    for (const [name, number] of this.#names) {
      if (number === null) base.numbers.delete(name);
      else base.numbers.set(name, number);
    }
  }
}
