/**
 * What the schemas of collections ask of the writes of a leader, whatever route they come by: between a plan and the transaction of the
 * storage. Followers apply what was allowed.
 */
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, WallMs } from "../base/ids.ts";
import { collectionKey } from "../document/names.ts";
import type { DropCollection, DropIndex, Operation } from "../document/operation.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { Position } from "../storage/log.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import { SettingsCache } from "./collection_settings.ts";
import { CheckedTransaction } from "./rules_transaction.ts";
import type { Incoming, Referring, Ruled, RuleSet } from "./rules_references.ts";
import { EntryReferences, indexesFor } from "./rules_references.ts";
import type { CollectionSchema } from "./rules_schema.ts";
import { checkedMembers, keptSchema } from "./rules_schema.ts";
import { taken } from "./transaction.ts";

/** For the write transactions of one database. */
export class Rules {
  readonly #schemas = new SettingsCache("schema", keptSchema);
  #set: { readonly of: unknown; readonly version: number; readonly rules: RuleSet } | null = null;

  /** What a plan gets to write with: `tx` itself as long as no collection has a schema. */
  over(tx: WriteTransaction): WriteTransaction {
    if (this.#schemas.of(tx).size === 0) return tx;
    return new CheckedTransaction(tx, {
      append: (operations, wallMs) => this.#append(tx, operations, wallMs),
      appendInSlices: (operations, wallMs) => this.#appendInSlices(tx, operations, wallMs),
    });
  }

  #append(tx: WriteTransaction, operations: readonly Operation[], wallMs: WallMs): Position {
    return tx.append(taken(this.#judged(tx, operations)), wallMs);
  }

  *#appendInSlices(
    tx: WriteTransaction,
    operations: readonly Operation[],
    wallMs: WallMs,
  ): Generator<void, Position, void> {
    return yield* tx.appendInSlices(yield* this.#judged(tx, operations), wallMs);
  }

  /** The operations, with those that references add. */
  *#judged(
    tx: WriteTransaction,
    operations: readonly Operation[],
  ): Generator<void, readonly Operation[], void> {
    const rules = this.#rulesOf(tx, operations), referring: Referring[] = [], slice = new Slice();
    let deletes = false;
    for (const [place, operation] of operations.entries()) {
      switch (operation.kind) {
        case "put": {
          const ruled = rules.ruled.get(operation.collection);
          if (ruled === undefined) break;
          const { id, body } = operation, where = { id, operation: place };
          const members = checkedMembers(ruled.schema, ruled.name, body, where);
          if (ruled.schema.refs.length > 0) referring.push({ ruled, members, where });
          if (slice.full(body.length)) yield;
          break;
        }
        case "delete":
          deletes ||= rules.incoming.has(operation.collection);
          break;
        case "dropCollection":
          checkDrop(tx, rules, operation, operations);
          break;
        case "dropIndex":
          checkDropIndex(tx, rules, operation, operations);
          break;
      }
    }
    if (!deletes && referring.length === 0) return operations;
    const references = new EntryReferences(tx, rules, operations);
    const more = deletes ? yield* references.followed() : [];
    for (const one of referring) {
      references.check(one);
      if (slice.full(0)) yield;
    }
    return more.length === 0 ? operations : [...operations, ...more];
  }

  /** Kept until a setting or a collection changes; collections that the entry itself creates are in it. */
  #rulesOf(tx: WriteTransaction, operations: readonly Operation[]): RuleSet {
    const schemas = this.#schemas.of(tx);
    const created = operations.filter((operation) => operation.kind === "createCollection");
    if (created.length > 0) {
      const names = new Map(
        created.map(({ name, collection }) => [collectionKey(name), { name, collection }]),
      );
      return ruleSet(schemas, (name) => {
        const mine = names.get(collectionKey(name));
        return mine === undefined ? found(tx, name) : { name: mine.name, number: mine.collection };
      });
    }
    if (this.#set?.of === schemas && this.#set.version === tx.version) return this.#set.rules;
    // Resolved at once, not when asked: the transaction does not live as long as this.
    const rules = ruleSet(schemas, (name) => found(tx, name));
    this.#set = { of: schemas, version: tx.version, rules };
    return rules;
  }
}

interface Named {
  readonly name: string;
  readonly number: CollectionNumber;
}

function found(view: ReadView, name: string): Named | null {
  return view.collection(name);
}

function ruleSet(
  schemas: ReadonlyMap<string, CollectionSchema>,
  collection: (name: string) => Named | null,
): RuleSet {
  const ruled = new Map<CollectionNumber, Ruled>(), incoming = new Map<CollectionNumber, Incoming[]>();
  const numbers = new Map<string, CollectionNumber | null>();
  for (const [key, schema] of schemas) {
    const here = collection(key);
    for (const { collection: target } of schema.refs) {
      numbers.set(collectionKey(target), collection(target)?.number ?? null);
    }
    if (here === null) continue;
    const from: Ruled = { name: here.name, number: here.number, schema };
    ruled.set(here.number, from);
    for (const ref of schema.refs) {
      const target = numbers.get(collectionKey(ref.collection)) ?? null;
      if (target === null) continue;
      const known = incoming.get(target);
      if (known === undefined) incoming.set(target, [{ from, ref }]);
      else known.push({ from, ref });
    }
  }
  return { ruled, incoming, numberOf: (name) => numbers.get(collectionKey(name)) ?? null };
}

/** A collection that others refer to goes after what refers to it: looking through all of that would have no bound. */
function checkDrop(
  tx: ReadView,
  { incoming }: RuleSet,
  { collection }: DropCollection,
  operations: readonly Operation[],
): void {
  for (const { from, ref } of incoming.get(collection) ?? []) {
    const goesToo = operations.some((other) =>
      other.kind === "dropCollection" && other.collection === from.number
    );
    if (goesToo || (tx.collection(from.name)?.documents ?? 0) === 0) continue;
    throw new DfdbError(
      "conflict",
      `The collection "${ref.collection}" cannot be dropped: documents of "${from.name}" refer to it with ${ref.field}; drop "${from.name}" first, or change its schema`,
      { details: { collection: from.name, field: ref.field } },
    );
  }
}

/** Without its index a reference would forbid every delete of what it refers to. */
function checkDropIndex(
  tx: ReadView,
  { ruled }: RuleSet,
  { collection, name }: DropIndex,
  operations: readonly Operation[],
): void {
  const from = ruled.get(collection);
  if (from === undefined) return;
  const goes = (index: string): boolean =>
    operations.some((other) =>
      other.kind === "dropIndex" && other.collection === collection &&
      other.name.toLowerCase() === index.toLowerCase()
    );
  for (const ref of from.schema.refs) {
    const indexes = indexesFor(tx, collection, ref);
    if (indexes.every((index) => index.name.toLowerCase() !== name.toLowerCase())) continue;
    if (indexes.some((index) => !goes(index.name))) continue;
    throw new DfdbError(
      "conflict",
      `The index "${name}" of "${from.name}" cannot be dropped: the reference ${ref.field} of its schema needs it`,
      { details: { index: name, field: ref.field } },
    );
  }
}
