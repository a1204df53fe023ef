import { collectionName as checkedName } from "../document/names.ts";
import { messageOf } from "../base/errors.ts";
import { eachStep } from "../document/json_find.ts";
import type { CollectionName, PathExpression, Step } from "./ast.ts";
import { withoutSpace } from "./lexer.ts";
import type { Parser } from "./parse_state.ts";
import { queryLimits, syntaxError } from "./syntax_error.ts";

/** A path; `expected` says what a message calls it. */
export function path(p: Parser, expected = "a path"): PathExpression {
  const at = p.start;
  checkStep(p);
  return pathAfter(p, p.name(expected), at);
}

/** The rest of a path whose first name, at `at`, was just passed. */
export function pathAfter(p: Parser, first: string, at: number): PathExpression {
  const steps: Step[] = [first];
  while (p.kind === "symbol") {
    if (p.value === ".") {
      p.next();
      checkStep(p);
      steps.push(p.anyName("the name of a member (in double quotes if it begins with a digit)"));
    } else if (p.value === "[") {
      p.next();
      steps.push(position(p));
      p.needSign("]");
    } else break;
    p.room(steps.length - 1, queryLimits.stepsMax, "steps in one path");
  }
  return { kind: "path", at, steps, text: withoutSpace(p.text, at, p.previousEnd) };
}

/** Refuses a quoted name that the AST could not tell from `[*]`. */
export function checkStep(p: Parser): void {
  if (p.kind === "quoted" && p.value === eachStep) {
    throw syntaxError(p.text, p.start, `a member that is called ${eachStep} cannot be reached`);
  }
}

function position(p: Parser): Step {
  if (p.tookSign("*")) return eachStep;
  const { value } = p;
  if (p.kind !== "number" || /\D/.test(value)) p.unexpected("a position in the array (0, 1, ...) or *");
  if (value.length > queryLimits.positionDigitsMax) {
    throw syntaxError(
      p.text,
      p.start,
      `a position in an array has at most ${queryLimits.positionDigitsMax} digits`,
    );
  }
  p.next();
  return Number(value);
}

/** Paths in parentheses, at most `max`. */
export function pathList(p: Parser, max: number, what: string): PathExpression[] {
  p.needSign("(");
  const paths = [path(p)];
  while (p.isSign(",")) {
    p.next();
    p.room(paths.length, max, what);
    paths.push(path(p));
  }
  p.needSign(")", '"," or ")"');
  return paths;
}

/** The name of a collection: it may have dots, and - inside double quotes. */
export function collection(p: Parser): CollectionName {
  const expected = "the name of a collection", at = p.start;
  let name = p.name(expected);
  while (p.isSign(".")) {
    p.next();
    name += `.${p.anyName(expected)}`;
  }
  try {
    checkedName(name);
  } catch (error) {
    throw syntaxError(p.text, at, messageOf(error));
  }
  return { at, name };
}
