/**
 * A document as clients see it: the stored text with `_id` and `_etag` before its first member. The text is not
 * parsed, so whatever was stored is returned to the letter.
 */
export function documentText(id: string, etag: string, body: string): string {
  // An etag has nothing that JSON escapes. The shortest body is "{}": it takes no comma.
  return `{"_id":${idText(id)},"_etag":"${etag}"${body.length === 2 ? "" : ","}${body.slice(1)}`;
}

/** `id` as a JSON string. */
export function idText(id: string): string {
  return JSON.stringify(id);
}
