import type { Value } from "../document/json_value.ts";
import { isNumber } from "../document/json_value.ts";

export type Operator = "+" | "-" | "*" | "/" | "%";

/**
 * Arithmetic on numbers, null for anything else, for division by 0 and for what no double holds. Integers of 64 bits are
 * exact while the result is one of them; all else is as doubles have it: 7 / 2 is 3.5, 7.5 % 2 is 1.5.
 */
export function calculated(operator: Operator, left: Value, right: Value): Value {
  if (!isNumber(left) || !isNumber(right)) return null;
  const a = Number(left.number), b = Number(right.number);
  const double = asDoubles(operator, a, b);
  const small = Number.isSafeInteger(a) && Number.isSafeInteger(b);
  if (!small || !Number.isSafeInteger(double)) {
    const exact = asIntegers(operator, left.number, right.number);
    if (exact !== null) return { number: String(exact) };
  }
  return Number.isFinite(double) ? { number: String(double) } : null;
}

function asDoubles(operator: Operator, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return b === 0 ? NaN : a / b;
    case "%":
      return a % b;
  }
}

/** Null: the operands are not written as integers, or one of the three is none of 64 bits. */
function asIntegers(operator: Operator, left: string, right: string): bigint | null {
  const a = integer64(left), b = integer64(right);
  if (a === null || b === null) return null;
  const exact = operator === "+"
    ? a + b
    : operator === "-"
    ? a - b
    : operator === "*"
    ? a * b
    : divided(operator, a, b);
  return exact !== null && BigInt.asIntN(64, exact) === exact ? exact : null;
}

function divided(operator: "/" | "%", a: bigint, b: bigint): bigint | null {
  if (b === 0n) return null;
  const rest = a % b;
  if (operator === "%") return rest;
  return rest === 0n ? a / b : null;
}

function integer64(text: string): bigint | null {
  if (!/^-?[0-9]{1,19}$/.test(text)) return null;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? value : null;
}

/** The number with the other sign; null for anything else. */
export function negated(value: Value): Value {
  if (!isNumber(value)) return null;
  if (Number(value.number) === 0 && !/[1-9]/.test(value.number.replace(/[eE].*/, ""))) return { number: "0" };
  return { number: value.number.startsWith("-") ? value.number.slice(1) : `-${value.number}` };
}
