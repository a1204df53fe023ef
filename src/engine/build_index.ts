/**
 * Making and removing indexes. A leader fills one that nobody sees yet, slice by slice between the commits, and only then
 * writes the entry that links it: what a follower applies is an index that could be made, and no write waits for it.
 */
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, IndexNumber } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { IndexDefinition } from "../document/operation.ts";
import { checkIndex } from "../document/index_definition.ts";
import { pathText } from "../document/json_find.ts";
import { reservedMembers } from "../document/json_scan.ts";
import { indexName } from "../document/names.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { CollectionInfo, IndexInfo, ReadView, Storage, WriteTransaction } from "../storage/storage.ts";
import { checkCollections } from "./commands.ts";
import type { Engine } from "./engine.ts";
import type { Plan } from "./plan.ts";

/** Of one database. */
export interface IndexParts {
  readonly engine: Pick<Engine, "submit">;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface CreateIndexOptions {
  /** The collection comes into being when there is none; else that is `collection_not_found`. Default: false. */
  readonly createsCollection?: boolean;
  /** The name is one of ours: it may begin with `_`. Default: false. */
  readonly reserved?: boolean;
}

export interface CreatedIndex {
  /** As the index is called. */
  readonly name: string;
  /** As the collection was first written. */
  readonly collection: string;
  /** Keys in it. */
  readonly entries: number;
  /** How many indexes of a client the collection has now. */
  readonly indexes: number;
  /** The end of the log that holds it. */
  readonly position: Position;
}

/** A filling that takes longer than this tells how far it is. */
const tellEveryMs = 5_000;
const planBytes = 512;

/**
 * Fills the index, then writes its entry. Rejects with what a write rejects with when this node may not write (asked again before
 * every slice), and with `bad_request` (name), `collection_not_found`, `conflict` (one of that name or of the same paths, also one that
 * is being filled, or too many; the collection was dropped meanwhile), `duplicate_key` (unique; details: `index`, and of the first found
 * `id` and `otherId`): nothing is left of it then.
 */
export async function createIndex(
  parts: IndexParts,
  collection: string,
  definition: IndexDefinition,
  options: CreateIndexOptions = {},
): Promise<CreatedIndex> {
  const { engine, storage } = parts;
  checkDefinition(definition, options);
  const { value: number } = await engine.submit(ready(collection, definition, options));
  const index = await prepared(parts, collection, number, definition);
  try {
    await filled(parts, index, { index: definition.name, collection }, true);
    const { value, position } = await engine.submit(linked(collection, number, definition));
    return { ...value, position };
  } catch (error) {
    storage.abandonIndex(index);
    throw error instanceof DfdbError && error.code === "duplicate_key"
      ? new DfdbError(error.code, `Duplicate key: ${error.message}`, { details: error.details, cause: error })
      : error;
  }
}

/** Rejects with `collection_not_found` and `not_found`; a name of ours is not found unless `reserved`. */
export async function dropIndex(
  { engine }: Pick<IndexParts, "engine">,
  collection: string,
  name: string,
  { reserved = false }: Pick<CreateIndexOptions, "reserved"> = {},
): Promise<{ readonly name: string; readonly position: Position }> {
  const plan: Plan<string> = {
    bytes: planBytes,
    run(tx, wallMs) {
      const info = existing(tx, collection), found = indexNamed(tx, info.number, name);
      if (found === null || (!reserved && isReserved(found))) throw noIndex(info.name, name);
      tx.append([{ kind: "dropIndex", collection: info.number, name: found.name }], wallMs);
      return found.name;
    },
  };
  const { value, position } = await engine.submit(plan);
  return { name: value, position };
}

/**
 * Empties indexes and fills them anew, on this node alone; `name` null: all of the collection. Resolves with how many when
 * they are whole. Rejects with `collection_not_found`, `not_found`, `closing`, and `conflict` when one was dropped meanwhile.
 */
export async function rebuildIndexes(
  parts: IndexParts,
  collection: string,
  name: string | null,
): Promise<number> {
  const { storage } = parts;
  const indexes = storage.read((view) => {
    const info = existing(view, collection);
    if (name === null) return view.indexes(info.number);
    const found = indexNamed(view, info.number, name);
    if (found === null) throw noIndex(info.name, name);
    return [found];
  });
  for (const { number, name } of indexes) {
    storage.rebuildIndex(number);
    await filled(parts, number, { index: name, collection }, false);
  }
  return indexes.length;
}

/** The index of that name, without regard to case. */
export function indexNamed(view: ReadView, collection: CollectionNumber, name: string): IndexInfo | null {
  const folded = name.toLowerCase();
  return view.indexes(collection).find((index) => index.name.toLowerCase() === folded) ?? null;
}

/** The indexes that a client sees. */
export function clientIndexes(view: ReadView, collection: CollectionNumber): readonly IndexInfo[] {
  return view.indexes(collection).filter((index) => !isReserved(index));
}

/** `idx_{collection}_{path}`, in which `.` and `[` become `_` and what no name may have goes. */
export function defaultIndexName(collection: string, paths: IndexDefinition["paths"]): string {
  const text = paths.map((steps) => pathText(steps)).join("_");
  return `idx_${collection}_${text}`.replace(/[.[]/g, "_").replace(/[^A-Za-z0-9_-]/g, "");
}

function checkDefinition(definition: IndexDefinition, { reserved = false }: CreateIndexOptions): void {
  if (!reserved) indexName(definition.name);
  checkIndex(definition);
  for (const [first] of definition.paths) {
    if (!(reservedMembers as readonly unknown[]).includes(first)) continue;
    throw new DfdbError(
      "bad_request",
      `${String(first)} is no member of a stored document: it cannot be indexed`,
    );
  }
}

/** Between two large writes, which no index may interrupt. */
async function prepared(
  parts: IndexParts,
  name: string,
  collection: CollectionNumber,
  definition: IndexDefinition,
): Promise<IndexNumber> {
  for (;;) {
    try {
      return parts.storage.prepareIndex(collection, definition);
    } catch (error) {
      const code = error instanceof DfdbError ? error.code : "internal";
      if (code === "collection_not_found") throw droppedMeanwhile(name);
      if (code !== "busy") throw error;
    }
    await turn(parts, true);
  }
}

/** Whether this node may write at all, and what the index is for; answers the collection's number. */
function ready(
  name: string,
  definition: IndexDefinition,
  { createsCollection = false }: CreateIndexOptions,
): Plan<CollectionNumber> {
  return {
    bytes: planBytes,
    run(tx, wallMs) {
      const info = tx.collection(name);
      if (info === null && createsCollection) {
        checkCollections(tx.collections().length);
        const collection = tx.newCollectionNumber();
        tx.append([{ kind: "createCollection", collection, name }], wallMs);
        return collection;
      }
      const { number } = info ?? existing(tx, name);
      refuseTaken(tx, number, definition);
      return number;
    },
  };
}

function linked(
  name: string,
  collection: CollectionNumber,
  definition: IndexDefinition,
): Plan<Omit<CreatedIndex, "position">> {
  return {
    bytes: planBytes,
    run(tx: WriteTransaction, wallMs) {
      const info = tx.collection(name);
      if (info?.number !== collection) throw droppedMeanwhile(name);
      refuseTaken(tx, collection, definition);
      tx.append([{ kind: "createIndex", collection, ...definition }], wallMs);
      const made = indexNamed(tx, collection, definition.name);
      return {
        name: definition.name,
        collection: info.name,
        entries: made?.entries ?? 0,
        indexes: clientIndexes(tx, collection).length,
      };
    },
  };
}

interface Named {
  readonly index: string;
  readonly collection: string;
}

/** Resolves when the index is whole. `leads`: it is given up as soon as this node may not write. */
async function filled(parts: IndexParts, number: IndexNumber, named: Named, leads: boolean): Promise<void> {
  const { storage, clock, logger } = parts, begunMs = clock.monotonic();
  let toldMs = begunMs;
  for (;;) {
    await turn(parts, leads);
    const built = storage.built(number);
    if (built === null) throw droppedMeanwhile(named.collection);
    if (built === 1) break;
    storage.buildSlice();
    const now = clock.monotonic();
    if (now - toldMs < tellEveryMs) continue;
    toldMs = now;
    logger.info("filling an index", { ...named, percent: Math.floor(built * 100) });
  }
  if (toldMs > begunMs) {
    logger.info("an index is filled", { ...named, ms: Math.round(clock.monotonic() - begunMs) });
  }
}

const nothing: Plan<null> = { bytes: 0, run: () => null };

/** Waits for a turn between two commits, in a later macrotask. Rejects with `closing`, and with what the gate says when it `leads`. */
async function turn({ engine, clock }: IndexParts, leads: boolean): Promise<void> {
  await new Promise<void>((resolve) => clock.macrotask(resolve));
  try {
    await engine.submit(nothing);
  } catch (error) {
    const code = error instanceof DfdbError ? error.code : "internal";
    if (code !== "busy" && (leads || code === "closing")) throw error;
  }
}

function existing(view: ReadView, name: string): CollectionInfo {
  const info = view.collection(name);
  if (info !== null) return info;
  throw new DfdbError("collection_not_found", `There is no collection ${JSON.stringify(name)}`);
}

function refuseTaken(view: ReadView, collection: CollectionNumber, { name, paths, time }: IndexDefinition) {
  const same = indexNamed(view, collection, name);
  if (same !== null) throw new DfdbError("conflict", `There is an index "${same.name}" already`);
  const wanted = JSON.stringify(paths);
  for (const index of view.indexes(collection)) {
    if (index.time !== time || JSON.stringify(index.paths) !== wanted) continue;
    throw new DfdbError("conflict", `The index "${index.name}" is on the same paths already`);
  }
}

function droppedMeanwhile(collection: string): DfdbError {
  return new DfdbError("conflict", `The collection "${collection}" was dropped meanwhile`);
}

function noIndex(collection: string, name: string): DfdbError {
  return new DfdbError("not_found", `Collection "${collection}" has no index ${JSON.stringify(name)}`);
}

function isReserved({ name }: { readonly name: string }): boolean {
  return name.startsWith("_");
}
