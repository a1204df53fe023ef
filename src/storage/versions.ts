/** What a database with the bundle holds beside its documents. */
import type { DocumentId, Seq } from "../base/ids.ts";
import type { Dot, RunTree } from "../document/run_tree.ts";
import type { VersionSet } from "../document/version_set.ts";

/** What a key holds, and what it shows. */
export interface KeyVersions {
  /** Of the collection, as it is written now; of one that there is not any more in small letters. */
  readonly name: string;
  readonly id: DocumentId;
  /** The last entry that brought a version here, or changed what these versions show. */
  readonly change: Seq;
  /** Not empty. */
  readonly versions: VersionSet;
  readonly shown:
    | { readonly kind: "deleted" }
    | { readonly kind: "conflict" }
    | { readonly kind: "version"; readonly dot: Dot }
    /** `body`: of the document, that of no version. */
    | { readonly kind: "made"; readonly body: Uint8Array };
}

/** Bounds of one read; at least one key is read, however large. */
export interface KeyLimits {
  readonly keysMax: number;
  /** Sum of bodies after which no further key is read. */
  readonly bytesMax: number;
}

export interface KeyPage {
  readonly keys: readonly KeyVersions[];
  /** Pass as `after` for the next page, which may be empty and not the last; null at the end. */
  readonly next: KeyPlace | null;
}

/** A place in the order of collections and ids; of this file only. */
export interface KeyPlace {
  readonly space: number;
  readonly id: string;
}

/** A place in the order of changes; of this file only. */
export interface ChangePlace extends KeyPlace {
  readonly change: Seq;
}

export interface ChangedPage {
  /** In the order of `change`; each key once, at its last one. */
  readonly keys: readonly KeyVersions[];
  /** Pass as `after` for the next page; null: there is nothing more at present. */
  readonly next: ChangePlace | null;
  /** All that entries up to this one brought, and no later one changed, is in this page or before it. */
  readonly upTo: Seq;
}

/** A place in the order of {@linkcode VersionView.dotsSince}; of this file only. */
export interface DotPlace extends ChangePlace {
  readonly run: number;
}

export interface DotPage {
  /** `change`: the entry that brought the version here. */
  readonly dots: readonly { readonly change: Seq; readonly dot: Dot }[];
  /** Pass as `after` for the next page; null: there is nothing more at present. */
  readonly next: DotPlace | null;
}

/** Versions of the state that a view shows. */
export interface VersionView {
  /** Own runs and those learned. Not to be changed; a later state may have another tree. */
  readonly tree: RunTree;
  /** Kept with every change, never counted. Collections are named without regard to case, whether they are there or were. */
  counts(name: string): { readonly tombstones: number; readonly conflicts: number };
  /** Null: the key was never written, or it was purged; or its collection has no versions (`isReplicated`). */
  get(name: string, id: DocumentId): KeyVersions | null;
  /** `only`: of this collection alone. */
  conflicts(after: KeyPlace | null, limits: KeyLimits, only?: string): KeyPage;
  /** Keys that hold more than one version, whatever they show; `keysMax` bounds the versions that are looked at, two at least. */
  several(after: KeyPlace | null, limits: KeyLimits): KeyPage;
  /** Deleted keys; of a collection dropped a moment ago some may be missing still. */
  tombstones(after: KeyPlace | null, limits: KeyLimits): KeyPage;
  /**
   * Keys that entries after `after` changed. Ends before a drop of which the tombstones are not all written (`Storage.reclaim` does that).
   */
  changedSince(after: Seq | ChangePlace, limits: KeyLimits): ChangedPage;
  /**
   * Versions that entries after `after` brought, in the order of the entries, without reading what they say. What a drop has taken away a moment ago may
   * still be among them.
   */
  dotsSince(after: Seq | DotPlace, dotsMax: number): DotPage;
}
