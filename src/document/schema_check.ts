/** Whether a document is as its collection's schema wants it: what can be said of its text alone. */
import { eachStep, firstIn, memberAt, nextAfter, valueEnd, valuesAt } from "./json_find.ts";
import { integerOf, isNumberText } from "./json_number.ts";
import { kindOf, valueOf } from "./json_value.ts";
import type { DocumentSchema, Field, SchemaType } from "./schema_definition.ts";

/** What a document does wrong: `message` says what was wanted and what came. */
export interface Violation {
  readonly field: string;
  readonly rule: "required" | "type" | "check" | "reference";
  readonly message: string;
}

/** Members of a document that its schema speaks of, by name, as compact JSON text. */
export type Members = ReadonlyMap<string, string>;

/** Those of `names` that the document has: one pass through its text, whatever is asked of them afterwards. */
export function membersOf(text: string, names: { has(name: string): boolean }): Members {
  const members = new Map<string, string>();
  for (let at = firstIn(text, 0); at >= 0;) {
    const { name, value } = memberAt(text, at), end = valueEnd(text, value);
    if (names.has(name)) members.set(name, text.slice(value, end));
    at = nextAfter(text, end);
  }
  return members;
}

/** As `valuesAt` of the whole document. */
export function valuesIn(members: Members, { member, rest }: Field): readonly (string | null)[] {
  const text = members.get(member);
  if (text === undefined) return rest.includes(eachStep) ? [] : [null];
  return valuesAt(text, rest);
}

/** The first required field or type that a document with these members does not meet; null: it meets all. */
export function firstViolation({ required, types }: DocumentSchema, members: Members): Violation | null {
  for (const field of required) {
    const missing = missingIn(members, field);
    if (missing === null) continue;
    const message = `${field.field} is required, and it is ${missing}`;
    return { field: field.field, rule: "required", message };
  }
  for (const rule of types) {
    const { field, type } = rule;
    for (const found of valuesIn(members, rule)) {
      if (found === null || found === "null" || isOf(type, found)) continue;
      return { field, rule: "type", message: `${field} must be ${wanted[type]}, not ${shown(found)}` };
    }
  }
  return null;
}

/** Null: all that the field names is there. With `[*]` each of the elements that there are must have it. */
function missingIn(members: Members, field: Field): "missing" | "null" | null {
  const found = valuesIn(members, field);
  if (found.length === 0) return field.rest.at(-1) === eachStep ? "missing" : null;
  if (found.includes(null)) return "missing";
  return found.includes("null") ? "null" : null;
}

const wanted: Readonly<Record<SchemaType, string>> = {
  string: "a string",
  int: "a whole number",
  number: "a number",
  bool: "true or false",
  datetime: "a date or time in ISO 8601",
  object: "an object",
  array: "an array",
};

/** `text` is compact JSON and not null. */
function isOf(type: SchemaType, text: string): boolean {
  const first = text.charAt(0);
  switch (type) {
    case "string":
      return first === '"';
    case "datetime":
      return first === '"' && text.length < datetimeCharsMax && isDatetime(String(valueOf(text)));
    case "bool":
      return first === "t" || first === "f";
    case "object":
      return first === "{";
    case "array":
      return first === "[";
    case "number":
      return isNumberText(text);
    case "int":
      return isNumberText(text) && integerOf(text) !== null;
  }
}

const datetimeCharsMax = 100;
const datetime =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?(?:Z|[+-](\d{2}):?(\d{2}))?)?$/;

/** A day of the calendar, with or without a time of that day and its zone: `2026-02-28`, `2026-02-28T12:00:00.5+01:00`. */
export function isDatetime(text: string): boolean {
  const found = datetime.exec(text);
  if (found === null) return false;
  const part = (index: number): number => Number(found[index] ?? 0);
  const month = part(2), day = part(3);
  if (month < 1 || month > 12 || day < 1 || day > daysOf(part(1), month)) return false;
  return part(4) < 24 && part(5) < 60 && part(6) < 60 && part(7) < 24 && part(8) < 60;
}

function daysOf(year: number, month: number): number {
  if (month !== 2) return [4, 6, 9, 11].includes(month) ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/** A value for a message: it comes from the client and may be long. */
export function shown(text: string): string {
  const value = valueOf(text), kind = kindOf(value);
  if (text.startsWith("{") || text.startsWith("[") || value === null) return kind;
  const short = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return typeof value === "boolean" ? short : `${kind.replace(/^a /, "the ")} ${short}`;
}
