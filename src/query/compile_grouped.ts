/** Aggregates and groups: what their values are in SQL. */
import type { Expression, PathExpression, Select } from "./ast.ts";
import { refusal } from "./catalog.ts";
import type { Operand, Scope } from "./compile_values.ts";
import { isNumber, numberOf, numberOperand, operandOf, types } from "./compile_values.ts";
import { pathKey } from "./path_sql.ts";

type Aggregate = Expression & { readonly kind: "aggregate" };

export function isGrouped(select: Select): boolean {
  return select.groupBy.length > 0 || select.having !== null ||
    (select.items ?? []).some(({ value }) => hasAggregate(value)) ||
    select.orderBy.some(({ by }) => hasAggregate(by));
}

export function hasAggregate(expression: Expression): boolean {
  switch (expression.kind) {
    case "aggregate":
      return true;
    case "call":
      return expression.args.some(hasAggregate);
    case "arithmetic":
      return hasAggregate(expression.left) || hasAggregate(expression.right);
    case "minus":
      return hasAggregate(expression.of);
    default:
      return false;
  }
}

/** What tells apart what `->>` makes equal: true from 1, an array from the string that is its text. */
export function groupKeys(operand: Operand): string[] {
  if (operand.may === types.text || operand.may === types.number) return [operand.value()];
  return [operand.value(), `coalesce(${operand.type()} IN ('true','false','array','object'), 0)`];
}

/** Paths are those of GROUP BY, or a name given with AS. */
export function groupScope(select: Select, rows: Scope): Scope {
  const known = new Set(select.groupBy.map(({ steps }) => pathKey(steps)));
  const scope: Scope = {
    slots: rows.slots,
    parameters: rows.parameters,
    path(path) {
      if (known.has(pathKey(path.steps))) return oneOfGroup(rows.path(path, null));
      const named = namedItem(select, path);
      if (named !== null) return operandOf(named, { ...scope, path: refuse }, null);
      return refuse(path);
    },
    aggregate: (expression) => aggregateOperand(expression, rows),
  };
  const refuse = (path: PathExpression): Operand => {
    if (known.has(pathKey(path.steps))) return oneOfGroup(rows.path(path, null));
    throw refusal(
      `${path.text} must stand in GROUP BY or in an aggregate, such as MIN(${path.text})`,
      path.at,
    );
  };
  return scope;
}

/** What stands before `AS name`; null: no item is called so. */
export function namedItem(select: Select, path: PathExpression): Expression | null {
  if (path.steps.length !== 1) return null;
  const item = select.items?.find(({ name, value }) =>
    name === path.steps[0] && !(value.kind === "path" && value.text === name)
  );
  return item?.value ?? null;
}

/** In a group all are equal; `1` and `1.0` are, too. */
function oneOfGroup(operand: Operand): Operand {
  return {
    may: operand.may,
    constant: null,
    value: () => `min(${operand.value()})`,
    type: () => `min(${operand.type()})`,
    json: () => `min(${operand.json()})`,
  };
}

function aggregateOperand({ name, of }: Aggregate, rows: Scope): Operand {
  if (of === null) return numberOperand(() => "count(*)");
  const operand = operandOf(of, rows, null);
  switch (name) {
    case "COUNT":
      return numberOperand(() => `count(${operand.value()})`);
    case "SUM":
      return numberOperand(() => `sum(CAST(${numberOf(operand, rows.slots)} AS REAL))`);
    case "AVG":
      return numberOperand(() => `avg(${numberOf(operand, rows.slots)})`);
    default:
      return extreme(name === "MIN" ? "min" : "max", operand);
  }
}

/** The smallest or greatest value; what it was is found by asking for that of each type. */
function extreme(of: "min" | "max", operand: Operand): Operand {
  const value = (): string => `${of}(${operand.value()})`;
  const ofType = (test: string): string =>
    `${of}(CASE WHEN ${operand.type()} ${test} THEN ${operand.value()} END)`;
  const cases = (number: string, text: string, tree: string, yes: string, no: string): string =>
    `CASE WHEN ${value()} IS NULL THEN NULL WHEN ${value()} = ${ofType(isNumber)} THEN ${number} ` +
    `WHEN ${value()} = ${ofType("= 'text'")} THEN ${text} WHEN typeof(${value()}) = 'text' THEN ${tree} ` +
    `WHEN ${value()} = 1 THEN ${yes} ELSE ${no} END`;
  return {
    may: operand.may,
    constant: null,
    value,
    type: () => cases("'real'", "'text'", "'object'", "'true'", "'false'"),
    json: () => cases(`CAST(${value()} AS REAL)`, `json_quote(${value()})`, value(), "'true'", "'false'"),
  };
}

/** `SELECT COUNT(*)` and nothing else that makes rows of it; its key in the result, or null. */
export function countAlone(select: Select): string | null {
  const item = select.items?.[0];
  if (item === undefined || select.items!.length > 1 || select.groupBy.length > 0 || select.having !== null) {
    return null;
  }
  if (item.value.kind !== "aggregate" || item.value.of !== null) return null;
  return /^count\(\*\)$/i.test(item.name) ? "count" : item.name;
}
