import type { CollectionNumber, DocumentId, Epoch, NodeId, RunId, Seq } from "../base/ids.ts";

/**
 * What a log entry does, as effects: never statements, never functions of time or chance. An entry holds one or more
 * operations, applied all or nothing, by the same code on leader and follower.
 */
export type Operation = Put | Delete | CreateCollection | DropCollection | BeginTerm;

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

/** Unlinks the name; the rows are freed later, locally, in slices. */
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
