/** Documents by one text: the collection is what stands before the first slash, the id is the rest. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { collectionKey, collectionName, docsCollection, documentId, systemCollection } from "./names.ts";

export interface DocumentKey {
  readonly collection: string;
  readonly id: DocumentId;
}

/** A key without a slash is in `_docs`. Throws `bad_request` or `reserved_id` for what names no document; `Raven/…` does. */
export function parseKey(key: string): DocumentKey {
  const slash = key.indexOf("/");
  if (slash < 0) return { collection: docsCollection, id: documentId(key) };
  const name = key.slice(0, slash), id = key.slice(slash + 1);
  if (id === "") throw new DfdbError("bad_request", "The key of a document does not end with a slash");
  if (isSystemKey(key)) return { collection: systemCollection, id: documentId(id) };
  return { collection: collectionName(name), id: documentId(id) };
}

/** The key that {@linkcode parseKey} reads. */
export function keyText({ collection, id }: DocumentKey): string {
  // With a slash in it, what is before that would be taken for a collection.
  const alone = collectionKey(collection) === docsCollection && !id.includes("/");
  return alone ? id : `${collection}/${id}`;
}

/** True for `Raven/…`, without regard to case, as names of collections are compared. */
export function isSystemKey(key: string): boolean {
  return /^raven\//i.test(key);
}
