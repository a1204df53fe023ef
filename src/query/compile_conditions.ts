/** Conditions as SQL with two truth values: where SQL would say null, the condition does not hold. */
import type { Condition, Expression } from "./ast.ts";
import { compareSql, inSql, likeSql } from "./compile_compare.ts";
import { constantOf } from "./compile_constants.ts";
import type { Constant } from "./compile_constants.ts";
import { joined } from "./compile_slots.ts";
import type { EachSources, Operand, Scope } from "./compile_values.ts";
import { operandOf } from "./compile_values.ts";

type Simple = Exclude<Condition, { readonly kind: "and" | "or" | "not" }>;

export function conditionSql(condition: Condition, scope: Scope): string {
  switch (condition.kind) {
    case "and":
    case "or": {
      const word = condition.kind === "and" ? "AND" : "OR";
      return `(${joined(condition.all.map((one) => conditionSql(one, scope)), word)})`;
    }
    case "not":
      return `(NOT coalesce(${conditionSql(condition.of, scope)}, 0))`;
    default:
      return simpleSql(condition, scope);
  }
}

/** The terms that must all hold. */
export function andTerms(condition: Condition | null): readonly Condition[] {
  if (condition === null) return [];
  return condition.kind === "and" ? condition.all.flatMap(andTerms) : [condition];
}

/** With `[*]` it holds when one choice of elements makes it hold. */
function simpleSql(condition: Simple, scope: Scope): string {
  const each: EachSources = { sources: [], orNull: needsNull(condition) };
  const sql = withOperands(condition, (expression) => operandOf(expression, scope, each), scope);
  return each.sources.length === 0
    ? sql
    : `EXISTS (SELECT 1 FROM ${each.sources.join(" CROSS JOIN ")} WHERE ${sql})`;
}

function withOperands(condition: Simple, operand: (expression: Expression) => Operand, scope: Scope): string {
  const { slots } = scope;
  switch (condition.kind) {
    case "compare":
      return compareSql(condition.operator, operand(condition.left), operand(condition.right), slots);
    case "like":
      return likeSql(operand(condition.left), operand(condition.pattern), slots);
    case "between": {
      const left = operand(condition.left);
      const low = compareSql(">=", left, operand(condition.low), slots);
      return `(${low} AND ${compareSql("<=", left, operand(condition.high), slots)})`;
    }
    case "isNull":
      return `(${operand(condition.left).value()} IS ${condition.not ? "NOT NULL" : "NULL"})`;
    case "in": {
      const left = operand(condition.left), constants: Constant[] = [], others: Expression[] = [];
      for (const one of condition.list) {
        const constant = constantOf(one, scope.parameters);
        if (constant === null || left.constant !== null) others.push(one);
        else constants.push(constant);
      }
      const parts = others.map((one) => compareSql("=", left, operand(one), slots));
      if (constants.length > 0) parts.push(inSql(left, constants, slots));
      return `(${joined(parts, "OR")})`;
    }
  }
}

/** Where a null can make the condition hold, a `[*]` that leads to nothing has to be one. */
function needsNull(condition: Simple): boolean {
  switch (condition.kind) {
    case "isNull":
      return true;
    case "compare":
      return hasCoalesce(condition.left) || hasCoalesce(condition.right);
    case "like":
      return hasCoalesce(condition.left) || hasCoalesce(condition.pattern);
    case "between":
      return [condition.left, condition.low, condition.high].some(hasCoalesce);
    case "in":
      // An element of the list that leads to nothing must not empty the whole.
      return hasCoalesce(condition.left) ||
        condition.list.some((one) => hasCoalesce(one) || one.kind !== "literal");
  }
}

function hasCoalesce(expression: Expression): boolean {
  switch (expression.kind) {
    case "call":
      return expression.name === "COALESCE" || expression.args.some(hasCoalesce);
    case "arithmetic":
      return hasCoalesce(expression.left) || hasCoalesce(expression.right);
    case "minus":
      return hasCoalesce(expression.of);
    default:
      return false;
  }
}
