/** Paths as SQLite's JSON functions take them. They are bound to a statement, never part of its text. */
import { assert } from "../base/assert.ts";
import { eachStep } from "../document/json_find.ts";
import type { PathExpression, Step } from "./ast.ts";
import { refusal } from "./catalog.ts";

/**
 * `a`, 0, `b.c` → `$."a"[0]."b.c"`. A name is written as a JSON string: SQLite (3.48 and later) reads its escapes, so every name can be said
 * but one with a NUL, where SQLite stops reading; {@linkcode checkPath} refuses it. No step is `[*]`.
 */
export function jsonPath(steps: readonly Step[]): string {
  let text = "$";
  for (const step of steps) {
    assert(step !== eachStep, "a path with [*] is taken apart first");
    text += typeof step === "number" ? `[${step}]` : `.${JSON.stringify(step)}`;
  }
  return text;
}

/** One text for one path, `[*]` too: what an index and a query compare. */
export function pathKey(steps: readonly Step[]): string {
  return steps.map((step) =>
    step === eachStep ? "[*]" : typeof step === "number" ? `[${step}]` : `.${JSON.stringify(step)}`
  ).join("");
}

/** `a[*].b[*].c` → `a`, `b`, `c`: what lies before, between and after the `[*]`. One part: there is none. */
export function partsAtEach(steps: readonly Step[]): readonly (readonly Step[])[] {
  const parts: Step[][] = [[]];
  for (const step of steps) {
    if (step === eachStep) parts.push([]);
    else parts.at(-1)!.push(step);
  }
  return parts;
}

export function hasEach(steps: readonly Step[]): boolean {
  return steps.includes(eachStep);
}

/** Throws `bad_request` for a path that SQLite cannot be asked for. */
export function checkPath(path: PathExpression): void {
  for (const step of path.steps) {
    if (typeof step === "string" && step.includes("\u0000")) {
      throw refusal("a name in a path cannot have the character U+0000", path.at);
    }
    if (typeof step === "number" && !(Number.isSafeInteger(step) && step >= 0 && step < 2 ** 31)) {
      throw refusal(`a position in an array is a number from 0 to ${2 ** 31 - 1}`, path.at);
    }
  }
}
