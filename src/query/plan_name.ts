/** What a plan is called: by what SQLite says that it does, not by what it was meant to do. */
import type { JoinPlan } from "./compile_joins.ts";

/** What a compiled statement was meant to do. */
export interface PlanFacts {
  /** The index that it was given; `values`: how many values its author asked for on the first column. */
  readonly index: { readonly name: string; readonly alias: string; readonly values: number } | null;
  readonly joins: readonly JoinPlan[];
  readonly aggregate: boolean;
  readonly distinct: boolean;
}

/** `details`: the column `detail` of the rows of `EXPLAIN QUERY PLAN`. */
export function planName(facts: PlanFacts, details: readonly string[]): string {
  const joins = facts.joins.map((join) => ` + ${joinName(join, details)}`).join("");
  return accessName(facts.index, details) + joins + (facts.aggregate ? " + AGGREGATE" : "") +
    (facts.distinct ? " + DISTINCT" : "");
}

/** A count that was kept, not counted. */
export const countPlanName = "COLLECTION_COUNT + AGGREGATE";

function accessName(index: PlanFacts["index"], details: readonly string[]): string {
  const step = index === null ? undefined : stepOf(index.alias, details);
  if (index === null || step === undefined) {
    return details.some((detail) => /^SEARCH d[0-9]* .*\(id=\?\)/.test(detail))
      ? "INDEX_SCAN(_id)"
      : "COLLECTION_SCAN";
  }
  const equal = step.match(/\bk[0-9]+=\?/g)?.length ?? 0;
  if (/\bk[0-9]+[<>]/.test(step)) return `INDEX_RANGE_SCAN(${index.name})`;
  if (equal > 1) return `INDEX_SCAN_COMPOSITE(${index.name})`;
  return index.values > 1 && equal === 1
    ? `INDEX_SCAN_MULTI(${index.name}, ${index.values} keys)`
    : `INDEX_SCAN(${index.name})`;
}

function joinName(join: JoinPlan, details: readonly string[]): string {
  if (join.type === "cross") return `CROSS_JOIN(${join.collection}${join.missing ? ":missing" : ""})`;
  const word = join.type === "inner" ? "HASH_JOIN" : `HASH_${join.type.toUpperCase()}_JOIN`;
  const used = join.index !== null && stepOf(join.index.alias, details) !== undefined;
  const by = used ? `using idx:${join.index!.name}` : join.collection + (join.missing ? ":missing" : "");
  return `${word}(${by}${join.pairs > 1 ? `, compound:${join.pairs}` : ""})`;
}

/** The step on the table that has this alias in the statement. */
function stepOf(alias: string, details: readonly string[]): string | undefined {
  return details.find((detail) =>
    detail.startsWith(`SEARCH ${alias} `) || detail === `SCAN ${alias}` || detail.startsWith(`SCAN ${alias} `)
  );
}
