import type { CollectionNumber, IndexNumber } from "../../base/ids.ts";
import { collectionNumberOf, indexNumberOf } from "../../base/ids.ts";
import type { Position, TermRecord } from "../log.ts";
import type { CollectionInfo } from "../storage.ts";
import { BundleDraft } from "./bundle.ts";
import { foldName } from "./fold_name.ts";
import type { FormerId } from "./former_ids.ts";
import type { Indexes } from "./index_state.ts";
import type { Catalog, CollectionDraft, CollectionState, State } from "./state.ts";
import { areSettings, infos, newVersion } from "./state.ts";

/** The state as the running transaction sees it: what it changed over what is committed. Thrown away on rollback. */
export class Draft implements Catalog {
  readonly #base: State;
  position: Position;
  endBytes: number;
  terms: readonly TermRecord[];
  nextCollection: number;
  nextIndex: number;
  version: number;
  settingsVersion: number;
  /** Null: this database has not the bundle. */
  bundle: BundleDraft | null;
  /** The entry in work is made here: what applies it may link what was prepared for it. */
  leading = false;
  /** Touched collections; their catalog rows are written once, before COMMIT. */
  readonly changed = new Map<CollectionNumber, CollectionDraft>();
  #indexes: Indexes;
  readonly #names = new Map<string, CollectionNumber | null>();

  constructor(base: State) {
    this.#base = base;
    this.position = base.position;
    this.endBytes = base.endBytes;
    this.terms = base.terms;
    this.nextCollection = base.nextCollection;
    this.nextIndex = base.nextIndex;
    this.version = base.version;
    this.settingsVersion = base.settingsVersion;
    this.#indexes = base.indexes;
    this.bundle = base.bundle === null ? null : new BundleDraft(base.bundle);
  }

  get former(): readonly FormerId[] {
    return this.#base.former;
  }

  get indexes(): Indexes {
    return this.#indexes;
  }

  set indexes(indexes: Indexes) {
    this.#indexes = indexes;
    this.version = newVersion();
  }

  takeIndexNumber(): IndexNumber {
    return indexNumberOf(this.nextIndex++);
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
    this.changed.set(number, { number, name, documents: 0, nextRow: 1, settings: areSettings(name) });
    this.#names.set(foldName(name), number);
    this.nextCollection = Math.max(this.nextCollection, number + 1);
    this.version = newVersion();
  }

  drop(collection: CollectionDraft): void {
    if (collection.name !== null) this.#names.set(foldName(collection.name), null);
    collection.name = null;
    collection.documents = 0;
    this.version = newVersion();
    if (collection.settings) this.settingsVersion = newVersion();
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
    base.nextIndex = this.nextIndex;
    base.version = this.version;
    base.settingsVersion = this.settingsVersion;
    base.indexes = this.#indexes;
    base.bundle = this.bundle === null ? null : this.bundle.commit();
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
