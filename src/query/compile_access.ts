/** From the terms of WHERE to an index, and from an index to FROM and its conditions. */
import type { Condition, Expression, PathExpression, Step } from "./ast.ts";
import type { QueryCollection } from "./catalog.ts";
import type { Access, EqualTerm, RangeTerm, Term } from "./choose_index.ts";
import { chooseIndex } from "./choose_index.ts";
import { keysOf } from "./compile_compare.ts";
import type { Constant } from "./compile_constants.ts";
import {
  asKey,
  asNumber,
  asText,
  constantOf,
  isNumberClass,
  isNumericClass,
  isStringClass,
} from "./compile_constants.ts";
import type { QueryParameters, Slot, Slots } from "./compile_slots.ts";
import { pathKey } from "./path_sql.ts";

/** The steps of a path within the documents that are looked up; null: it is about others. */
export type OwnSteps = (path: PathExpression) => readonly Step[] | null;

const keysMax = 5_000;

/** Null: a scan, or a lookup by id. */
export function accessFor(
  terms: readonly Condition[],
  order: readonly (readonly Step[])[],
  collection: QueryCollection,
  own: OwnSteps,
  parameters: QueryParameters,
): Access | null {
  if (collection.indexes.length === 0) return null;
  if (findsById(terms, own, parameters)) return null;
  const found = terms.flatMap((term, i) => termsOf(term, i, own, parameters));
  return chooseIndex(found, order.map(pathKey), collection.indexes);
}

/** Of the documents that are looked up first at most one is meant, and SQLite finds it by its id. */
export function findsById(terms: readonly Condition[], own: OwnSteps, parameters: QueryParameters): boolean {
  return terms.some((term) => isById(term, own, parameters));
}

/** `_id = 'x'`: SQLite finds that by itself. */
function isById(condition: Condition, own: OwnSteps, parameters: QueryParameters): boolean {
  if (condition.kind !== "compare" || condition.operator !== "=") return false;
  const { left, right } = condition;
  return ([[left, right], [right, left]] as const).some(([path, other]) =>
    path.kind === "path" && own(path)?.join() === "_id" && constantOf(other, parameters) !== null
  );
}

/** What an index could do for one condition. */
function termsOf(condition: Condition, number: number, own: OwnSteps, parameters: QueryParameters): Term[] {
  const list = valuesAsked(condition, parameters);
  if (list !== null) {
    const path = keyOf(list.path, own);
    const term = path === null ? null : equalTerm(list.constants, path, number);
    return term === null ? [] : [term];
  }
  if (condition.kind === "isNull" && !condition.not && condition.left.kind === "path") {
    const path = keyOf(condition.left, own);
    if (path === null || path.includes("[*]")) return [];
    return [{ kind: "equal", path, condition: number, keys: [-Infinity], values: 1, exact: true }];
  }
  return rangeTerms(condition, number, own, parameters);
}

function keyOf(path: PathExpression, own: OwnSteps): string | null {
  const steps = own(path);
  return steps === null || steps[0] === "_id" || steps[0] === "_etag" ? null : pathKey(steps);
}

interface Asked {
  readonly path: PathExpression;
  readonly constants: readonly Constant[];
}

/** `a = 1`, `a IN (1, 2)`, `a = 1 OR a IN (2)`: one path and the values that it may have. */
function valuesAsked(condition: Condition, parameters: QueryParameters): Asked | null {
  switch (condition.kind) {
    case "compare":
      return condition.operator === "="
        ? asked(condition.left, [condition.right], parameters) ??
          asked(condition.right, [condition.left], parameters)
        : null;
    case "in":
      return asked(condition.left, condition.list, parameters);
    case "or": {
      const parts: Asked[] = [];
      for (const one of condition.all) {
        const part = valuesAsked(one, parameters);
        if (
          part === null || (parts.length > 0 && pathKey(part.path.steps) !== pathKey(parts[0]!.path.steps))
        ) return null;
        parts.push(part);
      }
      return { path: parts[0]!.path, constants: parts.flatMap(({ constants }) => constants) };
    }
    default:
      return null;
  }
}

