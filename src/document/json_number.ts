/** Numbers by their JSON text: compared and counted as decimals, so that nothing is rounded. */

/** True when `text` is one JSON number and nothing else. */
export function isNumberText(text: string): boolean {
  return /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/.test(text);
}

/** Negative, 0 or positive as the number `a` is less than, equal to or greater than `b`. Both are JSON numbers. */
export function compareNumbers(a: string, b: string): number {
  // Reading a decimal as a double never turns an order around: it can only make two numbers equal.
  const x = Number(a), y = Number(b);
  if (x !== y) return x < y ? -1 : 1;
  if (a === b || (isShort(a) && isShort(b))) return 0;
  const left = decimal(a), right = decimal(b);
  if (left.sign !== right.sign) return left.sign - right.sign;
  if (left.magnitude !== right.magnitude) return left.magnitude < right.magnitude ? -left.sign : left.sign;
  if (left.digits === right.digits) return 0;
  return left.digits < right.digits ? -left.sign : left.sign;
}

/** Up to 15 digits are told apart by a double. */
function isShort(text: string): boolean {
  return text.length <= 15 && !/[eE]/.test(text);
}

/** The integer that a JSON number is, however it is spelled; null: it has a fraction, or no double is so large. */
export function integerOf(text: string): bigint | null {
  const { sign, digits, magnitude } = decimal(text);
  if (sign === 0) return 0n;
  if (digits.length > magnitude || !Number.isFinite(Number(text))) return null;
  const whole = BigInt(digits + "0".repeat(magnitude - digits.length));
  return sign < 0 ? -whole : whole;
}

interface Decimal {
  readonly sign: -1 | 0 | 1;
  /** No zero at either end; "" = zero. */
  readonly digits: string;
  /** The number is 0.`digits` times ten to this. Exact up to 2^53. */
  readonly magnitude: number;
}

function decimal(text: string): Decimal {
  const e = text.search(/[eE]/), negative = text.startsWith("-");
  const plain = text.slice(negative ? 1 : 0, e < 0 ? text.length : e);
  const point = plain.indexOf("."), whole = point < 0 ? plain.length : point;
  const all = point < 0 ? plain : plain.slice(0, point) + plain.slice(point + 1);
  let from = 0, to = all.length;
  while (from < to && all.charCodeAt(from) === 0x30) from++;
  while (to > from && all.charCodeAt(to - 1) === 0x30) to--;
  if (from === to) return { sign: 0, digits: "", magnitude: 0 };
  const exponent = e < 0 ? 0 : Number(text.slice(e + 1));
  return { sign: negative ? -1 : 1, digits: all.slice(from, to), magnitude: exponent + whole - from };
}
