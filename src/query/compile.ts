/**
 * Statements that read, as SQL for SQLite. Names, paths and values of an author are bound; the text is made of our own words and the names of
 * tables. A compiled form holds while the catalog stays as it is, for all parameters of the same {@linkcode signatureOf}.
 */
import { limits } from "../base/limits.ts";
import type { Condition, Expression, Item, Select, SortKey, Step } from "./ast.ts";
import type { QueryCatalog } from "./catalog.ts";
import { knownCollection, refusal } from "./catalog.ts";
import type { Base } from "./compile_base.ts";
import { baseOf, indexAlias } from "./compile_base.ts";
import { conditionSql } from "./compile_conditions.ts";
import { parameterValue, signatureOf } from "./compile_constants.ts";
import { countAlone, groupKeys, groupScope, isGrouped, namedItem } from "./compile_grouped.ts";
import type { Inputs, QueryParameters, Slot, SqlValue } from "./compile_slots.ts";
import { sourcesOf } from "./compile_sources.ts";
import type { Operand, Scope } from "./compile_values.ts";
import { operandOf, types } from "./compile_values.ts";
import { checkPath, hasEach } from "./path_sql.ts";
import type { PlanFacts } from "./plan_name.ts";
import type { RowShape, ShapeItem } from "./result_rows.ts";
import type { Stepwise } from "./stepwise.ts";
import { stepwiseOf } from "./stepwise.ts";

export type CompiledSelect = CompiledRows | CompiledCount;

/** A statement for SQLite, whose rows are read as arrays. */
export interface CompiledRows {
  readonly kind: "rows";
  readonly sql: string;
  /** What is bound, by place. */
  readonly values: (inputs: Inputs) => SqlValue[];
  readonly shape: RowShape;
  readonly plan: PlanFacts;
  /** How it is meant to go on from row to row; `isStepwise` says whether it does. */
  readonly stepwise: Stepwise;
  /**
   * Of whole documents that flow: `sql` for whom takes all rows in one piece. It gives one more than `limits.queryAtOnceRows` at most, and null for
   * a body of more than `limits.queryAtOnceBodyBytes`.
   */
  readonly wholeSql: string | null;
  readonly signature: string;
}

/** The one row `{name: n}`, where n is how many documents the catalog says that the collection has; null: there is none, n is 0. */
export interface CompiledCount {
  readonly kind: "count";
  readonly name: string;
  readonly collection: string | null;
}

/** Columns: row, id, seq, body. */
export interface CompiledMatches extends Omit<CompiledRows, "kind" | "shape" | "wholeSql"> {
  readonly kind: "matches";
}

/** SQLite takes 1,000,000, but the time to prepare a statement grows with the square of its conditions: this is about two seconds. */
const sqlCharsMax = 300_000;

/**
 * Throws `collection_not_found` and `bad_request`, with `at` in the details where a place in the text is to blame. With `looks`, what is not stepwise
 * calls `lookFunction` all along.
 */
export function compileSelect(
  select: Select,
  catalog: QueryCatalog,
  parameters: QueryParameters,
  looks = false,
): CompiledSelect {
  const name = countAlone(select);
  if (name !== null && select.joins.length === 0 && select.limit === null && select.offset === null) {
    const collection = catalog.collection(select.from.name);
    if (collection === null) return { kind: "count", name, collection: null };
    if (select.where === null) return { kind: "count", name, collection: collection.name };
  }
  const grouped = isGrouped(select);
  const sources = sourcesOf(select, catalog);
  const plain = !grouped && (!select.distinct || select.items === null);
  const order = plain && sources.all.length === 1 ? orderPaths(select) : [];
  const base = baseOf(sources, select.joins, select.where, order, parameters, looks);
  const parts = grouped
    ? groupedParts(select, base, name)
    : plain
    ? plainParts(select, base)
    : distinctParts(select, base);
  const limited = limitSql(select, base.scope), rest = parts.after + limited();
  const used = select.joins.length > 0 || /\bd\./.test(parts.columns + base.where + rest);
  const sqlOf = (where: string, columns = parts.columns, end = rest): string =>
    `${base.tables}SELECT ${columns} ${base.from(used)}${where}${end}`;
  const flows = plain && select.joins.length === 0;
  const meant = select.orderBy.map((key) => ({ ...key, by: sortedBy(select, key) }));
  const stepwise = flows ? stepwiseOf({ ...select, orderBy: meant }, base, sqlOf(base.where)) : null;
  const sql = sqlOf(stepwise === null ? base.lookedWhere : base.where);
  return {
    kind: "rows",
    sql,
    wholeSql: stepwise === "flow" && parts.shape.kind === "documents"
      ? sqlOf(base.where, smallDocuments, parts.after + limited(limits.queryAtOnceRows + 1))
      : null,
    values: valuesOf(sql, base),
    shape: parts.shape,
    plan: planOf(base, grouped, select.distinct),
    stepwise,
    signature: signatureOf(parameters),
  };
}

