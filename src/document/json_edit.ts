import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { Span, Step } from "./json_find.ts";
import { eachStep } from "./json_find.ts";
import {
  childAt,
  elementAt,
  elementCount,
  firstIn,
  memberAt,
  memberNamed,
  nextAfter,
  openArray,
  openObject,
  pathText,
  valueAt,
  valueEnd,
} from "./json_find.ts";
import { integerOf, isNumberText } from "./json_number.ts";
import { checkNesting, keepsValue, reservedMembers } from "./json_scan.ts";
import type { DocumentLimits } from "./json_text.ts";
import { kindOf, valueOf } from "./json_value.ts";

/**
 * Edits of the compact JSON text of a stored document. What is not touched stays to the letter, in its order. A value
 * that is put in must itself be compact JSON text that a document may hold (`compactValue`). All throw `bad_request` for
 * the reserved members and for steps with `*each`. Results may have grown beyond the limits: {@linkcode editedBody}.
 */

/** The bytes of an edited document; throws `payload_too_large` and `bad_request` when it is beyond the limits. */
export function editedBody(text: string, limits: DocumentLimits): Uint8Array {
  const bytes = utf8(text);
  if (bytes.length > limits.bytesMax) {
    throw new DfdbError(
      "payload_too_large",
      `a document may have ${limits.bytesMax} bytes, not ${bytes.length}`,
    );
  }
  checkNesting(text, limits.nestingMax);
  return bytes;
}

/**
 * `text` with the value at `steps` replaced by `value`, or put there. Objects that are missing on the way are made; a
 * position may be that after an array's last element, also of an array that is not there yet. Throws `bad_request` for
 * any other position, and where a step does not fit what is there: null is no object.
 */
export function setAt(text: string, steps: readonly Step[], value: string): string {
  checkSteps(steps);
  let at = 0;
  for (const [level, step] of steps.entries()) {
    const kind = typeof step === "number" ? openArray : openObject;
    if (text.charCodeAt(at) !== kind) throw notFitting(text, at, steps, level);
    const child = childAt(text, at, step);
    if (child < 0) return withChild(text, at, steps, level, value);
    at = child;
  }
  return text.slice(0, at) + value + text.slice(valueEnd(text, at));
}

/** `text` with a last member or element of the object or array at `start`, to which step `level` of `steps` leads. */
function withChild(text: string, start: number, steps: readonly Step[], level: number, value: string) {
  const step = steps[level] as Step;
  if (typeof step === "number" && step !== elementCount(text, start)) throw outOfRange(steps, level);
  let made = value;
  for (let i = steps.length - 1; i > level; i--) {
    const inner = steps[i] as Step;
    if (typeof inner === "string") made = `{${JSON.stringify(inner)}:${made}}`;
    else if (inner === 0) made = `[${made}]`;
    else throw outOfRange(steps, i);
  }
  if (typeof step === "string") made = `${JSON.stringify(step)}:${made}`;
  const end = valueEnd(text, start) - 1;
  return text.slice(0, end) + (firstIn(text, start) < 0 ? made : `,${made}`) + text.slice(end);
}

/** `text` without the member or element at `steps`; `text` itself when there is none. */
export function removeAt(text: string, steps: readonly Step[]): string {
  checkSteps(steps);
  let parent = 0;
  for (const step of steps.slice(0, -1)) {
    parent = childAt(text, parent, step);
    if (parent < 0) return text;
  }
  const found = childSpan(text, parent, steps[steps.length - 1] as Step);
  if (found === null) return text;
  const { start, end } = found, comma = ",";
  if (text.charAt(end) === comma) return text.slice(0, start) + text.slice(end + 1);
  return text.slice(0, text.charAt(start - 1) === comma ? start - 1 : start) + text.slice(end);
}

/** The whole member or element that `step` leads to from the value at `start`, its key included. */
function childSpan(text: string, start: number, step: Step): Span | null {
  if (typeof step === "number") {
    const at = elementAt(text, start, step);
    return at < 0 ? null : { start: at, end: valueEnd(text, at) };
  }
  const member = memberNamed(text, start, step);
  return member === null ? null : { start: member.key, end: valueEnd(text, member.value) };
}

/**
 * `text` with `number` added to (`sign` 1) or taken from (-1) the number at `steps`; what is missing counts as 0, null
 * does not. Integers are added exactly. Throws `bad_request` for anything but numbers, and when a double does not
 * hold the sum: nobody should count on without effect.
 */
