/** Whether SQLite finds the next row of a statement with a bounded amount of work: then it may be asked where nobody may wait. */
import type { Expression, SortKey } from "./ast.ts";
import type { Access } from "./choose_index.ts";
import type { Base } from "./compile_base.ts";
import { hasEach, pathKey } from "./path_sql.ts";

/**
 * `few`: it looks at no more than {@linkcode fewRows} documents, whatever it does with them. `flow`: each document that it looks at is a row of the
 * result. Null: neither is known.
 */
export type Stepwise = "few" | "flow" | null;

/** Keys that a statement may look up one by one in a step. */
const fewRows = 100;
/** Rows of an OFFSET that a step may pass over. */
const passedMax = 1_000;
/** The time to prepare a statement grows faster than its length. */
const sqlCharsMax = 10_000;

/** Of a statement without joins, groups and DISTINCT. */
export function stepwiseOf(
  { orderBy, offset }: { readonly orderBy: readonly SortKey[]; readonly offset: Expression | null },
  base: Base,
  sql: string,
): Stepwise {
  const { access } = base;
  if (sql.length > sqlCharsMax || !passesFew(offset)) return null;
  if (base.byId) return "few";
  if (access === null) return base.where === "" && orderBy.length === 0 ? "flow" : null;
  const keys = access.equal.reduce((product, { keys }) => product * keys.length, 1);
  if (access.repeats || keys > fewRows) return null;
  if (isUnique(access)) return "few";
  return base.unanswered === 0 && isInOrder(orderBy, access) ? "flow" : null;
}

/** What `EXPLAIN QUERY PLAN` says of it (column `detail`) is what was meant. */
export function isStepwise(stepwise: Stepwise, details: readonly string[]): boolean {
  const [first = ""] = details;
  if (stepwise === "few") return /^SEARCH (?:d|i) .*=\?/.test(first);
  return stepwise === "flow" &&
    !details.some((detail) => /TEMP B-TREE|MATERIALIZE|AUTOMATIC/.test(detail));
}

function passesFew(offset: Expression | null): boolean {
  if (offset === null) return true;
  if (offset.kind !== "literal" || offset.value === null || typeof offset.value !== "object") return false;
  return Number(offset.value.number) <= passedMax;
}

/** One document for each key. Null is a key that many may have. */
function isUnique({ index, equal }: Access): boolean {
  return index.unique && equal.length === index.paths.length &&
    equal.every(({ keys }) => keys.every((key) => key !== -Infinity));
}

/** The order asked for is that of the index, to its last column and in one direction. */
function isInOrder(orderBy: readonly SortKey[], { index, equal }: Access): boolean {
  if (orderBy.length === 0) return true;
  if (index.paths.some(hasEach) || equal.some(({ keys }) => keys.length > 1)) return false;
  const columns = index.paths.map(pathKey), { descending } = orderBy.at(-1)!;
  let next = equal.length;
  for (const key of orderBy) {
    if (key.by.kind !== "path") return false;
    const column = columns.indexOf(pathKey(key.by.steps));
    if (column >= 0 && column < equal.length) continue;
    if (column !== next || key.descending !== descending) return false;
    next++;
  }
  return next === columns.length;
}
