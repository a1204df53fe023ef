/** Paths as SQLite's JSON functions take them. */
import { assert } from "../base/assert.ts";
import { eachStep, type Step } from "./json_find.ts";

/**
 * `a`, 0, `b.c` → `$."a"[0]."b.c"`. A name is written as a JSON string: SQLite (3.48 and later) reads its escapes, so every name can be said
 * but one with a NUL, where SQLite stops reading. No step is `[*]`.
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
