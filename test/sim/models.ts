/** What a request must make of a state, told by a second mind: JSON values in, JSON values out, in memory. */
import type { Json, State } from "./state.ts";
import { sameJson, valueAt } from "./state.ts";

/** What becomes of one document; `json` null: it is deleted. `id` null: the server makes it. */
export interface Change {
  readonly collection: string;
  readonly id: string | null;
  readonly json: Json | null;
}

/** What an entry has to be, by the state before it: these changes and no others; or why its answer cannot be. */
export type Model = (before: State) => readonly Change[] | string;

/** A condition on a document of the `conditional` request and of WHERE. */
export interface Condition {
  readonly field: string;
  readonly op: "=" | "!=" | "<" | ">=" | "exists" | "!exists";
  readonly value?: string | number;
}

/** As the documents of clients are: strings and numbers in fields of the first level, nothing of which is both. */
export function meets(json: Json, { field, op, value }: Condition): boolean {
  const found = valueAt(json, [field]);
  if (op === "exists" || op === "!exists") return (found !== null) === (op === "exists");
  if (value === undefined || typeof found !== typeof value) return op === "!=" && found !== null;
  if (op === "=" || op === "!=") return (found === value) === (op === "=");
  const less = (found as typeof value) < value;
  return op === "<" ? less : !less;
}

/** An edit of one document: a merge patch, or operations. */
export type Edit = { readonly merge: Json } | { readonly operations: readonly EditOperation[] };

export interface EditOperation {
  readonly field: string;
  readonly op: "set" | "inc" | "dec" | "unset";
  readonly value?: string | number;
}

export function edited(json: Json, edit: Edit): Json {
  return "merge" in edit ? merged(json, edit.merge) : edit.operations.reduce(changed, json);
}

/** RFC 7386; members stay in their order, new ones come last. */
function merged(json: unknown, patch: Json): Json {
  const members = new Map(Object.entries(isJson(json) ? json : {}));
  for (const [name, to] of Object.entries(patch)) {
    if (to === null) members.delete(name);
    else members.set(name, isJson(to) ? merged(members.get(name), to) : to);
  }
  return Object.fromEntries(members);
}

function changed(json: Json, { field, op, value }: EditOperation): Json {
  return at(json, field.split("."), op, value);
}

function at(
  json: Json,
  [step = "", ...rest]: readonly string[],
  op: EditOperation["op"],
  value: unknown,
): Json {
  const members = new Map(Object.entries(json)), before = members.get(step);
  if (rest.length > 0) {
    if (op === "unset" && !isJson(before)) return json;
    members.set(step, at(isJson(before) ? before : {}, rest, op, value));
  } else if (op === "unset") members.delete(step);
  else if (op === "set") members.set(step, value);
  else members.set(step, Number(before ?? 0) + (op === "inc" ? 1 : -1) * Number(value));
  return Object.fromEntries(members);
}

function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a client sent, as the server stores it: without what is the server's own. */
export function stored(text: string): Json {
  const { _id: _1, _etag: _2, "@metadata": _3, ...rest } = JSON.parse(text) as Json;
  return rest;
}

/** Whether the changes of an entry are these, each once; else what is wrong. */
export function compared(
  found: readonly { readonly collection: string; readonly id: string; readonly json: Json | null }[],
  expected: readonly Change[],
): string | null {
  const left = new Set(found);
  for (const { collection, id, json } of expected) {
    const name = collection.toLowerCase();
    const match = [...left].find((one) =>
      one.collection.toLowerCase() === name && (id === null ? sameJson(one.json, json) : one.id === id)
    );
    const what = `${collection}/${id ?? "an id of the server"}`;
    if (match === undefined) return `it does not change ${what}`;
    if (!sameJson(match.json, json)) return `it makes ${brief(match.json)} of ${what}, not ${brief(json)}`;
    left.delete(match);
  }
  const [more] = left;
  return more === undefined ? null : `it changes ${more.collection}/${more.id}, too`;
}

function brief(json: Json | null): string {
  return json === null ? "nothing" : JSON.stringify(json).slice(0, 300);
}
