/** Comparisons as SQL: the rules are in DESIGN.md, "Values". Each gives 1, or 0 or null for "not true". */
import type { Comparison } from "./ast.ts";
import { refusal } from "./catalog.ts";
import type { Constant, ConstantClass, Scalar } from "./compile_constants.ts";
import {
  asKey,
  asLower,
  asNumber,
  asText,
  isNumberClass,
  isNumericClass,
  isStringClass,
} from "./compile_constants.ts";
import type { Slots } from "./compile_slots.ts";
import { joined } from "./compile_slots.ts";
import type { Operand } from "./compile_values.ts";
import { isNumber, numberText, types } from "./compile_values.ts";

const never = "0";
/** SQLite takes 50,000 bytes. */
const patternCharsMax = 10_000;

const turned: Readonly<Record<Comparison, Comparison>> = {
  "=": "=",
  "!=": "!=",
  "<": ">",
  "<=": ">=",
  ">": "<",
  ">=": "<=",
};

export function compareSql(operator: Comparison, left: Operand, right: Operand, slots: Slots): string {
  // A constant stands on the right; of two the string, because beside a number it may be one.
  if (left.constant !== null && (right.constant === null || isStringClass(left.constant.class))) {
    return compareSorted(turned[operator], right, left, slots);
  }
  return compareSorted(operator, left, right, slots);
}

function compareSorted(operator: Comparison, left: Operand, right: Operand, slots: Slots): string {
  if (left.may === 0 && isNothing(left.constant)) return never;
  if (operator === "=") return equalSql(left, right, slots);
  if (operator === "!=") {
    if (right.constant?.class === "null") return never;
    const there = [left.value(), ...(right.constant === null ? [right.value()] : [])];
    return `(${there.map((value) => `${value} IS NOT NULL`).join(" AND ")} AND NOT coalesce(${
      equalSql(left, right, slots)
    }, 0))`;
  }
  return right.constant === null
    ? generalOrder(operator, left, right)
    : orderSql(operator, left, right.constant, slots);
}

function isNothing(constant: Constant | null): boolean {
  return constant?.class === "null";
}

function equalSql(left: Operand, right: Operand, slots: Slots): string {
  return right.constant === null ? generalEqual(left, right, slots) : inSql(left, [right.constant], slots);
}

/** True when the value equals one of the constants: they are sorted by class, so that a long list is not a deep expression. */
export function inSql(left: Operand, constants: readonly Constant[], slots: Slots): string {
  const lists = new Lists();
  for (const constant of constants) addConstant(lists, left, constant, slots);
  const value = left.value, type = left.type;
  const parts = [
    ...isIn(value, lists.values),
    ...isIn(value, lists.numbers).map((found) => `(${found} AND ${type()} ${isNumber})`),
    ...isIn(value, lists.texts).map((found) => `(${found} AND ${type()} = 'text')`),
    ...isIn(type, lists.types),
    ...isIn(() => `lower(${value()})`, lists.lower),
  ];
  return parts.length === 0 ? never : parts.length === 1 ? parts[0]! : `(${parts.join(" OR ")})`;
}

/** What a value must be one of. */
class Lists {
  /** The value alone tells. */
  readonly values: string[] = [];
  /** And it is a number: the key may be that of a boolean. */
  readonly numbers: string[] = [];
  /** And it is a string: it may be the text of an array. */
  readonly texts: string[] = [];
  /** Its type is one of these. */
  readonly types: string[] = [];
  /** In lower case. */
  readonly lower: string[] = [];
}

function isIn(value: () => string, list: readonly string[]): string[] {
  if (list.length === 0) return [];
  return [list.length === 1 ? `${value()} = ${list[0]}` : `${value()} IN (${list.join(",")})`];
}

function addConstant(lists: Lists, left: Operand, constant: Constant, slots: Slots): void {
  const name = constant.class;
  const may = (type: number): boolean => (left.may & type) !== 0;
  if (isStringClass(name)) {
    const { texts, values, types: typeNames } = lists;
    const guarded = name === "bracket" && may(types.container);
    if (may(types.text)) (guarded ? texts : values).push(slots.bind(constant.slot(asText)));
    if (isNumericClass(name) && name !== "numericInexact" && may(types.number)) {
      const bare = name === "numeric" || !may(types.boolean);
      (bare ? values : lists.numbers).push(slots.bind(constant.slot(asNumber)));
    }
    if (name === "boolean" && may(types.boolean)) typeNames.push(slots.bind(constant.slot(asLower)));
  } else if (isNumberClass(name)) {
    if (may(types.text)) lists.values.push(slots.bind(constant.slot(asText)));
    if (name === "inexact" || !may(types.number)) return;
    const bare = name !== "unit" || !may(types.boolean);
    (bare ? lists.values : lists.numbers).push(slots.bind(constant.slot(asKey)));
  } else if (name === "true" || name === "false") {
    if (may(types.boolean)) lists.types.push(`'${name}'`);
    if (may(types.text)) lists.lower.push(`'${name}'`);
  }
}

function orderSql(operator: Comparison, left: Operand, constant: Constant, slots: Slots): string {
  const name = constant.class;
  const parts: string[] = [];
  const add = (type: number, slot: string, guard: string): void => {
    const bare = left.may === type;
    parts.push(`(${left.value()} ${operator} ${slot}${bare ? "" : ` AND ${left.type()} ${guard}`})`);
  };
  if (isStringClass(name)) {
    if (left.may & types.text) add(types.text, slots.bind(constant.slot(asText)), "= 'text'");
    if (isNumericClass(name) && left.may & types.number) {
      add(types.number, slots.bind(constant.slot(asNumber)), isNumber);
    }
  } else if (isNumberClass(name)) {
    if (left.may & types.number) add(types.number, slots.bind(constant.slot(asKey)), isNumber);
  } else if (name === "true" || name === "false") {
    if (left.may & types.boolean) add(types.boolean, name === "true" ? "1" : "0", "IN ('true','false')");
  }
  return parts.length === 0 ? never : parts.length === 1 ? parts[0]! : `(${parts.join(" OR ")})`;
}

