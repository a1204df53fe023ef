import type { DocumentId } from "../base/ids.ts";
import type { StoredDocument } from "../storage/storage.ts";

/**
 * A document as clients see it: the stored text with `_id` and `_etag` before its first member. The text is not
 * parsed, so whatever was stored is returned to the letter.
 */
export function documentText(document: Pick<StoredDocument, "id" | "body">, etag: string): string {
  const { body } = document;
  // The shortest body is "{}": it takes no comma.
  return `{"_id":${idText(document.id)},"_etag":"${etag}"${body.length === 2 ? "" : ","}${body.slice(1)}`;
}

/** `id` as a JSON string. */
export function idText(id: DocumentId): string {
  return JSON.stringify(id);
}
