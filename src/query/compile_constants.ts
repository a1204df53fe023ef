/** Literals and parameters: their class is known when a statement is compiled, their value when it runs. */
import { isNumberText } from "../document/json_number.ts";
import { keepsValue } from "../document/json_scan.ts";
import type { Expression, Literal } from "./ast.ts";
import { refusal } from "./catalog.ts";
import type { Inputs, QueryParameters, Slot, SqlValue } from "./compile_slots.ts";

/**
 * What a comparison has to know of a value.
 * Numbers: `below` 0, `unit` (0 to 1, where booleans have their keys), `above` 1, `inexact` (no double is it, so no number of a document).
 * Strings: `numeric`, `numericUnit` (0 to 1), `numericInexact` (the text of a JSON number), `boolean` (`true`, `false` in any case), `bracket`
 * (may be the text of an array or object), `low` (before any such text in order), `string` (any other).
 * `other`: an array or an object.
 */
export type ConstantClass =
  | "null"
  | "true"
  | "false"
  | "below"
  | "unit"
  | "above"
  | "inexact"
  | "numeric"
  | "numericUnit"
  | "numericInexact"
  | "boolean"
  | "bracket"
  | "low"
  | "string"
  | "other";

export interface Scalar {
  readonly value: string | number | bigint | boolean | null;
  /** Of a number: its JSON text. Of a string: itself. */
  readonly text: string;
}

export interface Constant {
  readonly class: ConstantClass;
  slot(make: (scalar: Scalar) => SqlValue): Slot;
}

const minus = 0x2d, zero = 0x30, nine = 0x39, openArray = 0x5b, openObject = 0x7b;
const booleanText = /^(?:true|false)$/i;
const wholeText = /^-?[0-9]{16,19}$/;

export function isNumberClass(name: ConstantClass): boolean {
  return name === "below" || name === "unit" || name === "above" || name === "inexact";
}

/** A string that is the text of a number: beside a number it is one. */
export function isNumericClass(name: ConstantClass): boolean {
  return name === "numeric" || name === "numericUnit" || name === "numericInexact";
}

export function isStringClass(name: ConstantClass): boolean {
  return isNumericClass(name) || name === "boolean" || name === "bracket" || name === "low" ||
    name === "string";
}

/** The value that an expression has in every row; null: it depends on the row. */
export function constantOf(expression: Expression, parameters: QueryParameters): Constant | null {
  switch (expression.kind) {
    case "literal":
      return ofLiteral(expression.value);
    case "parameter":
      return ofParameter(expression.name, parameters, expression.at);
    case "call":
      if (expression.name === "NOW") return ofInput("low", (inputs) => inputs.now);
      if (expression.name === "NEWID") return ofInput("string", (inputs) => inputs.newId());
      return null;
    default:
      return null;
  }
}

/** What a compiled statement depends on, of its parameters: a compiled form serves all of the same signature. */
export function signatureOf(parameters: QueryParameters): string {
  if (Array.isArray(parameters)) return parameters.map((value) => classOf(scalarOf(value))).join(",");
  const named = Object.entries(parameters).map(([name, value]) => [name, classOf(scalarOf(value))]);
  return JSON.stringify(named.sort(([a], [b]) => (a! < b! ? -1 : 1)));
}

/** Throws `bad_request` when it was not given. */
export function parameterValue(name: number | string, parameters: QueryParameters, at: number): unknown {
  if (typeof name === "number") {
    if (!Array.isArray(parameters)) throw refusal("`?` takes its value from a list of parameters", at);
    if (name < parameters.length) return parameters[name];
    throw refusal(`the statement has ${name + 1} or more parameters, ${parameters.length} are given`, at);
  }
  if (!Array.isArray(parameters) && Object.hasOwn(parameters, name)) {
    return (parameters as Readonly<Record<string, unknown>>)[name];
  }
  throw refusal(`there is no value for the parameter :${name}`, at);
}

function ofLiteral(literal: Literal): Constant {
  const scalar: Scalar = literal !== null && typeof literal === "object"
    ? { value: numberOf(literal.number), text: literal.number }
    : scalarOf(literal)!;
  return { class: classOf(scalar), slot: (make) => make(scalar) };
}

function ofParameter(name: number | string, parameters: QueryParameters, at: number): Constant {
  const known = classOf(scalarOf(parameterValue(name, parameters, at)));
  return {
    class: known,
    slot: (make) => (inputs) => make(scalarOf(parameterValue(name, inputs.parameters, at)) ?? absent),
  };
}

function ofInput(name: ConstantClass, text: (inputs: Inputs) => string): Constant {
  return {
    class: name,
    slot: (make) => (inputs) => {
      const value = text(inputs);
      return make({ value, text: value });
    },
  };
}

const absent: Scalar = { value: null, text: "" };

/** Null: an array or an object. */
function scalarOf(value: unknown): Scalar | null {
  switch (typeof value) {
    case "string":
      return { value, text: value };
    case "number":
      return Number.isNaN(value) ? absent : { value: numberOf(String(value)), text: String(value) };
    case "bigint":
      return { value: numberOf(String(value)), text: String(value) };
    case "boolean":
      return { value, text: String(value) };
    default:
      return value === null || value === undefined ? absent : null;
  }
}

/** As SQLite keeps the number of that text: whole numbers to 64 bits, else doubles. */
function numberOf(text: string): number | bigint {
  const double = Number(text);
  if (Number.isSafeInteger(double) || !wholeText.test(text)) return double;
  const whole = BigInt(text);
  return BigInt.asIntN(64, whole) === whole ? whole : double;
}

function classOf(scalar: Scalar | null): ConstantClass {
  if (scalar === null) return "other";
  const { value } = scalar;
  if (value === null) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return stringClass(value);
  return numberClass(value, scalar.text);
}

function numberClass(value: number | bigint, text: string): "below" | "unit" | "above" | "inexact" {
  if (!isExact(value, text)) return "inexact";
  return value < 0 ? "below" : value > 1 ? "above" : "unit";
}

/** False: a document cannot hold that number. */
function isExact(value: number | bigint, text: string): boolean {
  if (typeof value === "number" && !Number.isFinite(value)) return false;
  return text.length <= 15 || keepsValue(text);
}

function stringClass(text: string): ConstantClass {
  const first = text.charCodeAt(0); // NaN: it is empty
  if (first === minus || (first >= zero && first <= nine)) {
    if (!isNumberText(text)) return "low";
    const known = numberClass(numberOf(text), text);
    return known === "inexact" ? "numericInexact" : known === "unit" ? "numericUnit" : "numeric";
  }
  if (first === openArray || first === openObject) return "bracket";
  if ((text.length === 4 || text.length === 5) && booleanText.test(text)) return "boolean";
  return first > openArray ? "string" : "low";
}

/** As it is bound for a comparison by value: booleans are 0 and 1. */
export function asKey({ value }: Scalar): SqlValue {
  return typeof value === "boolean" ? Number(value) : value;
}

export function asText({ text }: Scalar): SqlValue {
  return text;
}

/** Of a numeric string: the number that it says. */
export function asNumber({ text }: Scalar): SqlValue {
  return numberOf(text);
}

/** `true` or `false`, for a string that says so in any case. */
export function asLower({ text }: Scalar): SqlValue {
  return text.toLowerCase();
}

/** To count with: a number written as a whole one is one for SQLite as well. */
export function asOperand({ value, text }: Scalar): SqlValue {
  return Number.isSafeInteger(value) && /^-?[0-9]+$/.test(text) ? BigInt(text) : value as number | bigint;
}
