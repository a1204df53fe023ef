import { DfdbError } from "../base/errors.ts";
import { eachStep, valueAt, valuesAt } from "../document/json_find.ts";
import type { Value } from "../document/json_value.ts";
import { jsonOf, valueOf } from "../document/json_value.ts";
import { calculated, negated } from "./arithmetic.ts";
import type { Condition, Expression, FunctionName } from "./ast.ts";
import type { Side } from "./compare.ts";
import { asciiLower, asciiUpper, like, satisfies } from "./compare.ts";

/** What an expression takes from outside of the document. */
export interface Context {
  /** What `NOW()` is. */
  readonly now: string;
  /** Called for each `NEWID()`. */
  readonly newId: () => string;
  readonly parameter?: (name: number | string) => Value;
  /** What an aggregate is for the rows that the document stands for. */
  readonly aggregate?: (aggregate: Aggregate) => Value;
}

export type Aggregate = Extract<Expression, { readonly kind: "aggregate" }>;
type Call = Extract<Expression, { readonly kind: "call" }>;

/** How many values one expression may have by its `[*]`: two of them make pairs. */
const alternativesMax = 1_000_000;

/**
 * The value of `expression` on the compact JSON text of a document (with `_id` and `_etag` if it may ask for them). With
 * `[*]` in it: the array of its values, null when a path that stands alone leads to no element. Throws `bad_request`
 * for a parameter that is not given, and for an aggregate that the context does not know.
 */
export function evaluate(expression: Expression, document: string, context: Context): Value {
  if (!hasEach(expression)) return alternatives(expression, document, context)[0] ?? null;
  if (expression.kind === "path" && valuesAt(document, expression.steps).length === 0) return null;
  return { json: `[${alternatives(expression, document, context).map(jsonOf).join(",")}]` };
}

/** True when the condition holds for the document. With `[*]`: when one element makes it hold. */
export function holds(condition: Condition, document: string, context: Context): boolean {
  switch (condition.kind) {
    case "and":
      return condition.all.every((one) => holds(one, document, context));
    case "or":
      return condition.all.some((one) => holds(one, document, context));
    case "not":
      return !holds(condition.of, document, context);
    case "isNull":
      return alternatives(condition.left, document, context).some((value) =>
        (value === null) !== condition.not
      );
    case "compare": {
      const right = sides(condition.right, document, context);
      return sides(condition.left, document, context, right.length)
        .some((a) => right.some((b) => satisfies(condition.operator, a, b)));
    }
    case "in":
      return holdsIn(condition, document, context);
    case "between": {
      const low = sides(condition.low, document, context), high = sides(condition.high, document, context);
      return sides(condition.left, document, context, low.length + high.length).some((a) =>
        low.some((b) => satisfies(">=", a, b)) && high.some((b) => satisfies("<=", a, b))
      );
    }
    case "like": {
      const patterns = alternatives(condition.pattern, document, context);
      return sides(condition.left, document, context, patterns.length).some(({ value }) =>
        typeof value === "string" && patterns.some((p) => typeof p === "string" && like(value, p))
      );
    }
  }
}

function holdsIn(condition: Extract<Condition, { kind: "in" }>, document: string, context: Context): boolean {
  const list = condition.list.flatMap((one) => sides(one, document, context));
  return sides(condition.left, document, context, list.length)
    .some((a) => list.some((b) => satisfies("=", a, b)));
}

/** The values of one side, which is compared with `others` values. */
function sides(expression: Expression, document: string, context: Context, others = 1): readonly Side[] {
  const values = alternatives(expression, document, context);
  if (values.length > 1) checkCount(values.length * others);
  const literal = expression.kind === "literal" || expression.kind === "parameter";
  return values.map((value) => ({ value, literal }));
}

/** The values of an expression: one, unless there is a `[*]` in it. A path that leads nowhere is one null. */
function alternatives(expression: Expression, document: string, context: Context): readonly Value[] {
  switch (expression.kind) {
    case "literal":
      return [expression.value];
    case "path": {
      if (!expression.steps.includes(eachStep)) return [valueOf(valueAt(document, expression.steps))];
      const found = valuesAt(document, expression.steps);
      return found.length === 0 ? [null] : found.map(valueOf);
    }
    case "parameter":
      return [parameter(expression.name, context)];
    case "aggregate":
      if (context.aggregate !== undefined) return [context.aggregate(expression)];
      throw new DfdbError("bad_request", `${expression.name} has no value for one document`);
    case "minus":
      return alternatives(expression.of, document, context).map(negated);
    case "arithmetic": {
      const left = alternatives(expression.left, document, context);
      const right = alternatives(expression.right, document, context);
      checkCount(left.length * right.length);
      return left.flatMap((a) => right.map((b) => calculated(expression.operator, a, b)));
    }
    case "call":
      return combinations(expression, document, context).map((args) =>
        called(expression.name, args, context)
      );
  }
}

/** Every choice of one value for each argument. */
function combinations({ args }: Call, document: string, context: Context): readonly (readonly Value[])[] {
  let all: readonly (readonly Value[])[] = [[]];
  for (const arg of args) {
    const values = alternatives(arg, document, context);
    checkCount(all.length * values.length);
    all = all.flatMap((before) => values.map((value) => [...before, value]));
  }
  return all;
}

function called(name: FunctionName, args: readonly Value[], context: Context): Value {
  if (name === "NOW") return context.now;
  if (name === "NEWID") return context.newId();
  if (name === "COALESCE") return args.find((arg) => arg !== null) ?? null;
  const text = args[0];
  if (typeof text !== "string") return null;
  switch (name) {
    case "LOWER":
      return asciiLower(text);
    case "UPPER":
      return asciiUpper(text);
    case "TRIM":
      return withoutSpaces(text);
    case "LENGTH":
      return { number: String(codePoints(text)) };
  }
}

/** Without the spaces at both ends; other whitespace stays. */
function withoutSpaces(text: string): string {
  let from = 0, to = text.length;
  while (from < to && text.charCodeAt(from) === 0x20) from++;
  while (to > from && text.charCodeAt(to - 1) === 0x20) to--;
  return text.slice(from, to);
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function parameter(name: number | string, context: Context): Value {
  if (context.parameter !== undefined) return context.parameter(name);
  throw new DfdbError(
    "bad_request",
    `no value for the parameter ${typeof name === "number" ? name + 1 : `:${name}`}`,
  );
}

/** True when a `[*]` gives the expression more than one value. */
function hasEach(expression: Expression): boolean {
  switch (expression.kind) {
    case "path":
      return expression.steps.includes(eachStep);
    case "call":
      return expression.args.some(hasEach);
    case "arithmetic":
      return hasEach(expression.left) || hasEach(expression.right);
    case "minus":
      return hasEach(expression.of);
    default:
      return false;
  }
}

function checkCount(count: number): void {
  if (count <= alternativesMax) return;
  throw new DfdbError("bad_request", `[*] leads to more than ${alternativesMax} combinations of elements`);
}
