import type { Condition, Expression, Item, Join, PathExpression, Select, SortKey } from "./ast.ts";
import { withoutSpace } from "./lexer.ts";
import { condition } from "./parse_condition.ts";
import { expression } from "./parse_expression.ts";
import { collection, path } from "./parse_path.ts";
import type { Parser } from "./parse_state.ts";
import { queryLimits, syntaxError } from "./syntax_error.ts";

const clauses = ["WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET"] as const;

/** SELECT; stops at the first token that is no part of it. */
export function select(p: Parser): Select {
  p.need("SELECT");
  const distinct = p.took("DISTINCT");
  p.aggregates = true;
  const items = p.tookSign("*") ? null : selectItems(p);
  p.aggregates = false;
  if (p.keyword !== "FROM") p.unexpected(items === null ? "FROM" : 'an operator, ",", AS or FROM');
  p.next();
  if (p.isSign("(")) {
    throw syntaxError(p.text, p.start, "sub-queries are not supported", "the name of a collection");
  }
  const from = collection(p);
  if (p.isSign(",")) {
    throw syntaxError(p.text, p.start, "several collections after FROM are not supported", "JOIN");
  }
  return {
    kind: "select",
    distinct,
    items,
    from,
    joins: joins(p),
    where: where(p),
    groupBy: groupBy(p),
    having: having(p),
    orderBy: orderBy(p),
    limit: count(p, "LIMIT"),
    offset: count(p, "OFFSET"),
  };
}

/** WHERE, if it is there. */
export function where(p: Parser): Condition | null {
  if (!p.took("WHERE")) return null;
  p.clause = "in WHERE";
  return condition(p);
}

/** The current token goes on with no SELECT that has come so far: says what could. */
export function afterSelect(p: Parser, made: Select): never {
  const last = lastClause(made);
  if (p.keyword === "AS") {
    throw syntaxError(p.text, p.start, "a second name for a collection is not supported");
  }
  const word = p.keyword === "GROUP" || p.keyword === "ORDER" ? `${p.keyword} BY` : p.keyword;
  if (last >= 0 && (clauses as readonly string[]).includes(word)) {
    throw syntaxError(
      p.text,
      p.start,
      word === clauses[last] ? `found a second ${word}` : `found ${word} after ${clauses[last]}`,
      `at most one of each, in the order ${clauses.join(", ")}`,
    );
  }
  const expected = [...beforeNext(made, last), ...clauses.slice(last + 1)].map(quoteComma).join(", ");
  p.unexpected(expected === "" ? "the end" : `${expected} or the end`);
}

/** What can go on the last clause of a statement. */
function beforeNext(made: Select, last: number): readonly string[] {
  switch (last) {
    case -1: {
      const join = made.joins.at(-1);
      return join !== undefined && join.type !== "cross" ? ["AND", "JOIN"] : ["JOIN"];
    }
    case 0:
    case 2:
      return ["AND", "OR"];
    case 1:
      return [","];
    case 3:
      return (made.orderBy.at(-1)?.descending ?? false) ? [","] : ["an operator", ",", "ASC", "DESC"];
  }
  return [];
}

function quoteComma(word: string): string {
  return word === "," ? '","' : word;
}

/** The place in `clauses` of the last one that a statement has; -1: none. */
function lastClause(made: Select): number {
  if (made.offset !== null) return 5;
  if (made.limit !== null) return 4;
  if (made.orderBy.length > 0) return 3;
  if (made.having !== null) return 2;
  if (made.groupBy.length > 0) return 1;
  return made.where !== null ? 0 : -1;
}

function selectItems(p: Parser): Item[] {
  const items: Item[] = [];
  do {
    p.room(items.length, queryLimits.partsMax, "items after SELECT");
    const at = p.start;
    const value = expression(p);
    const written = p.previousEnd;
    const name = p.took("AS") ? p.anyName("a name for the result") : withoutSpace(p.text, at, written);
    items.push({ at, value, name });
  } while (p.tookSign(","));
  return items;
}

function joins(p: Parser): Join[] {
  const found: Join[] = [];
  for (let type = joinType(p); type !== null; type = joinType(p)) {
    p.room(found.length, queryLimits.joinsMax, "joins");
    const other = collection(p);
    const on: { left: PathExpression; right: PathExpression }[] = [];
    if (type !== "cross") {
      p.need("ON");
      do {
        p.room(on.length, queryLimits.partsMax, "pairs of one join");
        const left = path(p);
        p.needSign("=", '"=" (a join compares paths with = alone)');
        on.push({ left, right: path(p) });
      } while (p.took("AND"));
    }
    found.push({ type, with: other, on });
  }
  return found;
}

/** Passes the words that begin a join; null: there is none. */
function joinType(p: Parser): Join["type"] | null {
  const { keyword } = p;
  if (keyword === "JOIN") {
    p.next();
    return "inner";
  }
  if (keyword !== "INNER" && keyword !== "LEFT" && keyword !== "RIGHT" && keyword !== "CROSS") return null;
  p.next();
  const outer = (keyword === "LEFT" || keyword === "RIGHT") && p.took("OUTER");
  if (!p.took("JOIN")) {
    p.unexpected(outer || keyword === "INNER" || keyword === "CROSS" ? "JOIN" : "JOIN or OUTER JOIN");
  }
  return keyword === "INNER"
    ? "inner"
    : keyword === "LEFT"
    ? "left"
    : keyword === "RIGHT"
    ? "right"
    : "cross";
}

function groupBy(p: Parser): PathExpression[] {
  if (!p.took("GROUP")) return [];
  p.need("BY");
  const paths: PathExpression[] = [];
  do {
    p.room(paths.length, queryLimits.partsMax, "paths after GROUP BY");
    paths.push(path(p));
  } while (p.tookSign(","));
  return paths;
}

function having(p: Parser): Condition | null {
  if (!p.took("HAVING")) return null;
  p.aggregates = true;
  const found = condition(p);
  p.aggregates = false;
  return found;
}

function orderBy(p: Parser): SortKey[] {
  if (!p.took("ORDER")) return [];
  p.need("BY");
  p.aggregates = true;
  const keys: SortKey[] = [];
  do {
    p.room(keys.length, queryLimits.partsMax, "keys after ORDER BY");
    const at = p.start;
    const by = expression(p);
    if (by.kind === "literal" || by.kind === "parameter") {
      throw syntaxError(
        p.text,
        at,
        "ORDER BY a constant sorts nothing",
        "a path, an aggregate or a function",
      );
    }
    const descending = p.took("DESC");
    if (!descending) p.took("ASC");
    keys.push({ by, descending });
  } while (p.tookSign(","));
  p.aggregates = false;
  return keys;
}

/** LIMIT or OFFSET with its number, if it is there. */
function count(p: Parser, keyword: "LIMIT" | "OFFSET"): Expression | null {
  if (!p.took(keyword)) return null;
  const at = p.start, { value } = p;
  if (p.kind === "parameter") return { kind: "parameter", at, name: p.parameter() };
  if (p.kind !== "number" || /\D/.test(value)) p.unexpected("a whole number (0, 1, ...) or a parameter");
  if (!Number.isSafeInteger(Number(value))) {
    throw syntaxError(
      p.text,
      at,
      `${keyword} ${value.slice(0, 20)} is too large`,
      `at most ${Number.MAX_SAFE_INTEGER}`,
    );
  }
  p.next();
  if (keyword === "LIMIT" && p.isSign(",")) {
    throw syntaxError(p.text, p.start, "LIMIT with two numbers is not supported", "LIMIT n OFFSET m");
  }
  return { kind: "literal", at, value: { number: value } };
}
