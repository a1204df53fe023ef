import { DfdbError } from "../base/errors.ts";
import { eachStep, type Step } from "./json_find.ts";

/** Steps of a path; more lead nowhere, because documents do not nest deeper. */
const stepsMax = 1000;

/**
 * The steps of a field as requests name it: `a.b`, `a[0].b`, `a[*].b`. Names may hold anything but dots and brackets.
 * Throws `bad_request`.
 */
export function fieldSteps(field: string): readonly Step[] {
  const steps: Step[] = [];
  const part = /(^|\.)([^.[\]]+)|\[(?:([0-9]{1,9})|\*)\]/y;
  while (part.lastIndex < field.length) {
    const match = part.exec(field);
    const name = match?.[2], index = match?.[3];
    const misplaced = steps.length === 0 && match?.[1] !== "";
    if (match === null || misplaced || name === eachStep || steps.length === stepsMax) throw wrong(field);
    steps.push(name ?? (index === undefined ? eachStep : Number(index)));
  }
  if (steps.length === 0) throw wrong(field);
  return steps;
}

function wrong(field: string): DfdbError {
  const shown = field.length > 60 ? `${field.slice(0, 60)}…` : field;
  return new DfdbError(
    "bad_request",
    `${JSON.stringify(shown)} names no field: expected a form like a.b, a[0].b or a[*].b`,
  );
}
