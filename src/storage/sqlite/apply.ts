import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { DatabaseId, Seq, WallMs } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import { isReplicated } from "../../document/names.ts";
import type {
  BeginTerm,
  CreateCollection,
  CreateIndex,
  Delete,
  DropCollection,
  DropIndex,
  Operation,
  Put,
} from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { Draft } from "./draft.ts";
import type { IndexState } from "./index_state.ts";
import { isLinked } from "./index_state.ts";
import type { IndexWriter } from "./index_writer.ts";
import { otherwise } from "./otherwise.ts";
import { createDocuments } from "./schema.ts";
import { isUniqueViolation } from "./sqlite_error.ts";
import type { CollectionDraft } from "./state.ts";
import { newVersion } from "./state.ts";
import type { TableStatements } from "./statements.ts";
import { VersionSetter } from "./version_setter.ts";
import { VersionWriter } from "./version_writer.ts";

/**
 * What an entry does to the documents: the one function of leader and follower. It checks before it changes; what
 * does not fit the history is DfdbError `diverged`, and the transaction must then not be committed.
 */
export class Apply {
  readonly #db: DatabaseSync;
  readonly #tables: TableStatements;
  readonly #indexes: IndexWriter;
  readonly #crashPoint: CrashPoint;
  readonly #insertTerm: StatementSync;
  readonly #versions: VersionWriter;
  readonly #setter: VersionSetter;

  constructor(
    db: DatabaseSync,
    tables: TableStatements,
    indexes: IndexWriter,
    databaseId: () => DatabaseId,
    crashPoint: CrashPoint,
  ) {
    this.#db = db;
    this.#tables = tables;
    this.#indexes = indexes;
    this.#crashPoint = crashPoint;
    this.#versions = new VersionWriter(db, tables.versions, databaseId, crashPoint);
    this.#setter = new VersionSetter(tables);
    this.#insertTerm = db.prepare("INSERT INTO terms VALUES (?, ?, ?, ?, ?)");
  }

  /** As {@linkcode operation}; yields within one that is long by itself. */
  *inSlices(draft: Draft, operation: Operation, seq: Seq, wallMs: WallMs): Generator<void, void, void> {
    if (operation.kind !== "activateBundle") return this.operation(draft, operation, seq, wallMs);
    this.#crashPoint("apply:operation");
    yield* this.#versions.activate(draft, operation, seq);
  }

