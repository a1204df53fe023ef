import { compareNumbers, isNumberText } from "./json_number.ts";
import type { Value } from "./json_value.ts";
import { isNumber } from "./json_value.ts";

export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";

/**
 * True when the comparison of two values of documents holds. The rules for values of different types are those of the
 * query language (src/query/DESIGN.md, "Values"); null with anything does not hold.
 */
export function compares(operator: Comparison, left: Value, right: Value): boolean {
  if (left === null || right === null) return false;
  if (operator === "=") return equal(left, right);
  if (operator === "!=") return !equal(left, right);
  const order = ordered(left, right);
  if (order === null) return false;
  if (operator === "<") return order < 0;
  if (operator === "<=") return order <= 0;
  return operator === ">" ? order > 0 : order >= 0;
}

/** What a string that a statement or request holds itself stands for beside `other`: a number, if both are numbers. */
export function literalBeside(literal: Value, other: Value): Value {
  return typeof literal === "string" && isNumber(other) && isNumberText(literal)
    ? { number: literal }
    : literal;
}

function equal(left: Value, right: Value): boolean {
  if (isNumber(left) && isNumber(right)) return compareNumbers(left.number, right.number) === 0;
  if (typeof left === "string" && typeof right !== "string") return isTextOf(left, right);
  if (typeof right === "string" && typeof left !== "string") return isTextOf(right, left);
  return typeof left !== "object" && left === right;
}

/** True when `text` is the JSON text of a number or, in any case, of a boolean. */
function isTextOf(text: string, value: Value): boolean {
  if (typeof value === "boolean") return text.length < 6 && text.toLowerCase() === String(value);
  return isNumber(value) && text === value.number;
}

/** The order of two values of one type; null: they have none. */
function ordered(left: Value, right: Value): number | null {
  if (isNumber(left) && isNumber(right)) return compareNumbers(left.number, right.number);
  if (typeof left === "string" && typeof right === "string") return compareTexts(left, right);
  if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
  return null;
}

/** Negative, 0 or positive by code points: the order of the bytes in UTF-8. */
export function compareTexts(left: string, right: string): number {
  if (left === right) return 0;
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at), b = right.charCodeAt(at);
    if (a !== b) return rank(a) - rank(b);
  }
  return left.length - right.length;
}

/** Halves of code points above U+FFFF come after all other units. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
