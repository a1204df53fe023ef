import type { DatabaseSync, StatementSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { Seq, WallMs } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type {
  BeginTerm,
  CreateCollection,
  Delete,
  DropCollection,
  Operation,
  Put,
} from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { Draft } from "./draft.ts";
import { createDocuments } from "./schema.ts";
import { isUniqueViolation } from "./sqlite_error.ts";
import type { CollectionDraft } from "./state.ts";
import type { TableStatements } from "./statements.ts";

/**
 * What an entry does to the documents: the one function of leader and follower. It checks before it changes; what
 * does not fit the history is DfdbError `diverged`, and the transaction must then not be committed.
 */
export class Apply {
  readonly #db: DatabaseSync;
  readonly #tables: TableStatements;
  readonly #crashPoint: CrashPoint;
  readonly #insertTerm: StatementSync;

  constructor(db: DatabaseSync, tables: TableStatements, crashPoint: CrashPoint) {
    this.#db = db;
    this.#tables = tables;
    this.#crashPoint = crashPoint;
    this.#insertTerm = db.prepare("INSERT INTO terms VALUES (?, ?, ?, ?, ?)");
  }

  operation(draft: Draft, operation: Operation, seq: Seq, wallMs: WallMs): void {
    this.#crashPoint("apply:operation");
    switch (operation.kind) {
      case "put":
        return this.#put(draft, operation, seq, wallMs);
      case "delete":
        return this.#delete(draft, operation, seq);
      case "createCollection":
        return this.#create(draft, operation, seq);
      case "dropCollection":
        return this.#drop(draft, operation, seq);
      case "term":
        return this.#term(draft, operation, seq);
    }
  }

  #put(draft: Draft, put: Put, seq: Seq, wallMs: WallMs): void {
    const collection = this.#collection(draft, put, seq);
    if (put.previous !== 0) {
      const update = this.#tables.get(put.collection, "update");
      const { changes } = update.run(seq, wallMs, put.body, put.id, put.previous);
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
        wallMs,
        put.body,
      );
    } catch (thrown) {
      if (!isUniqueViolation(thrown)) throw thrown;
      throw otherwise(seq, `document ${put.id} exists already`);
    }
    collection.nextRow++;
    collection.documents++;
  }

  #delete(draft: Draft, remove: Delete, seq: Seq): void {
    const collection = this.#collection(draft, remove, seq);
    const { changes } = this.#tables.get(remove.collection, "remove").run(remove.id, remove.previous);
    if (changes !== 1) {
      throw otherwise(seq, `document ${remove.id} was not last changed by entry ${remove.previous}`);
    }
    collection.documents--;
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
  }

  #drop(draft: Draft, drop: DropCollection, seq: Seq): void {
    draft.drop(this.#collection(draft, drop, seq));
  }

  #term(draft: Draft, { epoch, run, nodeId }: BeginTerm, seq: Seq): void {
    const last = draft.terms.at(-1);
    if (last !== undefined) {
      if (epoch < last.epoch) throw otherwise(seq, `epoch ${epoch} begins after epoch ${last.epoch}`);
      if (epoch === last.epoch && nodeId !== last.nodeId) throw otherwise(seq, `epoch ${epoch} of two nodes`);
      if (draft.terms.some((term) => term.run === run)) throw otherwise(seq, `run ${run} begins twice`);
    }
    this.#insertTerm.run(draft.terms.length + 1, epoch, run, nodeId, seq);
    draft.terms = [...draft.terms, { epoch, run, nodeId, firstSeq: seq }];
  }

  #collection(draft: Draft, operation: Put | Delete | DropCollection, seq: Seq): CollectionDraft {
    const collection = draft.change(operation.collection);
    if (collection !== undefined) return collection;
    throw otherwise(seq, `there is no collection with number ${operation.collection}`);
  }
}

function otherwise(seq: Seq, what: string): DfdbError {
  return new DfdbError("diverged", `entry ${seq} does not fit this database: ${what}`, { details: { seq } });
}
