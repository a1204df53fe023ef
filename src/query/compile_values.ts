/** Expressions as SQL. Each can be asked for its value, its type and its JSON text, as the one who compares it needs. */
import type { Expression, FunctionName, PathExpression, Step } from "./ast.ts";
import { refusal } from "./catalog.ts";
import type { Constant, ConstantClass } from "./compile_constants.ts";
import { asKey, asOperand, asText, constantOf, isNumberClass, isStringClass } from "./compile_constants.ts";
import type { QueryParameters, Slots } from "./compile_slots.ts";
import { checkPath, hasEach, jsonPath, partsAtEach } from "./path_sql.ts";

/** What a value may be, besides null; a set of bits. */
export const types = { text: 1, number: 2, boolean: 4, container: 8, any: 15 } as const;

/** SQL is made when it is asked for: asking binds values. */
export interface Operand {
  /** Of {@linkcode types}. */
  readonly may: number;
  /** Null: depends on the row. */
  readonly constant: Constant | null;
  /** As `->>` gives it: true is 1, arrays and objects are text. */
  value(): string;
  /** As `json_type` names it; meaningless where the value is null. */
  type(): string;
  /** JSON text; where the value is null, null or `null`. A number may be given as such. */
  json(): string;
}

/** Where an expression stands: what its paths and aggregates mean. */
export interface Scope {
  readonly slots: Slots;
  readonly parameters: QueryParameters;
  /** `each` takes the sources that a `[*]` needs; null: there is no place for them here. */
  path(path: PathExpression, each: EachSources | null): Operand;
  aggregate(expression: Expression & { readonly kind: "aggregate" }): Operand;
}

/** What the `[*]` of one condition need in its FROM. */
export interface EachSources {
  readonly sources: string[];
  /** Nothing found counts as one null. */
  readonly orNull: boolean;
}

const sqlCharsMax = 200_000;

export const isNumber = "IN ('integer','real')";

export function operandOf(expression: Expression, scope: Scope, each: EachSources | null): Operand {
  const constant = constantOf(expression, scope.parameters);
  if (constant !== null) return constantOperand(constant, scope.slots);
  switch (expression.kind) {
    case "path":
      return scope.path(expression, each);
    case "aggregate":
      return scope.aggregate(expression);
    case "call":
      return callOperand(expression.name, expression.args.map((arg) => operandOf(arg, scope, each)));
    case "minus": {
      const of = operandOf(expression.of, scope, each);
      return numberOperand(() => `(-${numberOf(of, scope.slots)})`);
    }
    case "arithmetic": {
      const left = operandOf(expression.left, scope, each);
      const right = operandOf(expression.right, scope, each);
      return numberOperand(() =>
        arithmetic(expression.operator, numberOf(left, scope.slots), numberOf(right, scope.slots))
      );
    }
    default:
      throw refusal("this cannot stand here", expression.at);
  }
}

/** A path in the documents that have `alias`, below its collection's name. */
export function pathOperand(
  alias: string,
  path: PathExpression,
  scope: Pick<Scope, "slots">,
  each: EachSources | null,
): Operand {
  checkPath(path);
  const { slots } = scope;
  if (path.steps.length === 1 && path.steps[0] === "_id") return idOperand(alias);
  if (path.steps[0] === "_etag") {
    throw refusal("_etag can be selected, not compared or computed with", path.at);
  }
  if (!hasEach(path.steps)) return jsonOperand(`${alias}.body`, slots.path(jsonPath(path.steps)));
  if (each === null) throw refusal("[*] can stand in WHERE, in ON and, alone, after SELECT", path.at);
  const name = slots.alias("x");
  each.sources.push(`(${eachSource(`${alias}.body`, path.steps, slots, each.orNull)}) ${name}`);
  return rowOperand(name);
}

export function jsonOperand(body: string, path: string): Operand {
  return {
    may: types.any,
    constant: null,
    value: () => `(${body} ->> ${path})`,
    type: () => `json_type(${body}, ${path})`,
    json: () => `(${body} -> ${path})`,
  };
}

