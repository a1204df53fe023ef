import type { CollectionNumber, IndexNumber } from "../../base/ids.ts";
import type { IndexDefinition } from "../../document/operation.ts";
import { foldName } from "./fold_name.ts";

/** An index as its catalog row has it, while it has a name. */
export interface IndexState extends IndexDefinition {
  readonly number: IndexNumber;
  readonly collection: CollectionNumber;
  /** `preparing`: nobody sees it. `building`: linked, and being filled. `ready`: linked and whole. */
  readonly state: "preparing" | "building" | "ready";
  /** The next document to fill it with. */
  readonly nextRow: number;
  /** Documents from this row on came when it was kept already. Not in the catalog: after a restart it may be later. */
  readonly endRow: number;
  /** Being prepared, filled, and no key is in it that may not be. */
  readonly whole: boolean;
}

export const isFilled = ({ nextRow, endRow }: IndexState): boolean => nextRow >= endRow;
export const isLinked = ({ state }: IndexState): boolean => state !== "preparing";

const none: readonly IndexState[] = [];

/** All indexes of a database; never changed, only replaced. */
export class Indexes {
  /** Those that were dropped and are not freed yet. */
  readonly dropped: ReadonlySet<IndexNumber>;
  /** Those that are not whole, the linked ones first: queries and writes wait for them. */
  readonly unfinished: readonly IndexState[];
  readonly #all: ReadonlyMap<IndexNumber, IndexState>;
  readonly #of = new Map<CollectionNumber, IndexState[]>();
  readonly #unique = new Map<CollectionNumber, IndexState[]>();

  constructor(all: ReadonlyMap<IndexNumber, IndexState>, dropped: ReadonlySet<IndexNumber>) {
    this.#all = all;
    this.dropped = dropped;
    const unfinished = [...all.values()].filter(({ whole }) => !whole);
    this.unfinished = [...unfinished.filter(isLinked), ...unfinished.filter((index) => !isLinked(index))];
    for (const index of [...all.values()].sort((a, b) => a.number - b.number)) {
      group(this.#of, index);
      if (index.unique && (isLinked(index) || isFilled(index))) group(this.#unique, index);
    }
  }

  /** There is one that a write has to obey. */
  get hasUnique(): boolean {
    return this.#unique.size > 0;
  }

  all(): Iterable<IndexState> {
    return this.#all.values();
  }

  get(number: IndexNumber): IndexState | undefined {
    return this.#all.get(number);
  }

  /** In the order of their numbers. */
  of(collection: CollectionNumber): readonly IndexState[] {
    return this.#of.get(collection) ?? none;
  }

  /** Unique ones that a write has to obey; `building`: it cannot, yet. */
  unique(collection: CollectionNumber): readonly IndexState[] {
    return this.#unique.get(collection) ?? none;
  }

  named(collection: CollectionNumber, name: string): readonly IndexState[] {
    const folded = foldName(name);
    return this.of(collection).filter((index) => foldName(index.name) === folded);
  }

  with(index: IndexState): Indexes {
    return new Indexes(new Map(this.#all).set(index.number, index), this.dropped);
  }

  /** Those of `numbers` have no name any more. */
  dropping(numbers: readonly IndexNumber[]): Indexes {
    const all = new Map(this.#all), dropped = new Set(this.dropped);
    for (const number of numbers) {
      all.delete(number);
      dropped.add(number);
    }
    return new Indexes(all, dropped);
  }

  freed(number: IndexNumber): Indexes {
    const dropped = new Set(this.dropped);
    dropped.delete(number);
    return new Indexes(this.#all, dropped);
  }
}

function group(groups: Map<CollectionNumber, IndexState[]>, index: IndexState): void {
  const found = groups.get(index.collection);
  if (found === undefined) groups.set(index.collection, [index]);
  else found.push(index);
}
