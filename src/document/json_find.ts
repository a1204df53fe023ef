/**
 * Finds values in the compact JSON text of a stored document without parsing it. The text is trusted: it has no
 * whitespace between its tokens and was checked when it was stored.
 */

/** The step `[*]`. */
export const eachStep = "*each";

/** A step to a value: a member's name, a position in an array, or every element of one. */
export type Step = string | number | typeof eachStep;

/** Where a value stands: `text.slice(start, end)`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The beginning of a member: where its key's quote stands, its name, and where its value begins. */
export interface MemberStart {
  readonly key: number;
  readonly name: string;
  readonly value: number;
}

const quote = 0x22, comma = 0x2c, backslash = 0x5c;
/** `[` and `{`, `]` and `}` differ in this bit only. */
const braceBit = 0x20, open = 0x7b, close = 0x7d;
export const openObject = 0x7b, openArray = 0x5b;

/** Index past the value that begins at `start`. */
export function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === quote) return stringEnd(text, start);
  if ((first | braceBit) === open) return containerEnd(text, start);
  let at = start + 1;
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === comma || (code | braceBit) === close) break;
  }
  return at;
}

function stringEnd(text: string, start: number): number {
  for (let at = start + 1;; at++) {
    at = text.indexOf('"', at);
    if (at < 0) return text.length;
    let escapes = 0;
    while (text.charCodeAt(at - escapes - 1) === backslash) escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
}

function containerEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = stringEnd(text, at);
      continue;
    }
    at++;
    if ((code | braceBit) === open) depth++;
    else if ((code | braceBit) === close && --depth === 0) return at;
  }
  return text.length;
}

/**
 * Where the member or element after the one that ends at `end` begins; -1: there is none. For loops:
 * `for (let at = firstIn(text, start); at >= 0; at = nextAfter(text, end))`.
 */
export function nextAfter(text: string, end: number): number {
  return text.charCodeAt(end) === comma ? end + 1 : -1;
}

/** Where the first member or element of the object or array at `start` begins; -1: it is empty. */
export function firstIn(text: string, start: number): number {
  return (text.charCodeAt(start + 1) | braceBit) === close ? -1 : start + 1;
}

/** The member whose key begins at `key`. */
export function memberAt(text: string, key: number): MemberStart {
  const end = stringEnd(text, key), spelled = text.slice(key + 1, end - 1);
  const name = spelled.includes("\\") ? JSON.parse(text.slice(key, end)) as string : spelled;
  return { key, name, value: end + 1 };
}

/** The member `name` of what begins at `start`; null: it has none, or is no object. */
export function memberNamed(text: string, start: number, name: string): MemberStart | null {
  if (text.charCodeAt(start) !== openObject) return null;
  for (let at = firstIn(text, start); at >= 0;) {
    const member = memberAt(text, at);
    if (member.name === name) return member;
    at = nextAfter(text, valueEnd(text, member.value));
  }
  return null;
}

/** Where element `index` of what begins at `start` begins; -1: it has none, or is no array. */
export function elementAt(text: string, start: number, index: number): number {
  if (text.charCodeAt(start) !== openArray) return -1;
  let at = firstIn(text, start);
  for (let left = index; at >= 0 && left !== 0; left--) at = nextAfter(text, valueEnd(text, at));
  return at;
}

/** How many elements the array that begins at `start` has. */
export function elementCount(text: string, start: number): number {
  let count = 0;
  for (let at = firstIn(text, start); at >= 0; at = nextAfter(text, valueEnd(text, at))) count++;
  return count;
}

/** Where the value begins that one step leads to from the value at `start`; -1: nowhere, as every `*each` does. */
export function childAt(text: string, start: number, step: Step): number {
  if (typeof step === "number") return elementAt(text, start, step);
  return step === eachStep ? -1 : memberNamed(text, start, step)?.value ?? -1;
}

/** The text of the value that `steps` lead to; null: they lead nowhere. For steps without `*each`. */
export function valueAt(text: string, steps: readonly Step[]): string | null {
  let at = 0;
  for (const step of steps) {
    at = childAt(text, at, step);
    if (at < 0) return null;
  }
  return text.slice(at, valueEnd(text, at));
}

/**
 * What `steps` lead to, one entry for each element that a `*each` stands for; null where the rest of the steps leads
 * nowhere. A `*each` where there is no array, or an empty one, stands for nothing. Without `*each`: one entry.
 */
export function valuesAt(text: string, steps: readonly Step[]): readonly (string | null)[] {
  const found: (string | null)[] = [];
  collect(text, 0, steps, 0, found);
  return found;
}

function collect(
  text: string,
  from: number,
  steps: readonly Step[],
  level: number,
  found: (string | null)[],
) {
  let at = from;
  for (let i = level; i < steps.length; i++) {
    const step = steps[i] as Step;
    if (step === eachStep) {
      if (text.charCodeAt(at) !== openArray) return;
      for (
        let element = firstIn(text, at);
        element >= 0;
        element = nextAfter(text, valueEnd(text, element))
      ) {
        collect(text, element, steps, i + 1, found);
      }
      return;
    }
    at = childAt(text, at, step);
    if (at >= 0) continue;
    if (!steps.includes(eachStep, i)) found.push(null);
    return;
  }
  found.push(text.slice(at, valueEnd(text, at)));
}

/** `steps` as a path is written; for messages. */
export function pathText(steps: readonly Step[]): string {
  let text = "";
  for (const step of steps) {
    if (typeof step === "number") text += `[${step}]`;
    else if (step === eachStep) text += "[*]";
    else text += text === "" ? step : `.${step}`;
  }
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
