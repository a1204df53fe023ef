import type { CollectionNumber, DocumentId, Epoch, NodeId, RunId, Seq } from "../base/ids.ts";
import type { Step } from "./json_find.ts";

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
  | DropIndex;

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

/** `previous` as in {@linkcode Put}, never 0. */
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