export function increment(text: string, steps: readonly Step[], number: string, sign: 1 | -1): string {
  if (!isNumberText(number)) throw badRequest(`${pathText(steps)} can be changed by a number only`);
  checkSteps(steps);
  const there = valueAt(text, steps) ?? "0";
  if (!isNumberText(there)) {
    throw badRequest(`${pathText(steps)} is ${kindOf(valueOf(there))}, not a number`);
  }
  const sum = added(there, number, sign);
  if (sum === null) throw badRequest(`a double does not hold what ${pathText(steps)} would become`);
  return setAt(text, steps, sum);
}

/** The text of the sum; null: no double holds it. */
function added(left: string, right: string, sign: 1 | -1): string | null {
  const a = integerOf(left), b = integerOf(right);
  if (a !== null && b !== null) {
    const exact = String(sign === 1 ? a + b : a - b);
    return keepsValue(exact) ? String(Number(exact)) : null;
  }
  const sum = Number(left) + sign * Number(right);
  return Math.abs(sum) <= Number.MAX_SAFE_INTEGER ? String(sum) : null;
}

/** A merge patch, read once: the text of a value, or the changes of an object's members by name. */
type Patch = string | ReadonlyMap<string, Change>;

interface Change {
  /** As it is spelled, with its quotes. */
  readonly key: string;
  readonly to: Patch;
}

/**
 * `text` after the merge patch `patch` (RFC 7386), itself the compact text of an object. Members stay in their order,
 * new ones come last in the order of the patch.
 */
export function mergePatch(text: string, patch: string): string {
  const { read } = readPatch(patch, 0);
  if (typeof read === "string") throw badRequest("a merge patch must be a JSON object");
  for (const name of reservedMembers) if (read.has(name)) throw reserved(name);
  return merged(text, 0, read).made;
}

function readPatch(text: string, start: number): { readonly read: Patch; readonly end: number } {
  if (text.charCodeAt(start) !== openObject) {
    const end = valueEnd(text, start);
    return { read: text.slice(start, end), end };
  }
  const changes = new Map<string, Change>();
  let end = start + 1;
  for (let at = firstIn(text, start); at >= 0; at = nextAfter(text, end)) {
    const member = memberAt(text, at), inner = readPatch(text, member.value);
    changes.set(member.name, { key: text.slice(at, member.value - 1), to: inner.read });
    end = inner.end;
  }
  return { read: changes, end: end + 1 };
}

/** The object at `start` of `text` with the changes; `end`: where it ended. */
function merged(text: string, start: number, changes: ReadonlyMap<string, Change>) {
  const members: string[] = [], met = new Set<string>();
  let end = start + 1;
  for (let at = firstIn(text, start); at >= 0; at = nextAfter(text, end)) {
    const { name, value } = memberAt(text, at), to = changes.get(name)?.to;
    let made: string | null;
    if (to !== undefined && typeof to !== "string" && text.charCodeAt(value) === openObject) {
      const inner = merged(text, value, to);
      made = inner.made;
      end = inner.end;
    } else {
      end = valueEnd(text, value);
      made = to === undefined ? text.slice(value, end) : asNew(to);
    }
    met.add(name);
    if (made !== null) members.push(text.slice(at, value) + made);
  }
  for (const [name, { key, to }] of changes) {
    const made = met.has(name) ? null : asNew(to);
    if (made !== null) members.push(`${key}:${made}`);
  }
  return { made: `{${members.join(",")}}`, end: end + 1 };
}

/** What a patch makes where no object was; null: nothing. */
function asNew(patch: Patch): string | null {
  if (typeof patch === "string") return patch === "null" ? null : patch;
  const members: string[] = [];
  for (const { key, to } of patch.values()) {
    const made = asNew(to);
    if (made !== null) members.push(`${key}:${made}`);
  }
  return `{${members.join(",")}}`;
}

function checkSteps(steps: readonly Step[]): void {
  const first = steps[0];
  if (first === undefined) throw badRequest("a path has at least one step");
  if ((reservedMembers as readonly Step[]).includes(first)) throw reserved(String(first));
  if (steps.includes(eachStep)) {
    throw badRequest(`${pathText(steps)} is not one place, so it cannot be changed`);
  }
}

function reserved(name: string): DfdbError {
  return badRequest(`the member ${name} is set by the server`);
}

function notFitting(text: string, at: number, steps: readonly Step[], level: number): DfdbError {
  const found = kindOf(valueOf(text.slice(at, valueEnd(text, at))));
  const wanted = typeof steps[level] === "number" ? "an array" : "an object";
  const where = level === 0 ? "the document" : pathText(steps.slice(0, level));
  return badRequest(`${where} is ${found}, not ${wanted}: ${pathText(steps)} cannot be set`);
}

function outOfRange(steps: readonly Step[], level: number): DfdbError {
  return badRequest(`${pathText(steps.slice(0, level + 1))} is beyond the end of the array`);
}

function badRequest(message: string): DfdbError {
  return new DfdbError("bad_request", message);
}
