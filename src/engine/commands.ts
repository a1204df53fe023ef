/**
 * The writes that dfdb knows, as plans. Each checks what it must inside the transaction, then appends one entry
 * (bulk: one an element). A collection comes into being with its first document, in the same entry.
 */
import type { DocumentId, Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Operation } from "../document/operation.ts";
import type { CollectionInfo, ReadView, WriteTransaction } from "../storage/storage.ts";
import { settingsDropped } from "./collection_settings.ts";
import { conflictSeq } from "./conflicts.ts";
import type { Plan } from "./plan.ts";

/** A document to write; `body` as in the `put` operation. */
export interface NewDocument {
  readonly id: DocumentId;
  readonly body: Uint8Array;
}

/**
 * Decides whether the document's last change in the view, or that of its conflict, (0: it does not exist) is one that the client accepts; throws
 * if not.
 */
export type Precondition = (current: Seq, view: ReadView) => void;

export interface Written {
  readonly id: DocumentId;
  /** Entry of this change: with its term it makes the etag. */
  readonly seq: Seq;
  readonly created: boolean;
}

/** Outcome of one element of a bulk, in the order given. */
export type BulkOutcome = Written | { readonly error: DfdbError };

const overhead = 256;

/** What one document of a bulk is refused with, before anything of it is written. */
const failsAlone: ReadonlySet<string> = new Set(["duplicate_key", "schema_violation"]);

/** Throws `duplicate_key` when the id exists, also where it is in conflict. */
export function insertDocument(collection: string, document: NewDocument): Plan<Written> {
  return {
    bytes: document.body.length + overhead,
    run: (tx, wallMs) => insert(tx, collection, document, wallMs),
  };
}

/** Creates or replaces, and settles a conflict; throws what `precondition` throws. */
export function putDocument(
  collection: string,
  document: NewDocument,
  precondition: Precondition,
): Plan<Written> {
  return {
    bytes: document.body.length + overhead,
    run(tx, wallMs) {
      const info = tx.collection(collection);
      const previous = info === null ? seqOf(0) : tx.documentSeq(info.number, document.id);
      const conflict = info === null || previous !== 0 ? 0 : conflictSeq(tx, info.name, document.id);
      precondition(conflict === 0 ? previous : conflict, tx);
      const written = put(tx, collection, info, document, previous, wallMs);
      return conflict === 0 ? written : { ...written, created: false };
    },
  };
}

/** Deletes it, also where it is in conflict. Throws `not_found`, or what `precondition` throws. */
export function deleteDocument(
  collection: string,
  id: DocumentId,
  precondition: Precondition,
): Plan<Written> {
  return {
    bytes: overhead,
    run(tx, wallMs) {
      const info = tx.collection(collection);
      const previous = info === null ? seqOf(0) : tx.documentSeq(info.number, id);
      const current = info === null || previous !== 0 ? previous : conflictSeq(tx, info.name, id);
      precondition(current, tx);
      if (info === null || current === 0) {
        throw new DfdbError("not_found", `There is no document "${id}" in collection "${collection}"`);
      }
      const { seq } = tx.append([{ kind: "delete", collection: info.number, id, previous }], wallMs);
      return { id, seq, created: false };
    },
  };
}

/** Inserts each document on its own: one entry and one outcome each; what may not be written fails alone. */
export function bulkInsert(
  collection: string,
  documents: readonly NewDocument[],
): Plan<readonly BulkOutcome[]> {
  return {
    bytes: documents.reduce((sum, document) => sum + document.body.length + overhead, 0),
    run: (tx, wallMs) =>
      documents.map((document) => {
        try {
          return insert(tx, collection, document, wallMs);
        } catch (error) {
          if (error instanceof DfdbError && failsAlone.has(error.code)) return { error };
          throw error;
        }
      }),
  };
}

/** With all that is set for it. Throws `not_found` when there is none; answers the name as it was written first. */
export function dropCollection(name: string): Plan<{ readonly name: string; readonly documents: number }> {
  return {
    bytes: overhead,
    run(tx, wallMs) {
      const info = tx.collection(name);
      if (info === null) throw new DfdbError("not_found", `There is no collection "${name}"`);
      const settings = settingsDropped(tx, name);
      tx.append([{ kind: "dropCollection", collection: info.number }, ...settings], wallMs);
      return { name: info.name, documents: info.documents };
    },
  };
}

function insert(tx: WriteTransaction, collection: string, document: NewDocument, wallMs: WallMs): Written {
  const info = tx.collection(collection);
  if (info !== null && isTaken(tx, info, document.id)) {
    throw new DfdbError("duplicate_key", `A document "${document.id}" exists in collection "${info.name}"`, {
      details: { id: document.id },
    });
  }
  return put(tx, collection, info, document, seqOf(0), wallMs);
}

/** A document of that id is there, or versions of one that are in conflict. */
export function isTaken(tx: WriteTransaction, { number, name }: CollectionInfo, id: DocumentId): boolean {
  return tx.documentSeq(number, id) !== 0 || conflictSeq(tx, name, id) !== 0;
}

function put(
  tx: WriteTransaction,
  name: string,
  info: CollectionInfo | null,
  document: NewDocument,
  previous: Seq,
  wallMs: WallMs,
): Written {
  const operations: Operation[] = [];
  let collection = info?.number;
  if (collection === undefined) {
    checkCollections(tx.collections().length);
    collection = tx.newCollectionNumber();
    operations.push({ kind: "createCollection", collection, name });
  }
  operations.push({ kind: "put", collection, id: document.id, previous, body: document.body });
  const { seq } = tx.append(operations, wallMs);
  return { id: document.id, seq, created: previous === 0 };
}

/** Throws `bad_request` when `count` collections leave no room for one more. */
export function checkCollections(count: number): void {
  if (count < limits.collectionsMax) return;
  throw new DfdbError("bad_request", `A database holds at most ${limits.collectionsMax} collections`);
}