/** One name for each kind of value; null for arrays and objects, which compare with nothing. */
function kindSql(operand: Operand): string {
  if (operand.may === types.text || operand.may === types.number) {
    return operand.may === types.text ? "'t'" : "'n'";
  }
  return `CASE ${operand.type()} WHEN 'text' THEN 't' WHEN 'integer' THEN 'n' WHEN 'real' THEN 'n' ` +
    `WHEN 'true' THEN 'b' WHEN 'false' THEN 'b' END`;
}

function generalOrder(operator: Comparison, left: Operand, right: Operand): string {
  if ((left.may & right.may) === 0) return never;
  const same = left.may === right.may && (left.may === types.text || left.may === types.number);
  const compared = `${left.value()} ${operator} ${right.value()}`;
  return same ? `(${compared})` : `(${compared} AND ${kindSql(left)} = ${kindSql(right)})`;
}

/** As a join compares two paths: a string equals a boolean only when it is its JSON text to the letter, so that both have keys to be found by. */
export function joinEqual(left: Operand, right: Operand, slots: Slots): string {
  return generalEqual(left, right, slots, (text) => text);
}

/** What a value of a join is found by beside itself: a number or boolean by its text, the text of one by what it says. */
export function otherKey(operand: Operand): string {
  const value = operand.value();
  return `CASE ${operand.type()} WHEN 'text' THEN CASE WHEN json_valid(${value}) THEN ` +
    `CASE WHEN json_type(${value}) IN ('integer','real','true','false') THEN ${value} ->> '$' END END ` +
    `WHEN 'array' THEN NULL WHEN 'object' THEN NULL ELSE ${operand.json()} END`;
}

function generalEqual(
  left: Operand,
  right: Operand,
  slots: Slots,
  spelled = (text: string): string => `lower(${text})`,
): string {
  const parts: string[] = [];
  if ((left.may & right.may) !== 0) parts.push(generalOrder("=", left, right));
  for (const [text, other] of [[left, right], [right, left]] as const) {
    if ((text.may & types.text) === 0) continue;
    const isText = text.may === types.text ? "" : ` AND ${text.type()} = 'text'`;
    if (other.may & types.number) {
      const guard = other.may === types.number ? "" : ` AND ${other.type()} ${isNumber}`;
      parts.push(`(${text.value()} = ${numberText(other, slots)}${isText}${guard})`);
    }
    if (other.may & types.boolean) {
      parts.push(
        `(${spelled(text.value())} = ${other.type()} AND ${other.type()} IN ('true','false')${isText})`,
      );
    }
  }
  return parts.length === 0 ? never : `(${joined(parts, "OR")})`;
}

function asPattern({ text }: Scalar): string {
  if (text.length <= patternCharsMax) return text;
  throw refusal(`a pattern of LIKE has ${patternCharsMax} characters at most, not ${text.length}`, 0);
}

/** Strings alone; ASCII letters in any case. */
export function likeSql(left: Operand, pattern: Operand, slots: Slots): string {
  for (const side of [left, pattern]) if ((side.may & types.text) === 0) return never;
  const guards = [left, pattern].filter((side) => side.may !== types.text).map((side) =>
    ` AND ${side.type()} = 'text'`
  );
  const text = pattern.constant === null ? pattern.value() : slots.bind(pattern.constant.slot(asPattern));
  return `(${left.value()} LIKE ${text}${guards.join("")})`;
}

/** Keys under which an index has the values that equal a constant; null: it cannot be asked. */
export interface Keys {
  readonly slots: readonly ((constant: Constant) => ReturnType<Constant["slot"]>)[];
  /** No other value has one of these keys. */
  readonly exact: boolean;
}

/** By class; a class that is not here is not looked up. */
export const keysOf: Readonly<Partial<Record<ConstantClass, Keys>>> = {
  string: { slots: [(c) => c.slot(asText)], exact: true },
  low: { slots: [(c) => c.slot(asText)], exact: true },
  bracket: { slots: [(c) => c.slot(asText)], exact: false },
  boolean: {
    slots: [(c) => c.slot(asText), (c) => c.slot((s) => asLower(s) === "true" ? 1 : 0)],
    exact: false,
  },
  numeric: { slots: [(c) => c.slot(asText), (c) => c.slot(asNumber)], exact: true },
  numericUnit: { slots: [(c) => c.slot(asText), (c) => c.slot(asNumber)], exact: false },
  numericInexact: { slots: [(c) => c.slot(asText)], exact: true },
  below: { slots: [(c) => c.slot(asKey), (c) => c.slot(asText)], exact: true },
  above: { slots: [(c) => c.slot(asKey), (c) => c.slot(asText)], exact: true },
  unit: { slots: [(c) => c.slot(asKey), (c) => c.slot(asText)], exact: false },
  inexact: { slots: [(c) => c.slot(asText)], exact: true },
  true: { slots: [() => 1, ...spellings("true")], exact: false },
  false: { slots: [() => 0, ...spellings("false")], exact: false },
};

/** Every string that equals a boolean: `true`, `True`, `tRue`, ... */
function spellings(word: string): (() => string)[] {
  let all = [""];
  for (const letter of word) all = all.flatMap((start) => [start + letter, start + letter.toUpperCase()]);
  return all.map((text) => () => text);
}
