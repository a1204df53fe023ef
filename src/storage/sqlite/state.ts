import type { CollectionNumber, Seq } from "../../base/ids.ts";
import type { Position, TermRecord } from "../log.ts";
import type { CollectionInfo } from "../storage.ts";
import type { Bundle, BundleCatalog } from "./bundle.ts";
import { foldName } from "./fold_name.ts";
import type { FormerId } from "./former_ids.ts";
import type { Indexes } from "./index_state.ts";

/** A collection as the catalog row has it; `name` is null from its drop until its rows are freed. */
export interface CollectionState {
  readonly number: CollectionNumber;
  readonly name: string | null;
  readonly documents: number;
  readonly nextRow: number;
  /** Its documents are settings: `ReadView.settingsVersion` tells of each change. */
  readonly settings: boolean;
}

/** Names of the collections whose changes `ReadView.settingsVersion` tells of. */
export const areSettings = (name: string): boolean => settingNames.has(foldName(name));
const settingNames: ReadonlySet<string> = new Set(["_settings", "_keys"]);

let lastVersion = 0;
/** A number that no state of any database had before in this process. */
export const newVersion = (): number => ++lastVersion;

/** The entry before the first one kept: `at(first - 1)` is answered from here. */
export interface Trimmed {
  readonly position: Position;
  readonly endBytes: number;
}

/** What memory holds of the committed database. Changes only after a COMMIT, as a whole. */
export interface State {
  position: Position;
  /** Sum of all payload bytes ever written. */
  endBytes: number;
  terms: readonly TermRecord[];
  former: readonly FormerId[];
  nextCollection: number;
  nextIndex: number;
  version: number;
  settingsVersion: number;
  indexes: Indexes;
  /** Null: this database has not the bundle. */
  bundle: Bundle | null;
  trimmed: Trimmed;
  /** The file says that it was closed cleanly: the next write takes that back. */
  clean: boolean;
  readonly collections: Map<CollectionNumber, CollectionState>;
  readonly numbers: Map<string, CollectionNumber>;
  readonly dropped: Set<CollectionNumber>;
}

/** Makes `state` what `next` is, in place: everything that reads holds on to `state`. */
export function replaceState(state: State, next: State): void {
  const { collections, numbers, dropped, ...values } = next;
  Object.assign(state, values);
  state.collections.clear();
  for (const [number, collection] of collections) state.collections.set(number, collection);
  state.numbers.clear();
  for (const [name, number] of numbers) state.numbers.set(name, number);
  state.dropped.clear();
  for (const number of dropped) state.dropped.add(number);
}

/** What a read may ask of committed or uncommitted state. */
export interface Catalog {
  readonly position: Position;
  readonly terms: readonly TermRecord[];
  readonly version: number;
  readonly settingsVersion: number;
  readonly indexes: Indexes;
  readonly bundle: BundleCatalog | null;
  collection(number: CollectionNumber): CollectionState | undefined;
  numberOf(name: string): CollectionNumber | undefined;
  list(): CollectionInfo[];
}

/** A mutable copy of the catalog row of a collection that the transaction touched. */
export interface CollectionDraft {
  readonly number: CollectionNumber;
  name: string | null;
  documents: number;
  nextRow: number;
  readonly settings: boolean;
}

/** Term of `number` (from 1), as `log.term` and `meta.trimmed_term` name it. */
export function termOf(state: { terms: readonly TermRecord[] }, number: number): TermRecord | undefined {
  return state.terms[number - 1];
}

export function committedCatalog(state: State): Catalog {
  return {
    get position() {
      return state.position;
    },
    get terms() {
      return state.terms;
    },
    get version() {
      return state.version;
    },
    get settingsVersion() {
      return state.settingsVersion;
    },
    get indexes() {
      return state.indexes;
    },
    get bundle() {
      return state.bundle;
    },
    collection: (number) => state.collections.get(number),
    numberOf: (name) => state.numbers.get(foldName(name)),
    list: () => infos(state.collections.values()),
  };
}

/** Linked collections by number. */
export function infos(collections: Iterable<CollectionState>): CollectionInfo[] {
  const list: CollectionInfo[] = [];
  for (const { number, name, documents } of collections) {
    if (name !== null) list.push({ number, name, documents });
  }
  return list.sort((a, b) => a.number - b.number);
}

/** Seq of the first entry kept. */
export function firstSeq(state: State): Seq {
  return (state.trimmed.position.seq + 1) as Seq;
}
