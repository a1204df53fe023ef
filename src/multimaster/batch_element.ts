import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { elementEnd, skipSpace } from "../document/json_array.ts";

const quote = 0x22, comma = 0x2c, colon = 0x3a, backslash = 0x5c, openObject = 0x7b, closeObject = 0x7d;
const metadataKey = '"@metadata"';

/** One element of a batch, in its two parts. */
export interface Split {
  /** The value of `@metadata`: an object as far as its braces tell. */
  readonly metadata: Uint8Array;
  /** The object without it, byte by byte, what is between it and the next member included. Not checked. */
  readonly body: Uint8Array;
}

/**
 * Takes `@metadata` out of an element. Where it is the first member all else is the body, which may have one of its own; elsewhere there may be but one.
 * Throws `bad_request` with the element's number where there is none.
 */
export function splitElement(element: Uint8Array, number: number): Split {
  try {
    return split(element);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    throw new DfdbError("bad_request", `element ${number} of the batch: ${thrown.message}`, {
      details: { element: number },
    });
  }
}

function split(bytes: Uint8Array): Split {
  if (bytes[0] !== openObject) throw bad("it is not an object");
  let found: { readonly metadata: Uint8Array; readonly body: Uint8Array } | null = null;
  let before = 0; // of the brace or comma before the member
  for (let at = skipSpace(bytes, 1), more = bytes[at] !== closeObject; more;) {
    if (bytes[at] !== quote) throw bad(`expected a key at byte ${at}`);
    const keyEnd = elementEnd(bytes, at), name = bytes.subarray(at, keyEnd);
    let value = skipSpace(bytes, keyEnd);
    if (bytes[value] !== colon) throw bad(`expected ":" at byte ${value}`);
    value = skipSpace(bytes, value + 1);
    const valueEnd = elementEnd(bytes, value), next = skipSpace(bytes, valueEnd);
    more = bytes[next] === comma;
    if (!more && bytes[next] !== closeObject) throw bad(`expected "," or "}" at byte ${next}`);
    if (isMetadata(name)) {
      if (bytes[value] !== openObject) throw bad("@metadata is not an object");
      if (found !== null) throw bad("@metadata is given twice");
      const body = before === 0 ? afterFirst(bytes, next) : without(bytes, before, valueEnd);
      found = { metadata: bytes.subarray(value, valueEnd), body };
      if (before === 0) return found;
    }
    before = next;
    at = skipSpace(bytes, next + 1);
  }
  if (found === null) throw bad("@metadata is missing");
  return found;
}

/** What follows the first member: `next` is the comma or the brace after it. */
function afterFirst(bytes: Uint8Array, next: number): Uint8Array {
  if (bytes[next] === closeObject) return Uint8Array.of(openObject, closeObject);
  const body = bytes.slice(next);
  // A comma that nothing follows is no JSON, and is to be none without the member either.
  if (bytes[skipSpace(bytes, next + 1)] === quote) body[0] = openObject;
  return body;
}

function without(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const body = new Uint8Array(bytes.length - (to - from));
  body.set(bytes.subarray(0, from));
  body.set(bytes.subarray(to), from);
  return body;
}

function isMetadata(name: Uint8Array): boolean {
  if (!name.includes(backslash)) {
    if (name.length !== metadataKey.length) return false;
    for (let i = 0; i < name.length; i++) if (name[i] !== metadataKey.charCodeAt(i)) return false;
    return true;
  }
  try {
    return JSON.parse(utf8Text(name)) === "@metadata";
  } catch {
    return false; // the body is not JSON then, which is said of it
  }
}

function bad(what: string): DfdbError {
  return new DfdbError("bad_request", what);
}