/** The documents that an UPDATE or DELETE means; throws as {@linkcode compileSelect}. */
export function compileMatches(
  where: Condition | null,
  collection: string,
  catalog: QueryCatalog,
  parameters: QueryParameters,
  looks = false,
): CompiledMatches {
  const from = { name: knownCollection(catalog, { name: collection, at: 0 }).name, at: 0 };
  const base = baseOf(sourcesOf({ from, joins: [] }, catalog), [], where, [], parameters, looks);
  const sqlOf = (conditions: string): string =>
    `SELECT d.row, d.id, d.seq, d.body ${base.from(true)}${conditions}`;
  const stepwise = stepwiseOf({ orderBy: [], offset: null }, base, sqlOf(base.where));
  const sql = sqlOf(stepwise === null ? base.lookedWhere : base.where);
  return {
    kind: "matches",
    sql,
    values: valuesOf(sql, base),
    plan: planOf(base, false, false),
    stepwise,
    signature: signatureOf(parameters),
  };
}

function valuesOf(sql: string, base: Base): (inputs: Inputs) => SqlValue[] {
  if (sql.length > sqlCharsMax) {
    throw refusal("the statement asks for too much at once: it has too many conditions", 0);
  }
  return base.scope.slots.valuesOf(sql);
}

function planOf({ access, joins }: Base, aggregate: boolean, distinct: boolean): PlanFacts {
  const index = access === null
    ? null
    : { name: access.index.name, alias: indexAlias, values: access.equal[0]?.values ?? 1 };
  return { index, joins, aggregate, distinct };
}

interface Parts {
  readonly columns: string;
  /** What follows WHERE. */
  readonly after: string;
  readonly shape: RowShape;
}

function plainParts(select: Select, base: Base): Parts {
  const { scope } = base;
  const after = orderSql(select, base);
  if (select.items === null) return { ...wholeColumns(base), after };
  const single = base.sources.all.length === 1;
  const columns = single ? [`${base.driving.alias}.id`] : [];
  const items = select.items.filter(({ name }, i) =>
    !(single && name === "_id") && isFirst(select.items!, name, i)
  );
  for (const item of items) columns.push(seqColumn(item, base) ?? itemOperand(item.value, scope).json());
  if (columns.length === 0) throw refusal("there is nothing to select", select.from.at);
  return {
    columns: columns.join(", "),
    after,
    shape: { kind: "items", withId: single, items: shapeItems(items, base) },
  };
}

/** Columns of the one source that a stepwise statement has. */
const smallDocuments = "d.id, d.seq, " +
  `CASE WHEN octet_length(d.body) <= ${limits.queryAtOnceBodyBytes} THEN d.body END`;

function wholeColumns({ sources }: Base): Pick<Parts, "columns" | "shape"> {
  const columns = sources.all.map(({ alias }) => `${alias}.id, ${alias}.seq, ${alias}.body`).join(", ");
  return sources.all.length === 1
    ? { columns, shape: { kind: "documents" } }
    : { columns, shape: { kind: "sides", names: sources.all.map(({ name }) => name) } };
}

/** Equal values are one, however they are written: they are grouped, and the first of their spellings is shown. */
function distinctParts(select: Select, base: Base): Parts {
  const items = select.items!.filter(({ name }, i) => isFirst(select.items!, name, i));
  const columns: string[] = [], keys: string[] = [];
  for (const item of items) {
    const seq = seqColumn(item, base);
    const operand = seq === null ? itemOperand(item.value, base.scope) : null;
    columns.push(`min(${seq ?? operand!.json()})`);
    keys.push(...(operand === null ? [seq!] : groupKeys(operand)));
  }
  const order = sortKeys(select, (expression) => `min(${operandOf(expression, base.scope, null).value()})`);
  return {
    columns: columns.join(", "),
    after: ` GROUP BY ${keys.join(", ")}${orderBy(order)}`,
    shape: { kind: "items", withId: false, items: shapeItems(items, base) },
  };
}

