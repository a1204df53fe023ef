import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { checkNesting, scanDocument } from "./json_scan.ts";

/**
 * A JSON value as conditions and expressions see it: numbers keep their text, arrays and objects are their compact
 * text. A value that is not there is null.
 */
export type Value = null | boolean | string | JsonNumber | JsonTree;

export interface JsonNumber {
  readonly number: string;
}

/** An array or an object. */
export interface JsonTree {
  readonly json: string;
}

/** The value whose compact JSON text is `text`; null: it is not there. */
export function valueOf(text: string | null): Value {
  if (text === null) return null;
  switch (text.charAt(0)) {
    case '"':
      return text.includes("\\") ? JSON.parse(text) as string : text.slice(1, -1);
    case "{":
    case "[":
      return { json: text };
    case "t":
      return true;
    case "f":
      return false;
    case "n":
      return null;
    default:
      return { number: text };
  }
}

/** The compact JSON text of `value`. */
export function jsonOf(value: Value): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return "number" in value ? value.number : value.json;
}

export function isNumber(value: Value): value is JsonNumber {
  return typeof value === "object" && value !== null && "number" in value;
}

/** What the value is called in messages. */
export function kindOf(value: Value): string {
  if (value === null) return "null";
  if (typeof value !== "object") return `a ${typeof value}`;
  if ("number" in value) return "a number";
  return value.json.startsWith("[") ? "an array" : "an object";
}

const before = '{"":', after = "}";

/**
 * The text of one JSON value as it is stored: without whitespace between its tokens, each of which is kept to the letter.
 * What a document may not hold (a key given twice, a number that a double would change) is refused, as is everything
 * that is not one JSON value. Members named `_id`, `_etag`, `@metadata` stay. Throws `bad_request`.
 */
export function compactValue(text: string, nestingMax: number): string {
  checkNesting(text, nestingMax);
  let parsed: unknown, cause: unknown = null;
  try {
    parsed = JSON.parse(text);
    if (JSON.stringify(parsed) === text) return text;
  } catch (thrown) {
    cause = thrown;
  }
  let scanned: string;
  try {
    scanned = scanDocument(before + text + after); // as the member of a document, whose own members may not be dropped
  } catch (thrown) {
    throw thrown instanceof DfdbError ? moved(thrown, text) : thrown;
  }
  if (cause === null) return scanned.slice(before.length, -after.length);
  throw new DfdbError("bad_request", "not valid JSON: expected one value", { cause });
}

/** The error with the place where the value has it, which was found in the document around it. */
function moved(error: DfdbError, text: string): DfdbError {
  const offset = Math.min(Number(error.details["offset"]) - before.length, utf8(text).length);
  const message = error.message.replace(/at byte \d+ in \$(?:\[""\])?/, `at byte ${offset} in $`);
  return new DfdbError(error.code, message, { details: { ...error.details, offset } });
}
