/** Joins as SQL: by an index, or by keys that are gathered once for the statement. */
import type { Join, PathExpression, Step } from "./ast.ts";
import type { QueryIndex } from "./catalog.ts";
import { refusal } from "./catalog.ts";
import { joinEqual, otherKey } from "./compile_compare.ts";
import type { Slots } from "./compile_slots.ts";
import type { Source, Sources } from "./compile_sources.ts";
import { tableOf } from "./compile_sources.ts";
import type { EachSources, Operand, Scope } from "./compile_values.ts";
import { eachRows, pathOperand, rowOperand } from "./compile_values.ts";
import { hasEach, pathKey } from "./path_sql.ts";

export interface JoinSql {
  /** What follows FROM and the tables before it. */
  readonly from: string;
  /** For WITH. */
  readonly tables: readonly string[];
  readonly plan: JoinPlan;
}

export interface JoinPlan {
  readonly type: Join["type"];
  readonly collection: string;
  readonly missing: boolean;
  readonly pairs: number;
  /** The index that it was given, and how `EXPLAIN QUERY PLAN` calls it. */
  readonly index: { readonly name: string; readonly alias: string } | null;
}

interface End {
  readonly source: Source;
  readonly path: PathExpression;
}

/** One pair of paths that are equal: of a document found before, and of the one that is joined. */
interface Pair {
  readonly known: End;
  readonly wanted: End;
}

/** `wanted` is joined to those before it, so that each of them that has no partner stays if `outer`. */
export function joinSql(
  join: Join,
  wanted: Source,
  before: readonly Source[],
  outer: boolean,
  sources: Sources,
  slots: Slots,
): JoinSql {
  const word = outer ? "LEFT JOIN" : "CROSS JOIN";
  const table = tableOf(wanted);
  const plan = { type: join.type, collection: "", missing: false, pairs: join.on.length, index: null };
  if (join.type === "cross") return { from: `CROSS JOIN ${table} ${wanted.alias}`, tables: [], plan };
  const pairs = join.on.map((one) => pairOf(one, wanted, before, sources));
  if (wanted.collection === null) return { from: `${word} ${table} ${wanted.alias} ON 0`, tables: [], plan };
  const indexed = indexedPair(pairs, wanted.collection.indexes);
  if (indexed !== null) return byIndex(indexed, pairs, word, wanted, slots, plan);
  const first = pairs.find(({ known, wanted: other }) => !isEach(known) && !isEach(other)) ?? pairs[0]!;
  return isEach(first.known) || isEach(first.wanted)
    ? byPairs(first, pairs, outer, wanted, slots, plan)
    : byKeys(first, pairs, outer, wanted, slots, plan);
}

/** A right join further on: SQLite's own, which compares each with each. */
export function rightJoinSql(
  join: Join,
  wanted: Source,
  before: readonly Source[],
  sources: Sources,
  slots: Slots,
): JoinSql {
  const pairs = join.on.map((one) => pairOf(one, wanted, before, sources));
  const on = wanted.collection === null ? "0" : allEqual(pairs, wanted.alias, slots);
  const looks = slots.look(...[...before, wanted].map(({ alias }) => alias));
  return {
    from: `RIGHT JOIN ${tableOf(wanted)} ${wanted.alias} ON ${allOf(looks, on)}`,
    tables: [],
    plan: { type: "right", collection: "", missing: false, pairs: pairs.length, index: null },
  };
}

function pairOf(
  { left, right }: Join["on"][number],
  wanted: Source,
  before: readonly Source[],
  sources: Sources,
): Pair {
  const ends = [left, right].map((path): End => {
    const { source, steps } = sources.resolve(path);
    return { source, path: { ...path, steps } };
  }) as [End, End];
  const at = ends[0].source === wanted ? 0 : 1;
  const own = ends[at]!, other = ends[1 - at]!;
  if (own.source === wanted && before.includes(other.source)) return { known: other, wanted: own };
  throw refusal(`ON compares a path of ${wanted.name} with a path of a collection before it`, left.at);
}

function isEach({ path }: End): boolean {
  return hasEach(path.steps);
}

function indexedPair(
  pairs: readonly Pair[],
  indexes: readonly QueryIndex[],
): { readonly pair: Pair; readonly index: QueryIndex } | null {
  for (const pair of pairs) {
    if (isEach(pair.known)) continue;
    const key = pathKey(pair.wanted.path.steps);
    const index = indexes.find(({ paths }) => pathKey(paths[0]!) === key && !paths.slice(1).some(hasEach));
    if (index !== undefined) return { pair, index };
  }
  return null;
}

function byIndex(
  { pair, index }: { readonly pair: Pair; readonly index: QueryIndex },
  pairs: readonly Pair[],
  word: string,
  wanted: Source,
  slots: Slots,
  plan: JoinPlan,
): JoinSql {
  const alias = slots.alias("j");
  const known = operandAt(pair.known.source.alias, pair.known.path, slots);
  const looks = slots.look(pair.known.source.alias, wanted.alias);
  const rows = `SELECT ${alias}.row FROM ${index.table} ${alias} WHERE ${alias}.k1 IN (${known.value()}, ${
    otherKey(known)
  })`;
  return {
    from: `${word} ${tableOf(wanted)} ${wanted.alias} ON ${wanted.alias}.row IN (${rows}) ` +
      `AND ${allOf(looks, allEqual(pairs, wanted.alias, slots))}`,
    tables: [],
    plan: { ...plan, index: { name: index.name, alias } },
  };
}

