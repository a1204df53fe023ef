import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";

/** Ids that no URL reaches: last parts of routes below a collection, and path segments that URL parsers remove. */
const reservedIds: ReadonlySet<string> = new Set(["ttl", "schema", "bulk", ".", ".."]);

/** `text` when it is a collection name that a client may use; throws `bad_request` otherwise. */
export function collectionName(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text)) {
    throw new DfdbError(
      "bad_request",
      "a collection name begins with a letter and goes on with letters, digits, _, - and .",
    );
  }
  if (text.length > limits.collectionNameCharsMax) {
    throw new DfdbError(
      "bad_request",
      `a collection name may have ${limits.collectionNameCharsMax} characters, not ${text.length}`,
    );
  }
  if (isReservedName(text)) {
    throw new DfdbError("bad_request", "collection names that begin with _ are reserved, and Raven is");
  }
  return text;
}

/** `text` when it is the name of an index that a client may make; throws `bad_request` otherwise. */
export function indexName(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text)) {
    throw new DfdbError(
      "bad_request",
      "the name of an index begins with a letter and goes on with letters, digits, _, - and .",
    );
  }
  if (text.length > limits.indexNameCharsMax) {
    throw new DfdbError(
      "bad_request",
      `the name of an index may have ${limits.indexNameCharsMax} characters, not ${text.length}`,
    );
  }
  if (text.startsWith("_")) {
    throw new DfdbError("bad_request", "names of indexes that begin with _ are reserved");
  }
  return text;
}

/** Holds what is set for collections: see `engine/collection_settings.ts`. */
export const settingsCollection = "_settings";

/** Holds the documents whose key has no slash (`document_key.ts`): as any collection of a client. */
export const docsCollection = "_docs";

/** Holds the system documents, keys `Raven/…`. */
export const systemCollection = "Raven";

/** True for the collections that hold what the database itself needs, system documents too: no client sees or names them. */
export function isReservedName(name: string): boolean {
  if (name.startsWith("_")) return collectionKey(name) !== docsCollection;
  return name.length === systemCollection.length && collectionKey(name) === "raven";
}

/** False for what stays in one database, also where it has the bundle. */
export function isReplicated(name: string): boolean {
  return !isReservedName(name);
}

/** What two spellings of one collection name have in common: names are compared without regard to case. */
export function collectionKey(name: string): string {
  return name.toLowerCase();
}

/** `text` when it is a document id that a client may use; throws `bad_request` or `reserved_id` otherwise. */
export function documentId(text: string): DocumentId {
  const bytes = idBytes(text);
  if (bytes === 0) throw new DfdbError("bad_request", "a document id may not be empty");
  if (bytes > limits.documentIdBytesMax) {
    throw new DfdbError(
      "bad_request",
      `a document id may have ${limits.documentIdBytesMax} bytes, not ${bytes}`,
    );
  }
  if (reservedIds.has(text)) throw new DfdbError("reserved_id", `the document id ${text} is reserved`);
  return text as DocumentId;
}

/** Bytes of UTF-8 that `text` takes; throws for what no id may hold. */
function idBytes(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
      throw new DfdbError(
        "bad_request",
        `a document id may not hold the control character ${codePoint(code)}`,
      );
    }
    if (code < 0x80) continue;
    bytes += code < 0x800 ? 1 : 2;
    if (code < 0xd800 || code > 0xdfff) continue;
    const next = text.charCodeAt(++at);
    if (code > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) {
      throw new DfdbError("bad_request", `a document id may not hold the lone surrogate ${codePoint(code)}`);
    }
  }
  return bytes;
}

function codePoint(code: number): string {
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
