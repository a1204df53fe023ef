import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { elementEnd, skipSpace } from "./json_array.ts";

const quote = 0x22, comma = 0x2c, colon = 0x3a, openObject = 0x7b, closeObject = 0x7d;

/**
 * The members of the JSON object in `bytes`, each value as a view without the whitespace around it. Members are
 * separated, not checked: each value must still be parsed. Throws `bad_request` for anything but one object, and for a
 * key that is given twice.
 */
export function objectMembers(bytes: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const members = new Map<string, Uint8Array>();
  let at = skipSpace(bytes, 0);
  if (bytes[at] !== openObject) throw malformed("expected a JSON object", at);
  at = skipSpace(bytes, at + 1);
  for (let more = bytes[at] !== closeObject; more;) {
    if (bytes[at] !== quote) throw malformed("expected a key of the JSON object", at);
    const end = elementEnd(bytes, at), name = key(bytes.subarray(at, end), at);
    if (members.has(name)) throw malformed("a key of the JSON object is given twice", at);
    at = skipSpace(bytes, end);
    if (bytes[at] !== colon) throw malformed('expected ":" in the JSON object', at);
    at = skipSpace(bytes, at + 1);
    const valueEnd = elementEnd(bytes, at);
    members.set(name, bytes.subarray(at, valueEnd));
    at = skipSpace(bytes, valueEnd);
    more = bytes[at] === comma;
    if (more) at = skipSpace(bytes, at + 1);
    else if (bytes[at] !== closeObject) throw malformed('expected "," or "}" in the JSON object', at);
  }
  at = skipSpace(bytes, at + 1);
  if (at < bytes.length) throw malformed("something follows the JSON object", at);
  return members;
}

function key(bytes: Uint8Array, at: number): string {
  try {
    return JSON.parse(utf8Text(bytes)) as string;
  } catch {
    throw malformed("a key of the JSON object is not valid", at);
  }
}

function malformed(message: string, offset: number): DfdbError {
  return new DfdbError("bad_request", `${message}, at byte ${offset}`, { details: { offset } });
}
