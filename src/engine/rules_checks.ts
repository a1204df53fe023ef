/** Checks of a schema: conditions of the query language that may not be false of a document. */
import { DfdbError } from "../base/errors.ts";
import { reservedMembers } from "../document/json_scan.ts";
import type { Members, Violation } from "../document/schema_check.ts";
import { shown } from "../document/schema_check.ts";
import { jsonOf } from "../document/json_value.ts";
import type { Condition, Expression, PathExpression } from "../query/ast.ts";
import type { Context } from "../query/evaluate.ts";
import { evaluate, holds } from "../query/evaluate.ts";
import { parseCondition } from "../query/parse.ts";

export interface Check {
  readonly text: string;
  readonly condition: Condition;
  /** Those that it speaks of, each once. */
  readonly paths: readonly PathExpression[];
  /** The members of the document that they begin with. */
  readonly members: readonly string[];
}

/** Throws `bad_request`: no condition, or one that is not of the document alone (parameters, `NOW()`, `NEWID()`, `_id`, `_etag`). */
export function readCheck(text: string): Check {
  const condition = parseCondition(text), paths = new Map<string, PathExpression>();
  for (const expression of operands(condition)) eachPath(expression, paths);
  if (paths.size === 0) throw unfit("it names no field");
  const members = new Set([...paths.values()].map(({ steps }) => String(steps[0])));
  return { text, condition, paths: [...paths.values()], members: [...members] };
}

/** Null: the check is passed, as in SQL: it is true, or nobody can say because what it compares is null or not there. */
export function failedCheck({ text, condition, paths, members }: Check, all: Members): Violation | null {
  const document = documentOf(all, members);
  if (truth(condition, document) !== false) return null;
  const [first] = paths;
  const came = paths.slice(0, 3).map((path) =>
    `${path.text} is ${shown(jsonOf(evaluate(path, document, outside)))}`
  );
  return {
    field: first?.text ?? "",
    rule: "check",
    message: `the check ${brief(text)} does not hold: ${came.join(", ")}`,
  };
}

/** A document with no other than these members. */
function documentOf(members: Members, names: readonly string[]): string {
  const parts: string[] = [];
  for (const name of names) {
    const value = members.get(name);
    if (value !== undefined) parts.push(`${JSON.stringify(name)}:${value}`);
  }
  return `{${parts.join(",")}}`;
}

/** True, false, or null where it depends on what is null: `NOT` of that is null too. */
function truth(condition: Condition, document: string): boolean | null {
  switch (condition.kind) {
    case "and":
    case "or": {
      const decides = condition.kind === "or";
      let found: boolean | null = !decides;
      for (const one of condition.all) {
        const here = truth(one, document);
        if (here === decides) return here;
        if (here === null) found = null;
      }
      return found;
    }
    case "not": {
      const inner = truth(condition.of, document);
      return inner === null ? null : !inner;
    }
    case "isNull":
      return holds(condition, document, outside);
  }
  if (holds(condition, document, outside)) return true;
  return operands(condition).some((one) => evaluate(one, document, outside) === null) ? null : false;
}

/** A check has neither: {@linkcode readCheck}. */
const outside: Context = { now: "", newId: () => "" };

/** The expressions of a condition; of one that is made of others, theirs. */
function operands(condition: Condition): readonly Expression[] {
  switch (condition.kind) {
    case "and":
    case "or":
      return condition.all.flatMap(operands);
    case "not":
      return operands(condition.of);
    case "isNull":
      return [condition.left];
    case "compare":
      return [condition.left, condition.right];
    case "like":
      return [condition.left, condition.pattern];
    case "in":
      return [condition.left, ...condition.list];
    case "between":
      return [condition.left, condition.low, condition.high];
  }
}

function eachPath(expression: Expression, paths: Map<string, PathExpression>): void {
  switch (expression.kind) {
    case "path":
      if ((reservedMembers as readonly unknown[]).includes(expression.steps[0])) {
        throw unfit(`${expression.text} is not the document's own`);
      }
      paths.set(expression.text, expression);
      return;
    case "parameter":
      throw unfit("it may have no parameters");
    case "call":
      if (expression.name === "NOW" || expression.name === "NEWID") {
        throw unfit(`${expression.name}() is something else each time`);
      }
      return expression.args.forEach((arg) => eachPath(arg, paths));
    case "arithmetic":
      eachPath(expression.left, paths);
      return eachPath(expression.right, paths);
    case "minus":
      return eachPath(expression.of, paths);
    case "aggregate":
    case "literal":
  }
}

function brief(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function unfit(why: string): DfdbError {
  return new DfdbError("bad_request", `a check is about one document alone: ${why}`);
}