/** SQLite makes an index of its own on the gathered keys. */
function byKeys(
  pair: Pair,
  pairs: readonly Pair[],
  outer: boolean,
  wanted: Source,
  slots: Slots,
  plan: JoinPlan,
): JoinSql {
  const keys = slots.alias("m");
  const known = operandAt(pair.known.source.alias, pair.known.path, slots);
  const tables = keyTables(keys, wanted, pair.wanted.path, slots);
  const found = { table: keys, on: `${keys}.k = ${known.value()}`, row: `${keys}.row` };
  return { from: joinThrough(found, pairs, outer, wanted, slots), tables, plan };
}

/** With `[*]`: the pairs of rows that belong together, each once. */
function byPairs(
  pair: Pair,
  pairs: readonly Pair[],
  outer: boolean,
  wanted: Source,
  slots: Slots,
  plan: JoinPlan,
): JoinSql {
  const keys = slots.alias("m"), values = slots.alias("v"), both = slots.alias("p");
  const { source, path } = pair.known;
  const looks = slots.look(values, keys);
  const tables = [
    ...keyTables(keys, wanted, pair.wanted.path, slots),
    `${values}(row, v, t, j) AS MATERIALIZED (${valueRows(source, path.steps, slots)})`,
    `${both}(l, row) AS MATERIALIZED (SELECT DISTINCT ${values}.row, ${keys}.row FROM ${values} CROSS JOIN ${keys} ` +
    `ON ${keys}.k = ${values}.v AND ${allOf(looks, joinEqual(rowOperand(values), rowOperand(keys), slots))})`,
  ];
  const found = { table: both, on: `${both}.l = ${source.alias}.row`, row: `${both}.row` };
  return {
    from: joinThrough(found, pairs.filter((other) => other !== pair), outer, wanted, slots),
    tables,
    plan,
  };
}

/** The values of a path in a collection, and each once more under the other key that it can be found by. */
function keyTables(keys: string, wanted: Source, path: PathExpression, slots: Slots): string[] {
  const rows = slots.alias("v");
  return [
    `${rows}(row, v, t, j) AS MATERIALIZED (${valueRows(wanted, path.steps, slots)})`,
    `${keys}(k, row, v, t, j) AS MATERIALIZED (SELECT v, row, v, t, j FROM ${rows} WHERE v IS NOT NULL ` +
    `UNION ALL SELECT ${otherKey(rowOperand(rows))} AS k, row, v, t, j FROM ${rows} WHERE k IS NOT NULL)`,
  ];
}

function valueRows(source: Source, steps: readonly Step[], slots: Slots): string {
  const alias = slots.alias("s"), looks = slots.look(alias);
  const table = `${tableOf(source)} ${alias}`;
  if (!hasEach(steps)) {
    const own = operandAt(alias, { kind: "path", at: 0, steps, text: "" }, slots);
    const where = looks.length === 0 ? "" : ` WHERE ${looks[0]}`;
    return `SELECT ${alias}.row, ${own.value()}, ${own.type()}, ${own.json()} FROM ${table}${where}`;
  }
  const { value, type, json, from, where } = eachRows(`${alias}.body`, steps, slots);
  return `SELECT ${alias}.row, ${value}, ${type}, ${json} FROM ${table} CROSS JOIN ${from} WHERE ${
    allOf(looks, where)
  }`;
}

/** Outer joins: what does not fit must go before it is known whether there is a partner at all. */
function joinThrough(
  found: { readonly table: string; readonly on: string; readonly row: string },
  pairs: readonly Pair[],
  outer: boolean,
  wanted: Source,
  slots: Slots,
): string {
  const table = tableOf(wanted), { alias } = wanted, on = allOf([found.on], ...slots.look(found.table));
  const fits = (of: string): string => pairs.length === 0 ? "1" : allEqual(pairs, of, slots);
  if (!outer) {
    return `CROSS JOIN ${found.table} ON ${on} CROSS JOIN ${table} ${alias} ON ${alias}.row = ${found.row} AND ${
      fits(alias)
    }`;
  }
  const probe = slots.alias("y");
  return `LEFT JOIN ${found.table} ON ${on} AND EXISTS (SELECT 1 FROM ${table} ${probe} ` +
    `WHERE ${probe}.row = ${found.row} AND ${
      fits(probe)
    }) LEFT JOIN ${table} ${alias} ON ${alias}.row = ${found.row}`;
}

function allOf(first: readonly string[], ...others: readonly string[]): string {
  return [...first, ...others].join(" AND ");
}

/** `alias`: the document that is joined. */
function allEqual(pairs: readonly Pair[], alias: string, slots: Slots): string {
  return pairs.map(({ known, wanted }) => {
    const each: EachSources = { sources: [], orNull: false };
    const left = operandAt(known.source.alias, known.path, slots, each);
    const right = operandAt(alias, wanted.path, slots, each);
    const equal = joinEqual(left, right, slots);
    return each.sources.length === 0
      ? equal
      : `EXISTS (SELECT 1 FROM ${each.sources.join(" CROSS JOIN ")} WHERE ${equal})`;
  }).join(" AND ");
}

function operandAt(
  alias: string,
  path: PathExpression,
  slots: Slots,
  each: EachSources | null = null,
): Operand {
  const scope: Pick<Scope, "slots"> = { slots };
  return pathOperand(alias, path, scope, each);
}