export function idOperand(alias: string): Operand {
  return textOperand(() => `${alias}.id`);
}

/** One row for each value that a path with `[*]` leads to. */
export interface EachRows {
  readonly value: string;
  readonly type: string;
  readonly json: string;
  /** Table-valued functions, in the FROM where `body` is in reach. */
  readonly from: string;
  readonly where: string;
}

/** `json_each` also walks objects and single values, whose keys are no integers. */
export function eachRows(body: string, steps: readonly Step[], slots: Slots): EachRows {
  const [first, ...rest] = partsAtEach(steps);
  const from: string[] = [], where: string[] = [];
  let parent = body, path = slots.path(jsonPath(first!));
  let value = "", type = "", json = "";
  for (const part of rest) {
    const alias = slots.alias("e");
    from.push(`json_each(${parent}, ${path}) ${alias}`);
    where.push(`typeof(${alias}.key) = 'integer'`);
    [value, type, json] = [`${alias}.value`, `${alias}.type`, `${parent} -> ${path} -> ${alias}.key`];
    parent = `(CASE WHEN ${alias}.type IN ('array','object') THEN ${alias}.value END)`;
    path = slots.path(jsonPath(part));
    if (part.length === 0) continue;
    [value, type, json] = [`${parent} ->> ${path}`, `json_type(${parent}, ${path})`, `${parent} -> ${path}`];
  }
  return { value, type, json, from: from.join(" CROSS JOIN "), where: where.join(" AND ") };
}

/** The same as a query with the columns v, t, j; with `orNull` one row of nulls where there are none. */
export function eachSource(body: string, steps: readonly Step[], slots: Slots, orNull: boolean): string {
  const { value, type, json, from, where } = eachRows(body, steps, slots);
  const rows = `FROM ${from} WHERE ${where}`;
  const values = `SELECT ${value} AS v, ${type} AS t, ${json} AS j ${rows}`;
  return orNull ? `${values} UNION ALL SELECT NULL, NULL, NULL WHERE NOT EXISTS (SELECT 1 ${rows})` : values;
}

/** A row with the columns v, t, j. */
export function rowOperand(alias: string): Operand {
  return {
    may: types.any,
    constant: null,
    value: () => `${alias}.v`,
    type: () => `${alias}.t`,
    json: () => `${alias}.j`,
  };
}

export function textOperand(make: () => string): Operand {
  const value = once(make);
  return {
    may: types.text,
    constant: null,
    value,
    type: () => "'text'",
    json: () => `CASE WHEN ${value()} IS NOT NULL THEN json_quote(${value()}) END`,
  };
}

/** A number that was computed. Integers are given as text: JavaScript would not take the large ones. */
export function numberOperand(make: () => string): Operand {
  const value = once(make);
  return {
    may: types.number,
    constant: null,
    value,
    type: () => "'real'",
    json: () => `CASE typeof(${value()}) WHEN 'integer' THEN CAST(${value()} AS TEXT) ELSE ${value()} END`,
  };
}

/** Made once, and not without end: in some expressions each level has the one below it twice. */
function once(make: () => string): () => string {
  let made: string | null = null;
  return () => {
    if (made !== null) return made;
    const sql = make();
    if (sql.length > sqlCharsMax) {
      throw refusal("an expression is too large: it has too many functions in one another", 0);
    }
    return made = sql;
  };
}

function constantOperand(constant: Constant, slots: Slots): Operand {
  const { class: name } = constant;
  const nothing = name === "null" || name === "other";
  const value = once(() => nothing ? "NULL" : slots.bind(constant.slot(asKey)));
  return {
    may: nothing ? 0 : isStringClass(name) ? types.text : isNumberClass(name) ? types.number : types.boolean,
    constant,
    value,
    type: () => typeNames[name],
    json: () => {
      if (isStringClass(name)) return `json_quote(${value()})`;
      return isNumberClass(name) ? slots.bind(constant.slot(asText)) : nothing ? "NULL" : `'${name}'`;
    },
  };
}

