import { DfdbError } from "../base/errors.ts";

/** How large one bulk request may be. */
export interface ArrayLimits {
  /** Elements. */
  readonly bulkDocumentsMax: number;
}

const quote = 0x22, comma = 0x2c, openArray = 0x5b, backslash = 0x5c, closeArray = 0x5d;
/** `[` and `{`, `]` and `}` differ in this bit only. */
const braceBit = 0x20, open = 0x7b, close = 0x7d;
/** Bytes of a string that are looked at one by one before the native search takes over. */
const shortString = 24;

/**
 * The elements of the JSON array in `bytes`, each as a view without the whitespace around it, found as they
 * are asked for. Elements are separated, not checked: each must still be parsed, and a text whose elements
 * all parse is a JSON array. Throws `bad_request` for anything but one array and `payload_too_large` for
 * too many elements, when the place is reached: elements before it have been handed out by then.
 */
export function* arrayElements(bytes: Uint8Array, limits: ArrayLimits): Generator<Uint8Array, void, void> {
  let at = skipSpace(bytes, 0);
  if (bytes[at] !== openArray) throw malformed("expected a JSON array", at);
  at = skipSpace(bytes, at + 1);
  let more = bytes[at] !== closeArray;
  for (let count = 0; more; count++) {
    if (count === limits.bulkDocumentsMax) {
      throw new DfdbError("payload_too_large", `an array may have ${limits.bulkDocumentsMax} elements`);
    }
    const end = elementEnd(bytes, at);
    yield bytes.subarray(at, end);
    at = skipSpace(bytes, end);
    if (at === bytes.length) throw malformed("the JSON array is not closed", at);
    more = bytes[at] === comma;
    if (more) at = skipSpace(bytes, at + 1);
    else if (bytes[at] !== closeArray) throw malformed('expected "," or "]" in the JSON array', at);
  }
  at = skipSpace(bytes, at + 1);
  if (at < bytes.length) throw malformed("something follows the JSON array", at);
}

/** Index past the element that begins at `at`; which closing bracket it has is not checked. */
export function elementEnd(bytes: Uint8Array, at: number): number {
  const code = bytes[at];
  if (code === undefined) throw malformed("the JSON array is not closed", at);
  if (code === quote) return stringEnd(bytes, at);
  if ((code | braceBit) === open) return containerEnd(bytes, at);
  const end = scalarEnd(bytes, at);
  if (end === at) throw malformed("expected an element of the JSON array", at);
  return end;
}

/**
 * Which bracket closes which does not matter here: a mix-up stays inside the element, which then does not
 * parse.
 */
function containerEnd(bytes: Uint8Array, start: number): number {
  let depth = 0;
  for (let at = start; at < bytes.length;) {
    const code = bytes[at] as number;
    if (code === quote) {
      at = stringEnd(bytes, at);
      continue;
    }
    at++;
    if ((code | braceBit) === open) depth++;
    else if ((code | braceBit) === close && --depth === 0) return at;
  }
  throw malformed("an element of the JSON array is not closed", start);
}

/** Index past the closing quote of the string that begins at `start`. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  for (const near = Math.min(bytes.length, at + shortString); at < near; at++) {
    const code = bytes[at];
    if (code === quote) return at + 1;
    if (code === backslash) at++;
  }
  for (let from = at; (at = bytes.indexOf(quote, at)) >= 0; at++) {
    let escapes = 0;
    while (at - escapes > from && bytes[at - escapes - 1] === backslash) escapes++;
    if (escapes % 2 === 0) return at + 1;
    from = at + 1;
  }
  throw malformed("a string in the JSON array is not closed", start);
}

function scalarEnd(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    const code = bytes[at] as number;
    const delimiter = code === comma || code === quote || code <= 0x20;
    if (delimiter || (code | braceBit) === open || (code | braceBit) === close) return at;
  }
  return bytes.length;
}

export function skipSpace(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    const code = bytes[at];
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
  }
  return bytes.length;
}

function malformed(message: string, offset: number): DfdbError {
  return new DfdbError("bad_request", `${message}, at byte ${offset}`, { details: { offset } });
}
