import { utf8 } from "../base/bytes.ts";
import type { CollectionNumber, DocumentId, Seq } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import type { Operation } from "../document/operation.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";

/** Holds the documents whose keys begin with `Raven/`; the id is the rest. They stay in one database. */
export const systemCollection = "Raven";

export interface SystemDocument {
  /** Without `Raven/`. */
  readonly id: DocumentId;
  readonly body: string;
}

/** The stored text; null: there is none. */
export function systemDocument(view: ReadView, id: DocumentId): string | null {
  const info = view.collection(systemCollection);
  return info === null ? null : view.document(info.number, id)?.body ?? null;
}

/** Those whose ids begin with `prefix`, in the order of their ids, at most `most`. */
export function systemDocuments(view: ReadView, prefix: string, most: number): readonly SystemDocument[] {
  const info = view.collection(systemCollection);
  if (info === null) return [];
  const sql = `SELECT id, body FROM docs_${info.number} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?`;
  // No id goes on with more than the last code point.
  return [...view.select(sql, [prefix, `${prefix}\u{10ffff}`, most], true)].map(([id, body]) => ({
    id: documentIdOf(String(id)),
    body: String(body),
  }));
}

/** Makes the operations of one transaction on system documents; each document is changed once. */
export class SystemWriter {
  readonly #tx: WriteTransaction;
  #collection: CollectionNumber | null;

  constructor(tx: WriteTransaction) {
    this.#tx = tx;
    this.#collection = tx.collection(systemCollection)?.number ?? null;
  }

  /** Empty: it is so already. */
  put(id: DocumentId, text: string): readonly Operation[] {
    const operations: Operation[] = [];
    let collection = this.#collection, previous: Seq = seqOf(0);
    if (collection === null) {
      collection = this.#collection = this.#tx.newCollectionNumber();
      operations.push({ kind: "createCollection", collection, name: systemCollection });
    } else if (this.#isThere()) {
      previous = this.#tx.documentSeq(collection, id);
      if (previous !== 0 && this.#tx.document(collection, id)?.body === text) return [];
    }
    operations.push({ kind: "put", collection, id, previous, body: utf8(text) });
    return operations;
  }

  /** Empty: there is none, or it does not begin with `start`. */
  remove(id: DocumentId, start: string): readonly Operation[] {
    const collection = this.#collection;
    if (collection === null || !this.#isThere()) return [];
    const previous = this.#tx.documentSeq(collection, id);
    if (previous === 0) return [];
    if (this.#tx.document(collection, id)?.body.startsWith(start) !== true) return [];
    return [{ kind: "delete", collection, id, previous }];
  }

  /** False: what makes it is not appended yet. */
  #isThere(): boolean {
    return this.#tx.collection(systemCollection) !== null;
  }
}