function groupedParts(select: Select, base: Base, alone: string | null): Parts {
  if (select.items === null) throw refusal("SELECT * cannot be grouped: name what is wanted", select.from.at);
  const scope = groupScope(select, base.scope);
  const items = select.items.filter(({ name }, i) => isFirst(select.items!, name, i));
  const columns = items.map(({ value }) => operandOf(value, scope, null).json()).join(", ");
  const keys = select.groupBy.flatMap((path) => groupKeys(base.scope.path(path, null)));
  const having = select.having === null ? "" : ` HAVING ${conditionSql(select.having, scope)}`;
  const order = sortKeys(select, (expression) => operandOf(expression, scope, null).value());
  if (keys.length === 0 && !/\b(count|sum|avg|min|max)\(/.test(columns + having)) {
    throw refusal("HAVING asks for GROUP BY or for an aggregate", select.having?.at ?? select.from.at);
  }
  const group = keys.length === 0 ? "" : ` GROUP BY ${keys.join(", ")}`;
  const shape = items.map(({ name }): ShapeItem => ({ name: alone ?? name, from: "json" }));
  return {
    columns: select.distinct ? `DISTINCT ${columns}` : columns,
    after: group + having + orderBy(order),
    shape: { kind: "items", withId: false, items: shape },
  };
}

/** A name that is given twice is shown once. */
function isFirst(items: readonly Item[], name: string, at: number): boolean {
  return items.findIndex((item) => item.name === name) === at;
}

function shapeItems(items: readonly Item[], base: Base): ShapeItem[] {
  return items.map((item) => ({ name: item.name, from: seqColumn(item, base) === null ? "json" : "seq" }));
}

/** `_etag` is made of the seq; null: the item is something else. */
function seqColumn({ value }: Item, base: Base): string | null {
  if (value.kind !== "path") return null;
  const { source, steps } = base.sources.resolve(value);
  return steps.length === 1 && steps[0] === "_etag" ? `${source.alias}.seq` : null;
}

/** A path with `[*]` that stands alone gives the array of what it leads to. */
function itemOperand(value: Expression, scope: Scope): Operand {
  if (value.kind !== "path" || !hasEach(value.steps)) return operandOf(value, scope, null);
  checkPath(value);
  const sources: string[] = [];
  scope.path(value, { sources, orNull: false });
  const array = (): string =>
    `(SELECT '[' || group_concat(coalesce(j, 'null'), ',') || ']' FROM ${sources[0]})`;
  return { may: types.container, constant: null, value: array, type: () => "'array'", json: array };
}

function orderPaths(select: Select): (readonly Step[])[] {
  const paths: (readonly Step[])[] = [];
  for (const key of select.orderBy) {
    const meant = sortedBy(select, key);
    if (meant.kind !== "path") break;
    paths.push(meant.steps);
  }
  return paths;
}

/** Equal keys come in the order in which the documents were made, so that pages of a list fit together. */
function orderSql(select: Select, base: Base): string {
  const order = sortKeys(select, (expression) => {
    const column = expression.kind === "path" && base.sources.all.length === 1
      ? base.column(expression.steps)
      : null;
    return column ?? operandOf(expression, base.scope, null).value();
  });
  if (order.length === 0) return "";
  const row = base.access !== null && !base.access.repeats ? indexAlias : base.driving.alias;
  return orderBy([...order, `${row}.row${select.orderBy.at(-1)!.descending ? " DESC" : ""}`]);
}

function sortKeys(select: Select, sql: (expression: Expression) => string): string[] {
  return select.orderBy.map((key) => sql(sortedBy(select, key)) + (key.descending ? " DESC" : ""));
}

/** A name that was given with AS means what it stands for. */
function sortedBy(select: Select, { by }: SortKey): Expression {
  return by.kind === "path" ? namedItem(select, by) ?? by : by;
}

function orderBy(keys: readonly string[]): string {
  return keys.length === 0 ? "" : ` ORDER BY ${keys.join(", ")}`;
}

/** What ends the statement, with `most` rows at most where that is given. */
function limitSql(
  { limit, offset }: Select,
  { slots, parameters }: Scope,
): (most?: number) => string {
  const bound = limit === null ? null : slots.bind(countSlot(limit, "LIMIT", parameters));
  const passed = offset === null ? "" : ` OFFSET ${slots.bind(countSlot(offset, "OFFSET", parameters))}`;
  return (most) => {
    if (most !== undefined) return ` LIMIT ${bound === null ? most : `min(${bound}, ${most})`}${passed}`;
    return bound === null && passed === "" ? "" : ` LIMIT ${bound ?? -1}${passed}`;
  };
}

function countSlot(expression: Expression, word: string, parameters: QueryParameters): Slot {
  const checked = (value: unknown): number => {
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
    throw refusal(`${word} takes a whole number from 0 on`, expression.at);
  };
  if (expression.kind === "literal" && expression.value !== null && typeof expression.value === "object") {
    return checked(Number(expression.value.number));
  }
  if (expression.kind !== "parameter") return checked(null);
  const { name, at } = expression;
  checked(parameterValue(name, parameters, at));
  return (inputs) => checked(parameterValue(name, inputs.parameters, at));
}
