import type { AggregateName, Expression, Literal } from "./ast.ts";
import { checkStep, pathAfter } from "./parse_path.ts";
import type { Parser } from "./parse_state.ts";
import type { FunctionFacts } from "./parse_words.ts";
import {
  aggregates,
  foreignFunctions,
  functionNames,
  functions,
  reserved,
  upperAscii,
} from "./parse_words.ts";
import { echo, queryLimits, syntaxError } from "./syntax_error.ts";

const anyExpression = "a path, a function, a literal or a parameter";

/** An expression: `*`, `/` and `%` bind more than `+` and `-`, a minus in front more than both. */
export function expression(p: Parser): Expression {
  return sum(p, product(p, factor(p)));
}

/** The rest of an expression whose first factor was just read. */
export function expressionAfter(p: Parser, first: Expression): Expression {
  return sum(p, product(p, first));
}

function sum(p: Parser, first: Expression): Expression {
  let left = first;
  while (p.kind === "symbol" && (p.value === "+" || p.value === "-")) {
    const operator = p.value, at = p.start, { height } = p;
    p.next();
    const right = product(p, factor(p));
    p.operatorOn(Math.max(height, p.height), at);
    left = { kind: "arithmetic", at: left.at, operator, left, right };
  }
  return left;
}

function product(p: Parser, first: Expression): Expression {
  let left = first;
  while (p.kind === "symbol" && (p.value === "*" || p.value === "/" || p.value === "%")) {
    const operator = p.value, at = p.start, { height } = p;
    p.next();
    const right = factor(p);
    p.operatorOn(Math.max(height, p.height), at);
    left = { kind: "arithmetic", at: left.at, operator, left, right };
  }
  return left;
}

function factor(p: Parser): Expression {
  const at = p.start;
  p.height = 1;
  switch (p.kind) {
    case "word":
      return word(p);
    case "quoted": {
      checkStep(p);
      return pathAfter(p, p.name(anyExpression), at);
    }
    case "string":
      return literal(p, at, p.value);
    case "number":
      return literal(p, at, { number: p.value });
    case "parameter":
      return { kind: "parameter", at, name: p.parameter() };
    case "symbol":
      if (p.value === "-") return minus(p);
      if (p.value === "(") return inParentheses(p);
      if (p.value === "{" || p.value === "[") {
        throw syntaxError(p.text, at, "a JSON object or array stands only after VALUES", anyExpression);
      }
  }
  return p.unexpected(anyExpression);
}

function literal(p: Parser, at: number, value: Literal): Expression {
  p.next();
  return { kind: "literal", at, value };
}

function inParentheses(p: Parser): Expression {
  p.enter();
  p.next();
  const inner = expression(p);
  p.needSign(")", 'an operator or ")"');
  p.leave();
  return inner;
}

/** A minus; together with a number it is that number. */
function minus(p: Parser): Expression {
  const at = p.start;
  p.next();
  if (p.kind === "number") return literal(p, at, { number: `-${p.value}` });
  p.enter();
  const of = factor(p);
  p.leave();
  p.operatorOn(p.height, at);
  return { kind: "minus", at, of };
}

/** A literal, a call or a path: whatever begins with a word. */
function word(p: Parser): Expression {
  const at = p.start, { value, keyword } = p;
  if (keyword !== "") {
    if (keyword === "NULL") return literal(p, at, null);
    if (keyword === "TRUE" || keyword === "FALSE") return literal(p, at, keyword === "TRUE");
    if (keyword !== "CURRENT_TIMESTAMP" && reserved.has(keyword)) return p.unexpected(anyExpression);
  }
  p.next();
  if (p.kind === "symbol" && p.value === "(") return call(p, value, at);
  if (keyword === "CURRENT_TIMESTAMP") {
    throw syntaxError(p.text, at, `${value} is a function`, `${value}()`);
  }
  return pathAfter(p, value, at);
}

/** A call whose name was just passed. */
function call(p: Parser, written: string, at: number): Expression {
  const name = upperAscii(written);
  const aggregate = aggregates.get(name);
  if (aggregate !== undefined) return aggregateCall(p, aggregate, at);
  const facts = functions.get(name);
  if (facts !== undefined) return functionCall(p, facts, name, at);
  const what = foreignFunctions.has(name)
    ? `the function ${name} is not supported`
    : `there is no function ${echo(written)}`;
  throw syntaxError(p.text, at, what, `one of ${functionNames}`);
}

function functionCall(p: Parser, facts: FunctionFacts, name: string, at: number): Expression {
  p.enter();
  p.next();
  const args: Expression[] = [];
  let height = 0;
  if (!p.isSign(")")) {
    do {
      p.room(args.length, queryLimits.functionArgumentsMax, "arguments in one call");
      args.push(expression(p));
      height = Math.max(height, p.height);
    } while (p.tookSign(","));
  }
  p.needSign(")", 'an operator, "," or ")"');
  p.leave();
  if (args.length < facts.min || args.length > facts.max) {
    throw syntaxError(p.text, at, `${name} takes ${argumentCount(facts)}, not ${args.length}`);
  }
  p.operatorOn(height, at);
  return { kind: "call", at, name: facts.name, args };
}

function argumentCount({ min, max }: FunctionFacts): string {
  if (max === 0) return "no arguments";
  if (min === max) return `${min} argument${min === 1 ? "" : "s"}`;
  return `${min} to ${max} arguments`;
}

function aggregateCall(p: Parser, name: AggregateName, at: number): Expression {
  if (!p.aggregates) {
    throw syntaxError(p.text, at, `${name} cannot stand ${p.clause}`);
  }
  const { clause } = p;
  p.enter();
  p.next();
  p.aggregates = false;
  p.clause = "inside another aggregate";
  let of: Expression | null = null;
  p.height = 1;
  if (p.keyword === "DISTINCT") throw syntaxError(p.text, p.start, `${name}(DISTINCT ...) is not supported`);
  if (p.isSign("*")) {
    if (name !== "COUNT") p.unexpected("a path (* stands in COUNT alone)");
    p.next();
  } else of = expression(p);
  if (p.isSign(",")) throw syntaxError(p.text, p.start, `${name} takes 1 argument`, '")"');
  p.needSign(")", of === null ? '")"' : 'an operator or ")"');
  p.aggregates = true;
  p.clause = clause;
  p.leave();
  p.operatorOn(p.height, at);
  return { kind: "aggregate", at, name, of };
}
