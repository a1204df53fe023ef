/** What the documents are at any entry of the history: each document's versions, told apart by the branch that they are on. */
import type {
  CreateCollection,
  CreateIndex,
  Delete,
  DropCollection,
  DropIndex,
  IndexDefinition,
  Operation,
  Put,
} from "../../src/document/operation.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { contains, tokenOf } from "./history_tree.ts";
import { Violation } from "./types.ts";

/** A change of one document; `body` null: it was deleted. */
export interface Version {
  readonly entry: Entry;
  readonly body: Uint8Array | null;
  readonly createdMs: number;
  /** Once somebody has asked for it. */
  value?: Value;
}

/** A document at some entry. */
export interface Value {
  /** JSON text as it was stored. */
  readonly body: string;
  /** Entry of its last change. */
  readonly entry: Entry;
  readonly seq: number;
  /** Wall ms of the entries that made it and that changed it last. */
  readonly createdMs: number;
  readonly modifiedMs: number;
}

/** A collection at some entry. */
export interface ReplayedCollection {
  readonly number: number;
  /** As it was first written. */
  readonly name: string;
  readonly documents: ReadonlyMap<string, Value>;
}

/** A collection began, or, with `name` null, ended. */
interface CollectionEvent {
  readonly entry: Entry;
  readonly name: string | null;
}

/** An index at some entry. */
export type IndexAt = IndexDefinition;

