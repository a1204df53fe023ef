/**
 * What is set for collections (TTL, schema): documents of the reserved collection `_settings`, so that they replicate, travel with a
 * snapshot and are verified as all documents are. One setting is one JSON object.
 */
import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, DocumentId } from "../base/ids.ts";
import { documentIdOf, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { collectionKey, settingsCollection } from "../document/names.ts";
import type { Operation } from "../document/operation.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import type { Plan } from "./plan.ts";

export type SettingKind = "schema" | "ttl";

/** One setting of one collection. */
export interface Setting {
  /** As names are compared ({@linkcode collectionKey}); there may be no such collection yet. */
  readonly collection: string;
  /** JSON text of one object. */
  readonly text: string;
}

const overhead = 512;

/** All settings of a kind, read from the database: for a list, not for each write. */
export function settingsOf(view: ReadView, kind: SettingKind): readonly Setting[] {
  const settings: Setting[] = [];
  for (const found of eachSetting(view)) {
    if (found.kind === kind) settings.push({ collection: found.collection, text: found.text });
  }
  return settings;
}

/** One setting, read from the database; null: there is none. */
export function settingOf(view: ReadView, collection: string, kind: SettingKind): string | null {
  const info = view.collection(settingsCollection);
  return info === null ? null : view.document(info.number, settingId(collection, kind))?.body ?? null;
}

/**
 * The settings of one kind as whoever obeys them needs them, read anew only when one has changed: otherwise asking for them costs the
 * comparison of two numbers. One cache is for the views of one database.
 */
export class SettingsCache<Value> {
  readonly #kind: SettingKind;
  readonly #read: (setting: Setting) => Value;
  #version = -1;
  #values: ReadonlyMap<string, Value> = new Map();

  /** `read` is called for every setting of the kind, at each change of one. */
  constructor(kind: SettingKind, read: (setting: Setting) => Value) {
    this.#kind = kind;
    this.#read = read;
  }

  /** By {@linkcode collectionKey}. The same object as long as no setting has changed. */
  of(view: ReadView): ReadonlyMap<string, Value> {
    if (view.settingsVersion === this.#version) return this.#values;
    const values = new Map<string, Value>();
    for (const setting of settingsOf(view, this.#kind)) {
      values.set(setting.collection, this.#read(setting));
    }
    this.#version = view.settingsVersion;
    this.#values = values;
    return values;
  }
}

/**
 * Sets or replaces; `text` is the JSON text of one object, as small as it can be. `check` sees the transaction before anything is written and
 * throws where the database does not allow the setting. The collection need not exist.
 */
export function setSetting(
  collection: string,
  kind: SettingKind,
  text: string,
  check: (tx: WriteTransaction) => void = () => {},
): Plan<void> {
  return {
    bytes: text.length + overhead,
    run(tx, wallMs) {
      check(tx);
      tx.append(settingPut(tx, collection, kind, text), wallMs);
    },
  };
}

/** Throws `not_found` where there is none. */
export function removeSetting(collection: string, kind: SettingKind): Plan<void> {
  return {
    bytes: overhead,
    run(tx, wallMs) {
      const info = tx.collection(settingsCollection);
      const operation = info === null ? null : settingDelete(tx, info.number, settingId(collection, kind));
      if (operation === null) {
        throw new DfdbError("not_found", `The collection "${collection}" has no ${kind}`);
      }
      tx.append([operation], wallMs);
    },
  };
}

/** What sets it, for an entry that does more. Throws `payload_too_large` where there is no room for it. */
export function settingPut(
  tx: WriteTransaction,
  collection: string,
  kind: SettingKind,
  text: string,
): readonly Operation[] {
  const id = settingId(collection, kind), body = utf8(text), operations: Operation[] = [];
  checkRoom(tx, collection, kind, text);
  let number = tx.collection(settingsCollection)?.number;
  const previous = number === undefined ? seqOf(0) : tx.documentSeq(number, id);
  if (number === undefined) {
    if (tx.collections().length >= limits.collectionsMax) {
      throw new DfdbError("bad_request", `A database holds at most ${limits.collectionsMax} collections`);
    }
    number = tx.newCollectionNumber();
    operations.push({ kind: "createCollection", collection: number, name: settingsCollection });
  }
  operations.push({ kind: "put", collection: number, id, previous, body });
  return operations;
}

/** What removes all that is set for a collection: goes with its drop, in the same entry. */
export function settingsDropped(tx: WriteTransaction, collection: string): readonly Operation[] {
  const info = tx.collection(settingsCollection);
  if (info === null || info.documents === 0) return [];
  return (["schema", "ttl"] as const)
    .map((kind) => settingDelete(tx, info.number, settingId(collection, kind)))
    .filter((operation) => operation !== null);
}

function settingDelete(tx: WriteTransaction, collection: CollectionNumber, id: DocumentId): Operation | null {
  const previous = tx.documentSeq(collection, id);
  return previous === 0 ? null : { kind: "delete", collection, id, previous };
}

function settingId(collection: string, kind: SettingKind): DocumentId {
  return documentIdOf(`${collectionKey(collection)}/${kind}`);
}

interface Found extends Setting {
  readonly kind: string;
}

const page = { documentsMax: 1_000, bytesMax: limits.settingsCharsMax };

function* eachSetting(view: ReadView): Generator<Found> {
  const info = view.collection(settingsCollection);
  if (info === null) return;
  for (let after: number | null = 0; after !== null;) {
    const { documents, next } = view.page(info.number, after, page);
    for (const { id, body } of documents) {
      const slash = id.indexOf("/");
      yield { collection: id.slice(0, slash), kind: id.slice(slash + 1), text: body };
    }
    after = next;
  }
}

/** All of them are read together at each change, which is why they are few and small. */
function checkRoom(tx: WriteTransaction, collection: string, kind: SettingKind, text: string): void {
  const { settingCharsMax, settingsCharsMax, settingsMax } = limits;
  if (text.length > settingCharsMax) {
    throw tooLarge(`One setting may have ${settingCharsMax} characters, not ${text.length}`, settingCharsMax);
  }
  let total = text.length, count = 1;
  for (const found of eachSetting(tx)) {
    if (found.collection === collectionKey(collection) && found.kind === kind) continue;
    total += found.text.length;
    count++;
  }
  if (count > settingsMax) {
    throw tooLarge(`A database has at most ${settingsMax} settings of collections`, settingsMax);
  }
  if (total > settingsCharsMax) {
    throw tooLarge(
      `All settings of collections may have ${settingsCharsMax} characters, not ${total}`,
      settingsCharsMax,
    );
  }
}

function tooLarge(message: string, most: number): DfdbError {
  return new DfdbError("payload_too_large", message, { details: { most } });
}
