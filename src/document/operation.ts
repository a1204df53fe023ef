import type { CollectionNumber, DocumentId, Epoch, NodeId, RunId, Seq } from "../base/ids.ts";
import type { Step } from "./json_find.ts";
import type { Dot, RunNode } from "./run_tree.ts";
import type { Version } from "./version_set.ts";

/**
 * What a log entry does, as effects: never statements, never functions of time or chance. An entry holds one or more
 * operations, applied all or nothing, by the same code on leader and follower.
 */
export type Operation =
  | Put
  | Delete
  | CreateCollection
  | DropCollection
  | BeginTerm
  | CreateIndex
  | DropIndex
  | ActivateBundle
  | LearnRuns
  | SetVersions
  | PurgeTombstones;

/**
 * The document's new content. `previous` is the seq of the document's last change before this one, 0 when it did not
 * exist: an apply that finds anything else has met a divergence and stops.
 */
export interface Put {
  readonly kind: "put";
  readonly collection: CollectionNumber;
  readonly id: DocumentId;
  readonly previous: Seq;
  /** UTF-8 JSON text of one object, without `_id`, `_etag`, `@metadata`. */
  readonly body: Uint8Array;
}

/** `previous` as in {@linkcode Put}; 0 only where the key is in conflict, so that there is no document, but versions of one. */
export interface Delete {
  readonly kind: "delete";
  readonly collection: CollectionNumber;
  readonly id: DocumentId;
  readonly previous: Seq;
}

/** Links `name` to a number that was never used before in this database. */
export interface CreateCollection {
  readonly kind: "createCollection";
  readonly collection: CollectionNumber;
  readonly name: string;
}

/** Unlinks the name and those of its indexes; the rows are freed later, locally, in slices. */
export interface DropCollection {
  readonly kind: "dropCollection";
  readonly collection: CollectionNumber;
}

/** First operation of a run, alone in its entry; the entry itself belongs to the term that it begins. */
export interface BeginTerm {
  readonly kind: "term";
  readonly epoch: Epoch;
  readonly run: RunId;
  readonly nodeId: NodeId;
}

/** From here on the collection has the index: who wrote the entry had built it before, who applies it builds it afterwards. */
export interface CreateIndex extends IndexDefinition {
  readonly kind: "createIndex";
  readonly collection: CollectionNumber;
}

/** Unlinks the name; the keys are freed later, locally, in slices. */
export interface DropIndex {
  readonly kind: "dropIndex";
  readonly collection: CollectionNumber;
  readonly name: string;
}

/** What an index is; names are compared without regard to case within their collection. */
export interface IndexDefinition {
  readonly name: string;
  /** No two documents have the same keys, unless one of them is null; enforced by whoever writes the entries. */
  readonly unique: boolean;
  /** The key is the moment that the one path leads to, ms since 1970; documents without one have no key. */
  readonly time: boolean;
  /** One to `limits.indexPathsMax`; one of them may have a `[*]`. */
  readonly paths: readonly (readonly Step[])[];
}

/** From here on the database keeps versions. */
export interface ActivateBundle {
  readonly kind: "activateBundle";
  readonly bundle: "replication";
  /**
   * Each document becomes the version that the entry of its last change made: so it holds the event loop as long as there are documents, or is applied in
   * slices; alone in its entry. Else no collection that has versions has documents yet.
   */
  readonly adoptExisting?: boolean;
}

/**
 * Runs of other databases, or of this one that its own history has not, which vectors may name from here on: each after the one that it
 * continues. One that is known already, as the same, changes nothing. At most `limits.operationItemsMax`.
 */
export interface LearnRuns {
  readonly kind: "learnRuns";
  readonly runs: readonly RunNode[];
}

/**
 * What a key holds and shows from here on, as its leader judged it: versions that are here already and stay, and new ones; all others go. `previous`
 * as in {@linkcode Put}; 0, too, where the key is deleted or in conflict.
 */
export interface SetVersions {
  readonly kind: "setVersions";
  /** Of the collection: what was deleted outlives it. A document or a conflict needs the collection to be there. */
  readonly name: string;
  readonly id: DocumentId;
  readonly previous: Seq;
  readonly kept: readonly Dot[];
  readonly added: readonly Version[];
  readonly shown: ShownOfKey;
}

export type ShownOfKey =
  | { readonly kind: "deleted" }
  | { readonly kind: "conflict" }
  /**
   * `body`: that of a kept version which was not shown before. Null: it is an added one, or it was shown before, and then the document is not
   * changed.
   */
  | { readonly kind: "version"; readonly dot: Dot; readonly body: Uint8Array | null }
  /** The body of no version; the document is changed. */
  | { readonly kind: "made"; readonly body: Uint8Array };

/** Forgets keys of which nothing is left but deletions. At most `limits.operationItemsMax`, each once. */
export interface PurgeTombstones {
  readonly kind: "purgeTombstones";
  readonly name: string;
  readonly ids: readonly DocumentId[];
}