/** An index came, or, with `index` null, went. */
interface IndexEvent {
  readonly entry: Entry;
  readonly index: IndexAt | null;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export class Replay {
  /** In the order in which they were seen: on one branch by seq. */
  readonly #events = new Map<number, CollectionEvent[]>();
  readonly #documents = new Map<number, Map<string, Version[]>>();
  /** Numbers that a name ever had, in lower case. */
  readonly #numbers = new Map<string, Set<number>>();
  /** By collection, and name in lower case. */
  readonly #indexes = new Map<number, Map<string, IndexEvent[]>>();

  /** Follows `history` from its beginning. A change that does not fit is a violation of `replay`. */
  constructor(history: History) {
    history.onEntry((entry) => {
      for (const operation of entry.operations) this.#apply(entry, operation);
    });
  }

  /** The document at `tip`; null: there is none. */
  valueAt(tip: Entry, collection: string, id: string): Value | null {
    const number = this.numberAt(tip, collection);
    const version = number === null ? null : this.#version(tip, number, id);
    return version === null ? null : valueOf(version);
  }

  /** All collections at `tip`, by name. */
  documentsAt(tip: Entry): ReadonlyMap<string, ReplayedCollection> {
    const collections = new Map<string, ReplayedCollection>();
    for (const number of this.#events.keys()) {
      const name = this.nameAt(tip, number);
      if (name === null) continue;
      collections.set(name, { number, name, documents: this.valuesAt(tip, number) });
    }
    return collections;
  }

  /** The documents of one collection at `tip`, by id. */
  valuesAt(tip: Entry, number: number): ReadonlyMap<string, Value> {
    const documents = new Map<string, Value>();
    for (const [id, versions] of this.#documents.get(number) ?? []) {
      const version = latest(versions, tip), value = version === null ? null : valueOf(version);
      if (value !== null) documents.set(id, value);
    }
    return documents;
  }

  /** The entry that made an index of this name anywhere; null: none did. */
  madeBy(name: string): Entry | null {
    for (const indexes of this.#indexes.values()) {
      const made = indexes.get(name.toLowerCase())?.find(({ index }) => index !== null);
      if (made !== undefined) return made.entry;
    }
    return null;
  }

  /** The indexes of a collection at `tip`. */
  indexesAt(tip: Entry, number: number): readonly IndexAt[] {
    const found: IndexAt[] = [];
    for (const events of this.#indexes.get(number)?.values() ?? []) {
      const index = latest(events, tip)?.index ?? null;
      if (index !== null) found.push(index);
    }
    return found;
  }

  /** Number of the collection that has this name, in any case, at `tip`; null: none. */
  numberAt(tip: Entry, name: string): number | null {
    for (const number of this.#numbers.get(name.toLowerCase()) ?? []) {
      if (this.nameAt(tip, number)?.toLowerCase() === name.toLowerCase()) return number;
    }
    return null;
  }

  /** Name of a collection at `tip`; null: there is none. */
  nameAt(tip: Entry, number: number): string | null {
    return latest(this.#events.get(number) ?? [], tip)?.name ?? null;
  }

  /** The name that a collection has or had at `tip`; null: it was never made there. */
  everNameAt(tip: Entry, number: number): string | null {
    const events = this.#events.get(number) ?? [];
    return events.find(({ entry, name }) => name !== null && contains(tip, entry))?.name ?? null;
  }

  /** Seq of the document's last change at `tip`, 0: there is none. */
  seqAt(tip: Entry, number: number, id: string): number {
    const version = this.#version(tip, number, id);
    return version === null || version.body === null ? 0 : version.entry.seq;
  }

  #version(tip: Entry, number: number, id: string): Version | null {
    return latest(this.#documents.get(number)?.get(id) ?? [], tip);
  }

  #apply(entry: Entry, operation: Operation): void {
    switch (operation.kind) {
      case "put":
      case "delete":
        return this.#change(entry, operation);
      case "createCollection":
        return this.#create(entry, operation);
      case "dropCollection":
        return this.#drop(entry, operation);
      case "createIndex":
      case "dropIndex":
        return this.#index(entry, operation);
    }
  }

  #change(entry: Entry, change: Put | Delete): void {
    const { collection, id, previous } = change, name = this.nameAt(entry, collection);
    if (name === null) throw misfit(entry, `it changes collection ${collection}, which does not exist`);
    const before = this.#version(entry, collection, id), seq = this.seqAt(entry, collection, id);
    if (before?.entry === entry) throw misfit(entry, `it changes ${name}/${id} twice`);
    if (seq !== previous) {
      throw misfit(
        entry,
        `it replaces ${name}/${id} of entry ${previous}, but that is of entry ${seq} (0: none)`,
      );
    }
    const createdMs = before === null || before.body === null ? entry.wallMs : before.createdMs;
    const documents = valueIn(this.#documents, collection, () => new Map<string, Version[]>());
    const body = change.kind === "put" ? change.body : null;
    valueIn(documents, id, () => []).push({ entry, body, createdMs });
  }

  #create(entry: Entry, { collection, name }: CreateCollection): void {
    const events = valueIn(this.#events, collection, () => []);
    if (latest(events, entry) !== null) {
      throw misfit(entry, `it makes collection ${collection} a second time`);
    }
    if (this.numberAt(entry, name) !== null) throw misfit(entry, `it makes collection ${name}, which exists`);
    events.push({ entry, name });
    valueIn(this.#numbers, name.toLowerCase(), () => new Set<number>()).add(collection);
  }

  #drop(entry: Entry, { collection }: DropCollection): void {
    if (this.nameAt(entry, collection) === null) {
      throw misfit(entry, `it drops collection ${collection}, which does not exist`);
    }
    this.#events.get(collection)?.push({ entry, name: null });
  }

  #index(entry: Entry, operation: CreateIndex | DropIndex): void {
    const { kind, collection, name } = operation;
    if (this.nameAt(entry, collection) === null) {
      throw misfit(entry, `it changes index ${name} of collection ${collection}, which does not exist`);
    }
    const events = valueIn(
      valueIn(this.#indexes, collection, () => new Map<string, IndexEvent[]>()),
      name.toLowerCase(),
      () => [],
    );
    const isThere = (latest(events, entry)?.index ?? null) !== null;
    if (isThere === (kind === "createIndex")) {
      throw misfit(entry, `${kind} ${name}: it ${isThere ? "exists" : "does not exist"}`);
    }
    events.push({ entry, index: kind === "createIndex" ? operation : null });
  }
}

/** The newest one that is in the history of `tip`. */
function latest<Event extends { readonly entry: Entry }>(events: readonly Event[], tip: Entry): Event | null {
  return events.findLast(({ entry }) => contains(tip, entry)) ?? null;
}

function valueOf(version: Version): Value | null {
  const { entry, body, createdMs } = version;
  if (body === null) return null;
  const { seq, wallMs } = entry;
  return version.value ??= { body: decoder.decode(body), entry, seq, createdMs, modifiedMs: wallMs };
}

function valueIn<Key, Item>(map: Map<Key, Item>, key: Key, make: () => Item): Item {
  let item = map.get(key);
  if (item === undefined) map.set(key, item = make());
  return item;
}

function misfit(entry: Entry, what: string): Violation {
  return new Violation("replay", `entry ${tokenOf(entry)}: ${what}`);
}