function asked(path: Expression, list: readonly Expression[], parameters: QueryParameters): Asked | null {
  if (path.kind !== "path") return null;
  const constants: Constant[] = [];
  for (const one of list) {
    const constant = constantOf(one, parameters);
    if (constant === null) return null;
    constants.push(constant);
  }
  return { path, constants };
}

function equalTerm(constants: readonly Constant[], path: string, condition: number): EqualTerm | null {
  const keys: Slot[] = [];
  let exact = true;
  for (const constant of constants) {
    const known = keysOf[constant.class];
    if (known === undefined) continue; // null, an array, an object: equal to nothing
    exact &&= known.exact;
    for (const make of known.slots) keys.push(make(constant));
  }
  if (keys.length === 0 || keys.length > keysMax) return null;
  return { kind: "equal", path, condition, keys, values: constants.length, exact };
}

function rangeTerms(
  condition: Condition,
  number: number,
  own: OwnSteps,
  parameters: QueryParameters,
): Term[] {
  const end = (path: Expression, operator: string, other: Expression, ends: 1 | 2): Term[] => {
    if (path.kind !== "path") return [];
    const key = keyOf(path, own), constant = constantOf(other, parameters);
    if (key === null || constant === null) return [];
    const side = operator.startsWith(">") ? "low" : "high";
    const made = rangeKey(constant, side);
    return made === null ? [] : [{
      kind: "range",
      path: key,
      condition: number,
      side,
      inclusive: operator.endsWith("="),
      ends,
      ...made,
    }];
  };
  if (condition.kind === "between") {
    return [...end(condition.left, ">=", condition.low, 2), ...end(condition.left, "<=", condition.high, 2)];
  }
  if (condition.kind !== "compare" || condition.operator === "=" || condition.operator === "!=") return [];
  const { left, operator, right } = condition;
  const turned = (operator.startsWith("<") ? ">" : "<") + operator.slice(1);
  return [...end(left, operator, right, 1), ...end(right, turned, left, 1)];
}

function rangeKey(
  constant: Constant,
  side: "low" | "high",
): Pick<RangeTerm, "key" | "domain" | "exact"> | null {
  const name = constant.class;
  if (isNumericClass(name)) {
    // Numbers lie before strings: from that number on, or up to that string.
    if (name === "numericInexact") return null;
    return { key: constant.slot(side === "low" ? asNumber : asText), domain: "both", exact: "no" };
  }
  if (isStringClass(name)) {
    return {
      key: constant.slot(asText),
      domain: "string",
      exact: side === "high" && name === "low" ? "yes" : "beside",
    };
  }
  if (!isNumberClass(name) || name === "inexact") return null;
  const clear = side === "low" ? name === "above" : name === "below";
  return { key: constant.slot(asKey), domain: "number", exact: clear ? "yes" : "beside" };
}

/** Conditions on the columns of the index table `alias`. Numbers lie between null's key and '', strings between '' and x''. */
export function accessSql(access: Access, alias: string, slots: Slots): string[] {
  const { equal, low, high } = access;
  const found = equal.map(({ keys }, i) => {
    const bound = keys.map((key) => slots.bind(key));
    // `+?`: with a bare `?` SQLite from 3.54 on compiles a join anew for each value.
    return bound.length === 1
      ? `${alias}.k${i + 1} = +${bound[0]}`
      : `${alias}.k${i + 1} IN (${bound.join(",")})`;
  });
  const one = low ?? high;
  if (one === null) return found;
  const column = `${alias}.k${equal.length + 1}`;
  if (low !== null) found.push(`${column} ${low.inclusive ? ">=" : ">"} ${slots.bind(low.key)}`);
  else found.push(one.domain === "string" ? `${column} >= ''` : `${column} > -9e999`);
  if (high !== null) found.push(`${column} ${high.inclusive ? "<=" : "<"} ${slots.bind(high.key)}`);
  else found.push(`${column} < ${one.domain === "number" ? "''" : "x''"}`);
  return found;
}