  operation(draft: Draft, operation: Operation, seq: Seq, wallMs: WallMs): void {
    this.#crashPoint("apply:operation");
    switch (operation.kind) {
      case "put":
        return this.#put(draft, operation, seq, wallMs);
      case "delete":
        return this.#delete(draft, operation, seq, wallMs);
      case "createCollection":
        return this.#create(draft, operation, seq);
      case "dropCollection":
        return this.#drop(draft, operation, seq, wallMs);
      case "term":
        return this.#term(draft, operation, seq);
      case "createIndex":
        return this.#createIndex(draft, operation, seq);
      case "dropIndex":
        return this.#dropIndex(draft, operation, seq);
      case "activateBundle":
        for (const _ of this.#versions.activate(draft, operation, seq));
        return;
      case "learnRuns":
        return this.#versions.learn(draft, operation, seq);
      case "setVersions":
        return this.#setter.set(draft, operation, seq);
      case "purgeTombstones":
        return this.#versions.purge(draft, operation, seq);
    }
  }

  #put(draft: Draft, put: Put, seq: Seq, wallMs: WallMs): void {
    const collection = this.#collection(draft, put, seq);
    if (collection.settings) draft.settingsVersion = newVersion();
    const modified = draft.bundle === null
      ? wallMs
      : this.#versions.local(draft, collection, put.id, seq, wallMs, false);
    if (put.previous !== 0) {
      const update = this.#tables.get(put.collection, "update");
      const { changes } = update.run(seq, modified, put.body, put.id, put.previous);
      if (changes !== 1) {
        throw otherwise(seq, `document ${put.id} was not last changed by entry ${put.previous}`);
      }
      return;
    }
    try {
      this.#tables.get(put.collection, "insert").run(
        collection.nextRow,
        put.id,
        seq,
        wallMs,
        modified,
        put.body,
      );
    } catch (thrown) {
      if (!isUniqueViolation(thrown)) throw thrown;
      throw otherwise(seq, `document ${put.id} exists already`);
    }
    collection.nextRow++;
    collection.documents++;
  }

  #delete(draft: Draft, remove: Delete, seq: Seq, wallMs: WallMs): void {
    const collection = this.#collection(draft, remove, seq);
    if (remove.previous === 0) {
      return this.#versions.deleteConflict(draft, collection, remove.id, seq, wallMs);
    }
    const { changes } = this.#tables.get(remove.collection, "remove").run(remove.id, remove.previous);
    if (changes !== 1) {
      throw otherwise(seq, `document ${remove.id} was not last changed by entry ${remove.previous}`);
    }
    collection.documents--;
    if (draft.bundle !== null) this.#versions.local(draft, collection, remove.id, seq, wallMs, true);
    if (collection.settings) draft.settingsVersion = newVersion();
  }

  #create(draft: Draft, { collection, name }: CreateCollection, seq: Seq): void {
    if (collection < draft.nextCollection) {
      // A number handed out in this very transaction is new too, unless it is taken.
      const taken = draft.collection(collection) !== undefined || collection < draft.nextCollectionCommitted;
      if (taken) throw otherwise(seq, `collection number ${collection} was used before`);
    }
    if (draft.numberOf(name) !== undefined) throw otherwise(seq, `collection ${name} exists already`);
    if (draft.linked >= limits.collectionsMax) {
      throw otherwise(seq, `more than ${limits.collectionsMax} collections`);
    }
    createDocuments(this.#db, collection);
    draft.create(collection, name);
    if (draft.bundle !== null && isReplicated(name)) draft.bundle.spaceOf(name);
  }

  #drop(draft: Draft, drop: DropCollection, seq: Seq, wallMs: WallMs): void {
    const collection = this.#collection(draft, drop, seq);
    if (draft.bundle !== null) this.#versions.drop(draft, collection, seq, wallMs);
    this.#unlink(draft, draft.indexes.of(drop.collection));
    draft.drop(collection);
  }

  #createIndex(draft: Draft, create: CreateIndex, seq: Seq): void {
    const { collection, name, unique, time, paths } = create;
    const { nextRow: endRow } = this.#collection(draft, create, seq);
    const same = draft.indexes.named(collection, name);
    if (same.some(isLinked)) throw otherwise(seq, `index ${name} exists already`);
    if (draft.indexes.of(collection).filter(isLinked).length >= limits.indexesMax) {
      throw otherwise(seq, `more than ${limits.indexesMax} indexes`);
    }
    const prepared = same.find((index) => draft.leading && index.whole && isAlike(index, create));
    this.#unlink(draft, same.filter((index) => index !== prepared));
    if (prepared !== undefined) {
      this.#indexes.ready(prepared.number);
      draft.indexes = draft.indexes.with({ ...prepared, name, state: "ready" });
    } else {
      const whole = endRow === 1, number = draft.takeIndexNumber();
      const state = whole ? "ready" : "building";
      const index: IndexState = {
        ...{ number, collection, name, unique, time, paths, state, whole },
        nextRow: 1,
        endRow,
      };
      this.#indexes.create(index);
      draft.indexes = draft.indexes.with(index);
    }
    this.#crashPoint("index:linked");
  }

  #dropIndex(draft: Draft, drop: DropIndex, seq: Seq): void {
    this.#collection(draft, drop, seq);
    const found = draft.indexes.named(drop.collection, drop.name).filter(isLinked);
    if (found.length === 0) throw otherwise(seq, `there is no index ${drop.name}`);
    this.#unlink(draft, found);
  }

  #unlink(draft: Draft, indexes: readonly IndexState[]): void {
    if (indexes.length === 0) return;
    for (const { number } of indexes) this.#indexes.unlink(number);
    draft.indexes = draft.indexes.dropping(indexes.map(({ number }) => number));
  }

  #term(draft: Draft, { epoch, run, nodeId }: BeginTerm, seq: Seq): void {
    const last = draft.terms.at(-1);
    if (last !== undefined) {
      if (epoch < last.epoch) throw otherwise(seq, `epoch ${epoch} begins after epoch ${last.epoch}`);
      if (epoch === last.epoch && nodeId !== last.nodeId) throw otherwise(seq, `epoch ${epoch} of two nodes`);
      if (draft.terms.some((term) => term.run === run)) throw otherwise(seq, `run ${run} begins twice`);
    }
    this.#insertTerm.run(draft.terms.length + 1, epoch, run, nodeId, seq);
    const term = { epoch, run, nodeId, firstSeq: seq };
    draft.terms = [...draft.terms, term];
    if (draft.bundle !== null) this.#versions.begin(draft.bundle, term, seq);
  }

  #collection(
    draft: Draft,
    operation: Put | Delete | DropCollection | CreateIndex | DropIndex,
    seq: Seq,
  ): CollectionDraft {
    const collection = draft.change(operation.collection);
    if (collection !== undefined) return collection;
    throw otherwise(seq, `there is no collection with number ${operation.collection}`);
  }
}

function isAlike(index: IndexState, { name, unique, time, paths }: CreateIndex): boolean {
  return index.name === name && index.unique === unique && index.time === time &&
    JSON.stringify(index.paths) === JSON.stringify(paths);
}
