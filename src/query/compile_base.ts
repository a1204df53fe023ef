/** FROM and WHERE: what SELECT, UPDATE and DELETE have in common. */
import type { Condition, Join, PathExpression, Step } from "./ast.ts";
import { refusal } from "./catalog.ts";
import type { Access } from "./choose_index.ts";
import { accessFor, accessSql, findsById } from "./compile_access.ts";
import { andTerms, conditionSql } from "./compile_conditions.ts";
import type { JoinPlan, JoinSql } from "./compile_joins.ts";
import { joinSql, rightJoinSql } from "./compile_joins.ts";
import type { QueryParameters } from "./compile_slots.ts";
import { joined, Slots } from "./compile_slots.ts";
import type { Source, Sources } from "./compile_sources.ts";
import { tableOf } from "./compile_sources.ts";
import type { Scope } from "./compile_values.ts";
import { pathOperand } from "./compile_values.ts";
import { hasEach, pathKey } from "./path_sql.ts";

export interface Base {
  readonly scope: Scope;
  readonly sources: Sources;
  /** The one whose documents are looked up first. */
  readonly driving: Source;
  readonly access: Access | null;
  readonly joins: readonly JoinPlan[];
  /** `WITH ... `, or nothing. */
  readonly tables: string;
  /** `FROM ...`; without the documents when only the index is asked. */
  from(withDocuments: boolean): string;
  /** ` WHERE ...`, or nothing. */
  readonly where: string;
  /** The same with a condition that looks, where one was asked for. */
  readonly lookedWhere: string;
  /** Conditions of `where` that the index does not answer by itself. */
  readonly unanswered: number;
  /** At most one document is meant, by its id. */
  readonly byId: boolean;
  /** The column of the index that has the values of a path; null: there is none. */
  column(steps: readonly Step[]): string | null;
}

/** The index's alias in FROM, and in what `EXPLAIN QUERY PLAN` says. */
export const indexAlias = "i";

export function baseOf(
  sources: Sources,
  joins: readonly Join[],
  where: Condition | null,
  order: readonly (readonly Step[])[],
  parameters: QueryParameters,
  looks = false,
): Base {
  const slots = new Slots(looks);
  const scope = rowScope(sources, slots, parameters);
  const driving = sources.all[joins[0]?.type === "right" ? 1 : 0]!;
  const terms = andTerms(where);
  const own = (path: PathExpression): readonly Step[] | null => {
    const { source, steps } = sources.resolve(path);
    return source === driving ? steps : null;
  };
  const access = driving.collection === null
    ? null
    : accessFor(terms, order, driving.collection, own, parameters);
  const found = access === null ? [] : accessSql(access, indexAlias, slots);
  const rest = terms.filter((_, i) => access === null || !access.answered.includes(i))
    .map((term) => conditionSql(term, scope));
  const joinParts = joinsOf(joins, sources, driving, slots);
  const { alias } = driving;
  const table = `${tableOf(driving)} ${alias}`, through = access !== null && !access.repeats;
  const conditions = access?.repeats === true
    ? [
      `${alias}.row IN (SELECT ${indexAlias}.row FROM ${access.index.table} ${indexAlias} WHERE ${
        [...found, ...slots.look(indexAlias)].join(" AND ")
      })`,
      ...rest,
    ]
    : [...found, ...rest];
  const tables = joinParts.flatMap((part) => part.tables);
  const loops = sources.all.map((source) => source === driving && through ? indexAlias : source.alias);
  return {
    scope,
    sources,
    driving,
    access,
    joins: joinParts.map(({ plan }) => plan),
    tables: tables.length === 0 ? "" : `WITH ${tables.join(", ")} `,
    from(withDocuments) {
      const first = !through ? table : `${access.index.table} ${indexAlias}` +
        (withDocuments ? ` CROSS JOIN ${table} ON ${alias}.row = ${indexAlias}.row` : "");
      return `FROM ${[first, ...joinParts.map((part) => part.from)].join(" ")}`;
    },
    where: whereSql(conditions),
    lookedWhere: whereSql([...slots.look(...loops), ...conditions]),
    unanswered: rest.length,
    byId: findsById(terms, own, parameters),
    column: (steps) => through ? columnOf(access, steps) : null,
  };
}

function whereSql(conditions: readonly string[]): string {
  return conditions.length === 0 ? "" : ` WHERE ${joined(conditions, "AND")}`;
}

function columnOf({ index }: Access, steps: readonly Step[]): string | null {
  const key = pathKey(steps), at = index.paths.findIndex((path) => !hasEach(path) && pathKey(path) === key);
  return at < 0 ? null : `${indexAlias}.k${at + 1}`;
}

/** A right join in front is a left join from the other side. */
function joinsOf(joins: readonly Join[], sources: Sources, driving: Source, slots: Slots): JoinSql[] {
  const before = [driving];
  return joins.map((join, i) => {
    const written = sources.all[i + 1]!;
    const turned = i === 0 && join.type === "right";
    const wanted = turned ? sources.all[0]! : written;
    const part = join.type === "right" && !turned
      ? rightJoinSql(join, wanted, before, sources, slots)
      : joinSql(join, wanted, before, join.type === "left" || turned, sources, slots);
    before.push(wanted);
    return {
      ...part,
      plan: { ...part.plan, collection: written.name, missing: written.collection === null },
    };
  });
}

/** Paths are those of documents, and there are no aggregates. */
function rowScope(sources: Sources, slots: Slots, parameters: QueryParameters): Scope {
  const scope: Scope = {
    slots,
    parameters,
    path(path, each) {
      const { source, steps } = sources.resolve(path);
      return pathOperand(source.alias, { ...path, steps }, scope, each);
    },
    aggregate(expression) {
      throw refusal(`${expression.name} stands after SELECT, in HAVING and in ORDER BY`, expression.at);
    },
  };
  return scope;
}
