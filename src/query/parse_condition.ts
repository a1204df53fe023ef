import type { Comparison, Condition, Expression } from "./ast.ts";
import { expression, expressionAfter } from "./parse_expression.ts";
import type { Parser } from "./parse_state.ts";
import { queryLimits, syntaxError } from "./syntax_error.ts";

const anyComparison = "a comparison (=, !=, <, <=, >, >=, LIKE, IN, BETWEEN, IS)";
const comparisons: ReadonlySet<string> = new Set(["=", "!=", "<", "<=", ">", ">="]);

const valueWords: ReadonlySet<string> = new Set(["LIKE", "IN", "BETWEEN", "IS", "NOT"]);

/** A condition: NOT binds more than AND, AND more than OR. */
export function condition(p: Parser): Condition {
  return either(p, false) as Condition;
}

/**
 * As all functions below: a condition. With `bare`, right after a parenthesis, it may turn out that it was an
 * expression in parentheses: `(a + b) > 3`. Then that is returned, and the current token closes the parenthesis.
 */
function either(p: Parser, bare: boolean): Condition | Expression {
  return sideBySide(p, "OR", bare);
}

function sideBySide(p: Parser, keyword: "OR" | "AND", bare: boolean): Condition | Expression {
  const at = p.start;
  const first = keyword === "OR" ? sideBySide(p, "AND", bare) : negation(p, bare);
  if (p.keyword !== keyword) return first;
  const all = [first as Condition];
  while (p.keyword === keyword) {
    p.room(all.length, queryLimits.listMax, `conditions side by side under one ${keyword}`);
    p.next();
    all.push((keyword === "OR" ? sideBySide(p, "AND", false) : negation(p, false)) as Condition);
  }
  return { kind: keyword === "OR" ? "or" : "and", at, all };
}

function negation(p: Parser, bare: boolean): Condition | Expression {
  if (p.keyword !== "NOT") return predicate(p, bare);
  const at = p.start;
  p.enter();
  p.next();
  const of = negation(p, false) as Condition;
  p.leave();
  return { kind: "not", at, of };
}

function predicate(p: Parser, bare: boolean): Condition | Expression {
  const at = p.start;
  let left: Expression;
  if (p.isSign("(")) {
    p.enter();
    p.next();
    if (p.keyword === "SELECT") p.unexpected(anyComparison);
    const inner = either(p, true);
    p.needSign(")", isCondition(inner) ? 'AND, OR or ")"' : `an operator, ${anyComparison} or ")"`);
    p.leave();
    if (isCondition(inner)) {
      if (afterValue(p)) {
        throw syntaxError(p.text, p.start, `found ${p.found()} after a condition`, "AND or OR");
      }
      return inner;
    }
    left = expressionAfter(p, inner);
  } else left = expression(p);
  if (p.kind === "symbol" && comparisons.has(p.value)) {
    const operator = p.value as Comparison;
    p.next();
    return { kind: "compare", at, operator, left, right: expression(p) };
  }
  if (p.keyword === "IS") return isNull(p, left, at);
  if (p.keyword === "NOT") {
    p.next();
    return { kind: "not", at, of: word(p, left, at, "LIKE, IN or BETWEEN") };
  }
  if (bare && p.isSign(")")) return left;
  return word(p, left, at, bare ? `${anyComparison} or ")"` : anyComparison);
}

/** Whether the current token goes on with a value: with a condition it cannot. */
function afterValue(p: Parser): boolean {
  if (p.kind === "symbol") return comparisons.has(p.value) || "+-*/%".includes(p.value);
  return valueWords.has(p.keyword);
}

function isCondition(node: Condition | Expression): node is Condition {
  switch (node.kind) {
    case "path":
    case "literal":
    case "parameter":
    case "call":
    case "aggregate":
    case "arithmetic":
    case "minus":
      return false;
  }
  return true;
}

/** LIKE, IN or BETWEEN and what follows. */
function word(p: Parser, left: Expression, at: number, expected: string): Condition {
  if (p.took("LIKE")) return { kind: "like", at, left, pattern: expression(p) };
  if (p.took("IN")) return { kind: "in", at, left, list: list(p) };
  if (!p.took("BETWEEN")) p.unexpected(expected);
  const low = expression(p);
  p.need("AND");
  return { kind: "between", at, left, low, high: expression(p) };
}

function isNull(p: Parser, left: Expression, at: number): Condition {
  p.next();
  const not = p.took("NOT");
  if (!p.took("NULL")) p.unexpected(not ? "NULL" : "NULL or NOT NULL");
  return { kind: "isNull", at, left, not };
}

function list(p: Parser): Expression[] {
  p.needSign("(", 'a list in "(" and ")"');
  const values = [expression(p)];
  while (p.isSign(",")) {
    p.next();
    p.room(values.length, queryLimits.listMax, "values after IN");
    values.push(expression(p));
  }
  p.needSign(")", '"," or ")"');
  return values;
}
