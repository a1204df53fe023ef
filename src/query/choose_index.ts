/** Which index a query goes through: a pure choice from what must hold and what there is. */
import type { QueryIndex } from "./catalog.ts";
import type { Slot } from "./compile_slots.ts";
import { hasEach, pathKey } from "./path_sql.ts";

/** A term of WHERE that an index could answer. What it finds is never less than what the term allows. */
export type Term = EqualTerm | RangeTerm;

interface TermBase {
  /** {@linkcode pathKey} of its path. */
  readonly path: string;
  /** The number of its condition among the terms of WHERE. */
  readonly condition: number;
}

export interface EqualTerm extends TermBase {
  readonly kind: "equal";
  readonly keys: readonly Slot[];
  /** How many values its author gave. */
  readonly values: number;
  /** It finds nothing else than what the condition allows. */
  readonly exact: boolean;
}

export interface RangeTerm extends TermBase {
  readonly kind: "range";
  readonly side: "low" | "high";
  readonly inclusive: boolean;
  readonly key: Slot;
  /** What lies in the range; `both`: numbers and strings. */
  readonly domain: "number" | "string" | "both";
  /** `beside`: when the other end of the range is exact. */
  readonly exact: "yes" | "beside" | "no";
  /** 2 for each end of a BETWEEN: its condition is answered when both are. */
  readonly ends: 1 | 2;
}

/** How an index is used: equalities on its first columns, a range on the next. */
export interface Access {
  readonly index: QueryIndex;
  readonly equal: readonly EqualTerm[];
  readonly low: RangeTerm | null;
  readonly high: RangeTerm | null;
  /** Conditions that need no further check. */
  readonly answered: readonly number[];
  /** A document can be found by more than one row: each is to be taken once. */
  readonly repeats: boolean;
}

/** `order`: path keys of ORDER BY as far as they are plain paths. Null: no index helps. */
export function chooseIndex(
  terms: readonly Term[],
  order: readonly string[],
  indexes: readonly QueryIndex[],
): Access | null {
  let best: Access | null = null, bestRank = 0;
  for (const index of indexes) {
    const access = accessBy(index, terms);
    const found = rank(access, order);
    if (found > bestRank) [best, bestRank] = [access, found];
  }
  return best;
}

function accessBy(index: QueryIndex, terms: readonly Term[]): Access {
  const equal: EqualTerm[] = [];
  const isEach = index.paths.map(hasEach);
  for (const path of index.paths) {
    const found = smallest(terms, pathKey(path));
    if (found === null) break;
    equal.push(found);
  }
  const next = index.paths[equal.length];
  const [low, high] = next === undefined ? [null, null] : range(terms, pathKey(next), isEach[equal.length]!);
  const used = equal.length + (low !== null || high !== null ? 1 : 0);
  // A document whose [*] leads to nothing has no row: such a column must be asked for something.
  // What rows two of them together have is not for a query to rely on.
  const complete = isEach.every((each, i) => !each || i < used) && isEach.filter((each) => each).length < 2;
  if (!complete) return { index, equal: [], low: null, high: null, answered: [], repeats: true };
  const single = used === index.paths.length && low === null && high === null &&
    equal.every(({ keys }) => keys.length === 1);
  return {
    index,
    equal,
    low,
    high,
    answered: answeredBy(equal, low, high),
    repeats: isEach.includes(true) && !single,
  };
}

function smallest(terms: readonly Term[], path: string): EqualTerm | null {
  let found: EqualTerm | null = null;
  for (const term of terms) {
    if (term.kind !== "equal" || term.path !== path) continue;
    if (found === null || term.keys.length < found.keys.length) found = term;
  }
  return found;
}

/** Both ends must be of one kind; with a `[*]` of one condition, else two elements could meet them. */
function range(
  terms: readonly Term[],
  path: string,
  each: boolean,
): readonly [RangeTerm | null, RangeTerm | null] {
  const ends = terms.filter((term): term is RangeTerm => term.kind === "range" && term.path === path);
  for (const low of ends) {
    if (low.side !== "low" || low.domain === "both") continue;
    const high = ends.find((other) =>
      other.side === "high" && other.domain === low.domain && (!each || other.condition === low.condition)
    );
    if (high !== undefined) return [low, high];
  }
  const one = ends.find(({ domain }) => domain !== "both") ?? ends[0] ?? null;
  return one?.side === "low" ? [one, null] : [null, one];
}

function answeredBy(equal: readonly EqualTerm[], low: RangeTerm | null, high: RangeTerm | null): number[] {
  const answered = equal.filter(({ exact }) => exact).map(({ condition }) => condition);
  const ends = [low, high].filter((end) => end !== null);
  const exact = ends.filter((end) =>
    end.exact === "yes" || (end.exact === "beside" && ends.some((e) => e.exact === "yes"))
  );
  for (const { condition, ends: wanted } of exact) {
    if (exact.filter((end) => end.condition === condition).length === wanted) answered.push(condition);
  }
  return [...new Set(answered)];
}

/** Unique > all columns of several > equality > several values > range > order. 0: of no use. */
function rank(access: Access, order: readonly string[]): number {
  const { index, equal, low, high } = access;
  const ordered = givesOrder(access, order) ? 0.5 : 0;
  const ends = low !== null && high !== null ? 1 : 0;
  const keys = equal.reduce((product, { values }) => product * values, 1);
  const many = 1 - 1 / keys;
  if (equal.length === 0) {
    if (low !== null || high !== null) return 20 + ends * 2 + ordered;
    return ordered > 0 && !access.repeats ? 10 : 0;
  }
  const whole = equal.length === index.paths.length;
  if (whole && index.unique) return 90 - many;
  if (whole && equal.length > 1) return 80 - many + ordered / 10;
  if (low !== null || high !== null) return 60 + ends - many + ordered / 10;
  return (keys === 1 ? 50 : 40) - many + ordered / 10;
}

/** True when the rows of an access come in the wanted order, as far as its columns go. */
function givesOrder({ index, equal, repeats }: Access, order: readonly string[]): boolean {
  if (order.length === 0 || repeats || index.paths.some(hasEach)) return false;
  const columns = index.paths.map(pathKey);
  const fixed = equal.filter(({ keys }) => keys.length === 1).length;
  if (fixed < equal.length) return false;
  return order[0] === columns[fixed] || (fixed > 0 && order[0] === columns[0]);
}
