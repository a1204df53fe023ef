/** What no entry of any history may do, whoever wrote it by whatever route: break a unique index or a schema, or remember one key twice. */
import type { Put } from "../../src/document/operation.ts";
import type { History } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { parentOf, tokenOf } from "./history_tree.ts";
import type { IndexAt, Replay } from "./replay.ts";
import { type Json, rememberedName, State, valueAt } from "./state.ts";
import { Violation } from "./types.ts";
import { isForgotten } from "./written_tags.ts";

export interface RulesCheckOptions {
  readonly history: History;
  readonly replay: Replay;
}

export class RulesCheck {
  readonly #replay: Replay;
  /** By collection and paths of a unique index: ids that ever had a key there, on any branch. */
  readonly #keys = new Map<string, Map<string, Set<string>>>();
  /** How often a rule was looked at. */
  readonly counts = { unique: 0, schema: 0, remembered: 0 };

  /** Follows `history`, after `replay`. */
  constructor({ history, replay }: RulesCheckOptions) {
    this.#replay = replay;
    history.onEntry((entry) => this.#entry(entry));
  }

  #entry(entry: Entry): void {
    const before = new State(this.#replay, parentOf(entry) ?? entry), after = new State(this.#replay, entry);
    for (const operation of entry.operations) {
      if (operation.kind === "put") this.#put(entry, before, after, operation);
      else if (operation.kind === "createIndex" && operation.unique) {
        this.#made(entry, operation.collection, operation);
      }
    }
  }

  #put(entry: Entry, before: State, after: State, { collection: number, id }: Put): void {
    const collection = this.#replay.nameAt(entry, number);
    if (collection === null) return;
    if (collection === rememberedName) return this.#remembered(entry, before, id);
    const json = after.document(collection, id)?.json;
    if (collection.startsWith("_") || json === undefined) return;
    const schema = before.setting(collection, "schema");
    if (schema !== null) {
      this.counts.schema++;
      const wrong = schemaFault(schema, json);
      if (wrong !== null) throw broken(entry, `${collection}/${id} is against its schema: ${wrong}`);
    }
    for (const index of this.#replay.indexesAt(entry, number)) {
      if (index.unique) this.#unique(entry, after, { collection, number, index, id, json });
    }
  }

  /** Everything that is there already. */
  #made(entry: Entry, number: number, index: IndexAt): void {
    const collection = this.#replay.nameAt(entry, number) ?? "", after = new State(this.#replay, entry);
    for (const { id, json } of after.documents(collection)) {
      this.#unique(entry, after, { collection, number, index, id, json });
    }
  }

  #unique(
    entry: Entry,
    after: State,
    { collection, number, index, id, json }: {
      readonly collection: string;
      readonly number: number;
      readonly index: IndexAt;
      readonly id: string;
      readonly json: Json;
    },
  ): void {
    const key = keyOf(index, json);
    if (key === null) return;
    this.counts.unique++;
    const of = `${number} ${JSON.stringify(index.paths)}`,
      keys = this.#keys.get(of) ?? new Map<string, Set<string>>();
    this.#keys.set(of, keys);
    const ids = keys.get(key) ?? new Set<string>();
    keys.set(key, ids.add(id));
    for (const other of ids) {
      if (other === id) continue;
      const there = after.document(collection, other);
      if (there === null || keyOf(index, there.json) !== key) continue;
      throw broken(
        entry,
        `${collection}/${id} and ${other} both have ${key} in the unique index ${index.name}`,
      );
    }
  }

  #remembered(entry: Entry, before: State, id: string): void {
    this.counts.remembered++;
    const first = before.document(rememberedName, id);
    if (first === null || isForgotten(first.entry, entry)) return;
    throw broken(
      entry,
      `${id} is remembered already, by ${tokenOf(first.entry)}: its request was carried out twice`,
    );
  }
}

/** Null: a part of it is null, so that it is nobody's. */
function keyOf({ paths }: IndexAt, json: Json): string | null {
  const values = paths.map((path) => valueAt(json, path));
  return values.includes(null) ? null : JSON.stringify(values);
}

/** What is wrong with a document; null: nothing. Of schemas as clients set them: members of the first level, and checks `<>` and `<`. */
export function schemaFault(schema: Json, json: Json): string | null {
  const { required, types, checks } = schema as {
    required: readonly string[];
    types: Readonly<Record<string, string>>;
    checks: readonly string[];
  };
  const missing = required.find((name) => valueAt(json, [name]) === null);
  if (missing !== undefined) return `${missing} is not there`;
  for (const [name, type] of Object.entries(types)) {
    const value = valueAt(json, [name]);
    if (value === null) continue;
    if (type === "int" ? !Number.isSafeInteger(value) : type !== kindOf(value)) {
      return `${name} is not ${type}`;
    }
  }
  return checks.find((text) => !holds(text, json)) ?? null;
}

function kindOf(value: unknown): string {
  return typeof value;
}

function holds(text: string, json: Json): boolean {
  const [, name = "", op, literal = ""] = /^(\w+) (<>|<) (.+)$/.exec(text) ?? [];
  const value = valueAt(json, [name]);
  if (value === null) return true;
  return op === "<" ? Number(value) < Number(literal) : `'${value}'` !== literal;
}

function broken(entry: Entry, what: string): Violation {
  return new Violation("rules", `${tokenOf(entry)}: ${what}`);
}
