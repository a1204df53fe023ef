import { utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { checkNesting, reservedMembers, scanDocument } from "./json_scan.ts";
import { documentId } from "./names.ts";

/** How large one document may be. */
export interface DocumentLimits {
  /** Bytes of the text as it was sent, whitespace and reserved members included. */
  readonly bytesMax: number;
  /**
   * Levels of arrays and objects, the document itself being the first. Not above {@linkcode
   * nestingMaxLimit}.
   */
  readonly nestingMax: number;
}

/** A document as it is stored. */
export interface DocumentBody {
  /**
   * JSON text in UTF-8. May be the very bytes that were given: the caller must not change them afterwards.
   */
  readonly body: Uint8Array;
  /** The `_id` that was sent with it; null: none. */
  readonly id: DocumentId | null;
}

/** SQLite's JSON functions refuse text that nests deeper, so no setting may allow more. */
export const nestingMaxLimit = 1000;

/**
 * The stored text of the JSON object in `bytes`: what was sent, without insignificant whitespace and
 * without the top-level members `_id`, `_etag`, `@metadata`. Nothing else is altered; what a JSON parser
 * would silently alter (a key given twice, a number that no double holds) is refused. Throws `bad_request`,
 * `reserved_id` (for `_id`) and `payload_too_large`.
 */
export function documentBody(bytes: Uint8Array, limits: DocumentLimits): DocumentBody {
  if (bytes.length > limits.bytesMax) {
    throw new DfdbError(
      "payload_too_large",
      `a document may have ${limits.bytesMax} bytes, not ${bytes.length}`,
    );
  }
  const text = decode(bytes);
  checkNesting(text, limits.nestingMax);
  const document = parseObject(text);
  const id = document["_id"] === undefined ? null : sentId(document["_id"]);
  // Parsing and writing again gave the same text, so the parser lost nothing: no token need be looked at.
  if (looksCompact(text) && JSON.stringify(document) === text) {
    let reserved = 0;
    for (const name of reservedMembers) if (Object.hasOwn(document, name)) reserved++;
    if (reserved === 0) return { body: bytes, id };
    const body = withoutLeading(document, reserved, text, bytes);
    if (body !== null) return { body, id };
  }
  return { body: utf8(scanDocument(text)), id };
}

function decode(bytes: Uint8Array): string {
  let text: string;
  try {
    text = utf8Text(bytes);
  } catch {
    const mended = utf8(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
    let offset = 0;
    while (mended[offset] === bytes[offset]) offset++;
    throw new DfdbError("bad_request", `not valid UTF-8 near byte ${offset}`, { details: { offset } });
  }
  if (text.charCodeAt(0) !== 0xfeff) return text;
  throw new DfdbError("bad_request", "the JSON text begins with a byte order mark", {
    details: { offset: 0 },
  });
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    scanDocument(text); // says where: the parsers of the runtimes do not, or echo what was sent
    throw new DfdbError("bad_request", "not valid JSON", { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  const found = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
  throw new DfdbError("bad_request", `expected a JSON object, found ${found}`);
}

function sentId(value: unknown): DocumentId {
  if (typeof value === "string") return documentId(value);
  throw new DfdbError("bad_request", "_id must be a string");
}

/**
 * False when whitespace shows at the first places where a writer puts it; then writing again would be for
 * nothing.
 */
function looksCompact(text: string): boolean {
  return text.charCodeAt(1) > 0x20 && text.charCodeAt(text.indexOf('":') + 2) > 0x20;
}

/**
 * `bytes` without its reserved members when all `reserved` of them come first, as in a bulk load or in a
 * document that the server had returned; null when they do not. `text` is canonical, so lengths follow from
 * the values.
 */
function withoutLeading(
  document: Record<string, unknown>,
  reserved: number,
  text: string,
  bytes: Uint8Array,
): Uint8Array | null {
  let at = 0; // of the "{" or "," before the next member
  for (let left = reserved; left > 0; left--) {
    const name = reservedMembers.find((name) => text.startsWith(`"${name}":`, at + 1));
    if (name === undefined) return null;
    at += name.length + 4 + JSON.stringify(document[name]).length;
  }
  const last = text.length - 1;
  const byte = text.length === bytes.length ? at : utf8(text.slice(0, at)).length;
  const body = new Uint8Array(bytes.subarray(at === last ? byte - 1 : byte));
  body[0] = 0x7b;
  return body;
}
