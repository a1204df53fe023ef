/**
 * Expiry of documents: a setting of a collection names the field that holds the moment. The setting replicates as a document of `_settings`
 * ({@linkcode setSetting}); the index `_ttl` on that field finds what is due (`expire.ts`), and who leads deletes it (`node/ttl_sweeper.ts`).
 */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { fieldSteps } from "../document/field_path.ts";
import { checkIndex } from "../document/index_definition.ts";
import type { IndexDefinition, Operation } from "../document/operation.ts";
import type { Position } from "../storage/log.ts";
import type { CollectionInfo, IndexInfo, ReadView } from "../storage/storage.ts";
import type { IndexParts } from "./build_index.ts";
import { createIndex, dropIndex, indexNamed } from "./build_index.ts";
import type { Setting } from "./collection_settings.ts";
import { removeSetting, settingOf, settingPut, settingsOf } from "./collection_settings.ts";
import { checkCollections } from "./commands.ts";
import type { Plan } from "./plan.ts";

export interface TtlSetting {
  /** Path to the moment: ISO 8601 text, or milliseconds since 1970. Documents that have neither there never expire. */
  readonly field: string;
  /** How often expired documents are looked for; 1 or more. */
  readonly intervalSeconds: number;
}

export interface CollectionTtl extends TtlSetting {
  /** As the collection was first written. */
  readonly collection: string;
}

/** What expires, and when: the calls of HTTP, the command line and embedding. */
export interface Ttl {
  /**
   * Sets or replaces; resolves when the index is there, too, or when this node may not write any more: who may next makes it. The collection
   * comes into being when there is none. Rejects with `bad_request` (field, or too long an interval), `conflict` (no room for another
   * index), and with what a write rejects with: then nothing is set.
   */
  set(collection: string, setting: TtlSetting): Promise<Changed<CollectionTtl>>;
  /** Rejects with `not_found` where none is set. */
  remove(collection: string): Promise<Changed<{ readonly collection: string }>>;
  list(): readonly CollectionTtl[];
  /**
   * Deletes what has expired by the wall clock as it is now, in all collections; resolves with how many after `limits.expiryAnswerMs`
   * at the latest, and goes on then (`more`).
   */
  sweep(): Promise<Swept>;
}

export type Changed<Value> = Value & {
  /** The end of the log that holds it. */
  readonly position: Position;
};

export interface Swept {
  readonly deleted: number;
  readonly more: boolean;
  readonly position: Position;
}

const indexOfTtl = "_ttl", intervalSecondsMax = 366 * 86_400;
const planBytes = 1024;

export function ttlOf(view: ReadView, collection: string): TtlSetting | null {
  const text = settingOf(view, collection, "ttl");
  return text === null ? null : parsed({ collection, text });
}

/** For {@linkcode SettingsCache}. */
export function parsed({ text }: Setting): TtlSetting {
  return JSON.parse(text) as TtlSetting;
}

export function ttls(view: ReadView): readonly CollectionTtl[] {
  return settingsOf(view, "ttl").map((setting) => ({
    collection: view.collection(setting.collection)?.name ?? setting.collection,
    ...parsed(setting),
  }));
}

/** The index of the expiries, where it is one of `field`. */
export function ttlIndex(
  view: ReadView,
  { number }: CollectionInfo,
  { field }: TtlSetting,
): IndexInfo | null {
  const index = indexNamed(view, number, indexOfTtl);
  return index !== null && isOf(index, field) ? index : null;
}

/** The setting as it is kept; throws `bad_request`. */
export function checkedTtl({ field, intervalSeconds }: TtlSetting): TtlSetting {
  checkIndex(definitionOf(field));
  if (!(intervalSeconds <= intervalSecondsMax)) {
    throw new DfdbError("bad_request", `intervalSeconds is at most ${intervalSecondsMax}`);
  }
  return { field, intervalSeconds: Math.max(1, intervalSeconds) };
}

/** One entry: the setting, the collection where there is none, and away with the index of another field. Answers the collection's name. */
export function setTtl(collection: string, setting: TtlSetting): Plan<string> {
  return {
    bytes: planBytes,
    run(tx, wallMs) {
      const info = tx.collection(collection), operations: Operation[] = [];
      operations.push(...settingPut(tx, collection, "ttl", JSON.stringify(setting)));
      if (info === null) {
        checkCollections(tx.collections().length);
        operations.push({ kind: "createCollection", collection: tx.newCollectionNumber(), name: collection });
      } else {
        const index = indexNamed(tx, info.number, indexOfTtl);
        if (index === null) checkIndexes(tx, info);
        else if (!isOf(index, setting.field)) operations.push(dropOf(info));
      }
      tx.append(operations, wallMs);
      return info?.name ?? collection;
    },
  };
}

/** The index goes first: whoever leads from there on with the setting alone makes it again. Throws `not_found`; answers the collection's name. */
export function removeTtl(collection: string): Plan<string> {
  return {
    bytes: planBytes,
    run(tx, wallMs) {
      const info = tx.collection(collection), set = settingOf(tx, collection, "ttl") !== null;
      if (set && info !== null && indexNamed(tx, info.number, indexOfTtl) !== null) {
        tx.append([dropOf(info)], wallMs);
      }
      removeSetting(collection, "ttl").run(tx, wallMs);
      return info?.name ?? collection;
    },
  };
}

/** True when the index is not as the setting wants it. */
export function ttlIndexLacks(view: ReadView, collection: string): boolean {
  return lacking(view, collection) !== null;
}

/**
 * Makes or drops the index until it is as the setting wants it. One at a time for a collection. Rejects with what a write rejects with.
 */
export async function agreeTtlIndex(parts: IndexParts, collection: string): Promise<void> {
  for (;;) {
    const lack = parts.storage.read((view) => lacking(view, collection));
    if (lack === null) return;
    if (lack === "drop") await dropIndex(parts, collection, indexOfTtl, { reserved: true });
    else await createIndex(parts, collection, definitionOf(lack.field), { reserved: true });
  }
}

function lacking(view: ReadView, collection: string): "drop" | TtlSetting | null {
  const info = view.collection(collection);
  if (info === null) return null;
  const setting = ttlOf(view, collection), index = indexNamed(view, info.number, indexOfTtl);
  if (index === null) return setting;
  return setting !== null && isOf(index, setting.field) ? null : "drop";
}

function definitionOf(field: string): IndexDefinition {
  return { name: indexOfTtl, unique: false, time: true, paths: [fieldSteps(field)] };
}

function isOf(index: IndexInfo, field: string): boolean {
  return JSON.stringify(index.paths) === JSON.stringify(definitionOf(field).paths);
}

function dropOf({ number }: CollectionInfo): Operation {
  return { kind: "dropIndex", collection: number, name: indexOfTtl };
}

function checkIndexes(view: ReadView, { number, name }: CollectionInfo): void {
  if (view.indexes(number).length < limits.indexesMax) return;
  throw new DfdbError(
    "conflict",
    `The collection "${name}" has ${limits.indexesMax} indexes, and cannot have more`,
  );
}
