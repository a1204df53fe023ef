/** The database at one entry of the history, as JSON values: what models are asked of. Knows the formats, and nothing else of the program. */
import type { Step } from "../../src/document/json_find.ts";
import type { Entry } from "./history_tree.ts";
import type { IndexAt, Replay, Value } from "./replay.ts";

export type Json = Readonly<Record<string, unknown>>;

/** Reserved collections, as they are called in the log. */
export const settingsName = "_settings", rememberedName = "_remembered";

export interface StoredJson {
  readonly id: string;
  /** Entry of its last change. */
  readonly entry: Entry;
  readonly json: Json;
}

/** By the version's own value: each is read once. */
const parsed = new WeakMap<Value, Json>();

export function jsonOf(value: Value): Json {
  let json = parsed.get(value);
  if (json === undefined) parsed.set(value, json = JSON.parse(value.body) as Json);
  return json;
}

export class State {
  readonly entry: Entry;
  readonly #replay: Replay;

  constructor(replay: Replay, entry: Entry) {
    this.#replay = replay;
    this.entry = entry;
  }

  has(collection: string): boolean {
    return this.#replay.numberAt(this.entry, collection) !== null;
  }

  /** Null: there is none. */
  document(collection: string, id: string): StoredJson | null {
    const value = this.#replay.valueAt(this.entry, collection, id);
    return value === null ? null : { id, entry: value.entry, json: jsonOf(value) };
  }

  /** All of a collection for which `which` holds; none where there is no collection. */
  documents(collection: string, which: (json: Json) => boolean = () => true): readonly StoredJson[] {
    const number = this.#replay.numberAt(this.entry, collection), found: StoredJson[] = [];
    if (number === null) return found;
    for (const [id, value] of this.#replay.valuesAt(this.entry, number)) {
      const json = jsonOf(value);
      if (which(json)) found.push({ id, entry: value.entry, json });
    }
    return found;
  }

  indexes(collection: string): readonly IndexAt[] {
    const number = this.#replay.numberAt(this.entry, collection);
    return number === null ? [] : this.#replay.indexesAt(this.entry, number);
  }

  /** What is set for a collection; null: nothing. */
  setting(collection: string, kind: "schema" | "ttl"): Json | null {
    return this.document(settingsName, settingId(collection, kind))?.json ?? null;
  }
}

export function settingId(collection: string, kind: "schema" | "ttl"): string {
  return `${collection.toLowerCase()}/${kind}`;
}

/** The value at a path without `[*]`; null: it is null or not there. */
export function valueAt(json: Json, path: readonly Step[]): unknown {
  let value: unknown = json;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step as string)) return null;
    value = (value as Record<string, unknown>)[step as string];
  }
  return value ?? null;
}

/** Equal for the same members in the same order: numbers by their value. */
export function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
