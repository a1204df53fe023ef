import { compareNumbers } from "../document/json_number.ts";
import type { Value } from "../document/json_value.ts";
import { jsonOf } from "../document/json_value.ts";
import { compares, compareTexts, literalBeside } from "../document/json_compare.ts";
import type { Comparison } from "./ast.ts";

/** One side of a comparison. */
export interface Side {
  readonly value: Value;
  /** Stands in the statement itself, or is a parameter of it. */
  readonly literal: boolean;
}

/** True when the comparison holds: the rules are in DESIGN.md, "Values". */
export function satisfies(operator: Comparison, left: Side, right: Side): boolean {
  const a = left.literal ? literalBeside(left.value, right.value) : left.value;
  const b = right.literal ? literalBeside(right.value, left.value) : right.value;
  return compares(operator, a, b);
}

/**
 * Negative, 0 or positive as `a` comes before, with or after `b` in `ORDER BY`: DESIGN.md, "Order". Different values may
 * come together (true and 1).
 */
export function order(a: Value, b: Value): number {
  const x = place(a), y = place(b);
  if (typeof x === "string" && typeof y === "string") return compareTexts(x, y);
  if (x === null || y === null || typeof x === "string" || typeof y === "string") return group(x) - group(y);
  return compareNumbers(x.number, y.number);
}

/** By what a value is ordered: nothing, a number, or a text. */
function place(value: Value): null | string | { readonly number: string } {
  if (typeof value === "boolean") return { number: value ? "1" : "0" };
  return typeof value === "object" && value !== null && "json" in value ? jsonOf(value) : value;
}

function group(placed: ReturnType<typeof place>): number {
  return placed === null ? 0 : typeof placed === "string" ? 2 : 1;
}

/** True when all of `text` fits the pattern: `%` for any run of code points, `_` for one, ASCII letters in any case. */
export function like(text: string, pattern: string): boolean {
  const t = asciiLower(text), p = asciiLower(pattern);
  let at = 0, next = 0;
  /** After the last `%`: where the pattern goes on, and from where it was tried in the text. */
  let again = -1, tried = 0;
  while (at < t.length) {
    const wanted = p.charAt(next);
    if (wanted === "%") {
      again = ++next;
      tried = at;
    } else if (wanted === "_") {
      next++;
      at += unitsAt(t, at);
    } else if (wanted !== "" && wanted === t.charAt(at)) {
      next++;
      at++;
    } else if (again >= 0) {
      next = again;
      tried += unitsAt(t, tried);
      at = tried;
    } else return false;
  }
  while (p.charAt(next) === "%") next++;
  return next === p.length;
}

/** UTF-16 units of the code point at `at`. */
function unitsAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

export function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

export function asciiUpper(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}
