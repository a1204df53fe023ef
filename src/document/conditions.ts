import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { fieldSteps } from "./field_path.ts";
import { arrayElements } from "./json_array.ts";
import type { Comparison } from "./json_compare.ts";
import { compares, literalBeside } from "./json_compare.ts";
import { increment, mergePatch, removeAt, setAt } from "./json_edit.ts";
import type { Step } from "./json_find.ts";
import { valuesAt } from "./json_find.ts";
import { objectMembers } from "./json_members.ts";
import { compactValue, valueOf } from "./json_value.ts";

/** A condition that a document must meet before it is changed. */
export interface FieldCondition {
  /** As it was sent. */
  readonly field: string;
  readonly steps: readonly Step[];
  readonly op: Comparison | "exists" | "notExists";
  /** Compact JSON text; null with `exists` and `notExists`. */
  readonly value: string | null;
}

/** One change of one field. */
export type FieldOperation =
  & { readonly field: string; readonly steps: readonly Step[] }
  & (
    | { readonly op: "set"; readonly value: string }
    /** `sign` -1 takes the number away. */
    | { readonly op: "inc"; readonly value: string; readonly sign: 1 | -1 }
    | { readonly op: "unset" }
  );

/** Each of them passes through the whole document. */
export const operationsMax = 1_000;

const conditionOps: ReadonlyMap<string, FieldCondition["op"]> = new Map([
  ...synonyms("=", "==", "=", "eq"),
  ...synonyms("!=", "!=", "ne"),
  ...synonyms("<", "<", "lt"),
  ...synonyms("<=", "<=", "lte"),
  ...synonyms(">", ">", "gt"),
  ...synonyms(">=", ">=", "gte"),
  ...synonyms("exists", "exists"),
  ...synonyms("notExists", "notExists", "!exists"),
]);

const operationOps: ReadonlyMap<string, "set" | "inc" | "dec" | "unset"> = new Map([
  ...synonyms("set", "set"),
  ...synonyms("inc", "inc", "+"),
  ...synonyms("dec", "dec", "-"),
  ...synonyms("unset", "unset", "del", "delete"),
]);

function synonyms<const Op>(op: Op, ...spellings: readonly string[]): (readonly [string, Op])[] {
  return spellings.map((spelling) => [spelling, op] as const);
}

/** The conditions in the JSON text of an array of `{field, op, value}`; throws `bad_request`, `payload_too_large`. */
export function readConditions(bytes: Uint8Array, nestingMax: number): readonly FieldCondition[] {
  return readAll(bytes, nestingMax, conditionOps, ({ field, op, value }) => {
    const bare = op === "exists" || op === "notExists";
    return { field, steps: fieldSteps(field), op, value: bare ? null : given(value, field, op) };
  });
}

/** The operations in the JSON text of an array of `{field, op, value}`, at least one; throws as `readConditions`. */
export function readOperations(bytes: Uint8Array, nestingMax: number): readonly FieldOperation[] {
  const operations = readAll(bytes, nestingMax, operationOps, ({ field, op, value }): FieldOperation => {
    const steps = fieldSteps(field);
    if (op === "unset") return { field, steps, op };
    const text = given(value, field, op);
    return op === "set"
      ? { field, steps, op, value: text }
      : { field, steps, op: "inc", value: text, sign: op === "inc" ? 1 : -1 };
  });
  if (operations.length === 0) throw badRequest("there are no operations");
  return operations;
}

/** The first condition that the document `text` does not meet; null: it meets all. */
export function firstFailed(text: string, conditions: readonly FieldCondition[]): FieldCondition | null {
  return conditions.find((condition) => !meets(text, condition)) ?? null;
}

/** With `[*]`: when one element does. A member that is null exists, and equals null as one that is missing does. */
function meets(text: string, { steps, op, value }: FieldCondition): boolean {
  const found = valuesAt(text, steps);
  if (op === "exists") return found.some((one) => one !== null);
  if (op === "notExists") return found.every((one) => one === null);
  const right = valueOf(value);
  if (right === null && op === "=") return found.length === 0 || found.some((one) => valueOf(one) === null);
  if (right === null && op === "!=") return found.some((one) => valueOf(one) !== null);
  return found.some((one) => {
    const left = valueOf(one);
    return compares(op, left, literalBeside(right, left));
  });
}

/** `text` after all operations in their order; throws `bad_request` for one that does not fit what is there. */
export function applyOperations(text: string, operations: readonly FieldOperation[]): string {
  let edited = text;
  for (const operation of operations) {
    const { steps, op } = operation;
    if (op === "set") edited = setAt(edited, steps, operation.value);
    else if (op === "inc") edited = increment(edited, steps, operation.value, operation.sign);
    else edited = removeAt(edited, steps);
  }
  return edited;
}

/** What a PATCH asks for: a merge patch as compact text, or operations. */
export type DocumentPatch = { readonly merge: string } | { readonly operations: readonly FieldOperation[] };

/** The patch in the body of a request: `{"$ops": [...]}` alone, or a merge patch, whose keys have no `$` in front. */
export function readPatch(bytes: Uint8Array, nestingMax: number): DocumentPatch {
  const members = objectMembers(bytes), operations = members.get("$ops");
  if (operations !== undefined && members.size === 1) {
    return { operations: readOperations(operations, nestingMax) };
  }
  for (const name of members.keys()) {
    if (!name.startsWith("$")) continue;
    throw badRequest('a patch is {"$ops": [...]} alone, or has no member that begins with $');
  }
  return { merge: compactValue(decoded(bytes), nestingMax) };
}

/** `text` after `patch`; throws `bad_request`. */
export function applyPatch(text: string, patch: DocumentPatch): string {
  return "merge" in patch ? mergePatch(text, patch.merge) : applyOperations(text, patch.operations);
}

interface Sent<Op> {
  readonly field: string;
  readonly op: Op;
  /** Compact JSON text. */
  readonly value: string | null;
}

function readAll<Op, Read>(
  bytes: Uint8Array,
  nestingMax: number,
  ops: ReadonlyMap<string, Op>,
  read: (sent: Sent<Op>) => Read,
): readonly Read[] {
  const all: Read[] = [];
  for (const element of arrayElements(bytes, { bulkDocumentsMax: operationsMax })) {
    const members = objectMembers(element);
    const field = textMember(members, "field", nestingMax), spelled = textMember(members, "op", nestingMax);
    const op = ops.get(spelled);
    if (op === undefined) {
      throw badRequest(
        `there is no op ${JSON.stringify(spelled.slice(0, 20))}: one of ${[...ops.keys()].join(" ")}`,
      );
    }
    const value = members.get("value");
    all.push(
      read({ field, op, value: value === undefined ? null : compactValue(decoded(value), nestingMax) }),
    );
  }
  return all;
}

function textMember(members: ReadonlyMap<string, Uint8Array>, name: string, nestingMax: number): string {
  const bytes = members.get(name);
  const value = bytes === undefined ? null : valueOf(compactValue(decoded(bytes), nestingMax));
  if (typeof value === "string") return value;
  throw badRequest(`expected the member ${name} as a string in {field, op, value}`);
}

function given(value: string | null, field: string, op: string): string {
  if (value !== null) return value;
  throw badRequest(`expected a value with ${op} of the field ${JSON.stringify(field.slice(0, 60))}`);
}

function decoded(bytes: Uint8Array): string {
  try {
    return utf8Text(bytes);
  } catch (cause) {
    throw new DfdbError("bad_request", "not valid UTF-8", { cause });
  }
}

function badRequest(message: string): DfdbError {
  return new DfdbError("bad_request", message);
}