const typeNames: Readonly<Record<ConstantClass, string>> = {
  null: "NULL",
  other: "NULL",
  true: "'true'",
  false: "'false'",
  below: "'real'",
  unit: "'real'",
  above: "'real'",
  inexact: "'real'",
  numeric: "'text'",
  numericUnit: "'text'",
  numericInexact: "'text'",
  boolean: "'text'",
  bracket: "'text'",
  low: "'text'",
  string: "'text'",
};

/** The JSON text of a number, to compare it with a string; something else for what is none. */
export function numberText(operand: Operand, slots: Slots): string {
  if (operand.constant !== null) return slots.bind(operand.constant.slot(asText));
  return operand.may === types.number ? wholeOrReal(operand.value()) : operand.json();
}

/** Computed numbers as JavaScript would write them: 6, not 6.0. */
function wholeOrReal(value: string): string {
  return `CASE WHEN typeof(${value}) = 'integer' THEN CAST(${value} AS TEXT) ` +
    `WHEN abs(${value}) < 9e15 AND CAST(${value} AS INTEGER) = ${value} THEN CAST(CAST(${value} AS INTEGER) AS TEXT) ` +
    `WHEN ${value} IS NOT NULL THEN json_quote(${value}) END`;
}

function textOf(operand: Operand): string {
  if (operand.may === types.text) return operand.value();
  if ((operand.may & types.text) === 0) return "NULL";
  return `CASE WHEN ${operand.type()} = 'text' THEN ${operand.value()} END`;
}

/** Its number, or null. */
export function numberOf(operand: Operand, slots: Slots): string {
  if (operand.constant !== null && operand.may === types.number) {
    return slots.bind(operand.constant.slot(asOperand));
  }
  if (operand.may === types.number) return operand.value();
  if ((operand.may & types.number) === 0) return "NULL";
  return `CASE WHEN ${operand.type()} ${isNumber} THEN ${operand.value()} END`;
}

/** Whole numbers are counted with as such: they are exact to 64 bits, and become doubles where that is not enough. */
function arithmetic(operator: string, left: string, right: string): string {
  if (operator === "/") return `(CAST(${left} AS REAL) / ${right})`;
  if (operator !== "%") return `(${left} ${operator} ${right})`;
  // Not every SQLite here has mod(), and its % is for whole numbers. Null where the quotient is too large to be taken apart.
  return `(SELECT CASE WHEN typeof(l) = 'integer' AND typeof(r) = 'integer' THEN l % r WHEN abs(l / r) >= 9e15 THEN NULL ` +
    `WHEN CAST(l AS INTEGER) = l AND CAST(r AS INTEGER) = r THEN CAST(l AS INTEGER) % CAST(r AS INTEGER) ` +
    `ELSE l - r * CAST(l / r AS INTEGER) END FROM (SELECT ${left} AS l, ${right} AS r))`;
}

/** How many arguments are right was checked by the parser. */
function callOperand(name: FunctionName, args: readonly Operand[]): Operand {
  const first = args[0]!;
  switch (name) {
    case "LOWER":
      return textOperand(() => `lower(${textOf(first)})`);
    case "UPPER":
      return textOperand(() => `upper(${textOf(first)})`);
    case "TRIM":
      return textOperand(() => `trim(${textOf(first)})`);
    case "LENGTH":
      return numberOperand(() => `length(${textOf(first)})`);
    default:
      return coalesceOperand(args);
  }
}

function coalesceOperand(args: readonly Operand[]): Operand {
  const chosen = (of: (arg: Operand) => string): string =>
    `CASE ${args.map((arg) => `WHEN ${arg.value()} IS NOT NULL THEN ${of(arg)}`).join(" ")} END`;
  return {
    may: args.reduce((may, arg) => may | arg.may, 0),
    constant: null,
    value: once(() => `coalesce(${args.map((arg) => arg.value()).join(", ")})`),
    type: once(() => chosen((arg) => arg.type())),
    json: once(() => chosen((arg) => arg.json())),
  };
}
