/** Documents of an embedded database: the same plans and rules as over HTTP, without it. */
import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { readPatch } from "../document/conditions.ts";
import type { DocumentBody } from "../document/json_text.ts";
import type { DocumentValue } from "../document/document_value.ts";
import { documentValue } from "../document/document_value.ts";
import { documentBody } from "../document/json_text.ts";
import { collectionName, documentId, isReservedName } from "../document/names.ts";
import { newDocumentIds } from "../document/new_id.ts";
import type { BulkOutcome, Precondition, Written } from "../engine/commands.ts";
import {
  bulkInsert,
  deleteDocument,
  dropCollection,
  insertDocument,
  putDocument,
} from "../engine/commands.ts";
import { conflictAt, InConflict } from "../engine/conflicts.ts";
import { patchDocument } from "../engine/edits.ts";
import type { TransactionOperation } from "../engine/transaction.ts";
import { transaction } from "../engine/transaction.ts";
import { etagText, positionText } from "../storage/position_text.ts";
import type { StoredDocument } from "../storage/storage.ts";
import type { NodeDatabase } from "./database.ts";

/** A document as it is read. */
export type DocumentRead = DocumentValue;

/** What a write made. */
export interface DocumentWritten {
  readonly _id: string;
  readonly _etag: string;
  readonly created: boolean;
}

/** The element's outcome in a bulk, in the order given. */
export type BulkWritten = DocumentWritten | { readonly error: DfdbError };

/** What must hold for a write: the etag that was read, or null for "it does not exist". */
export interface WriteCondition {
  readonly ifMatch?: string | null;
}

/** One write of a transaction. `replace` wants the document to exist, `insert` that it does not. */
export type TransactionStep =
  | { readonly op: "insert"; readonly collection: string; readonly doc: object }
  | { readonly op: "replace"; readonly collection: string; readonly id: string; readonly doc: object }
  | { readonly op: "delete"; readonly collection: string; readonly id: string };

/** What came of one; `deleted` says whether there was something to delete. */
export interface TransactionResult {
  readonly op: TransactionStep["op"];
  readonly collection: string;
  readonly id: string;
  readonly deleted?: boolean;
}

export interface DocumentList {
  readonly documents: readonly DocumentRead[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: number | null;
}

const anything: Precondition = () => {};

/**
 * Writes resolve when they are durable here (and on `minSyncReplicas` followers) and reject with a DfdbError, as over
 * HTTP: `not_leader`, `read_only`, `duplicate_key`, `precondition_failed`, `bad_request`, ... Reads are synchronous.
 */
export class Documents {
  readonly #database: NodeDatabase;
  readonly #newId: () => DocumentId;

  constructor(database: NodeDatabase) {
    this.#database = database;
    this.#newId = newDocumentIds(database.runtime.random, database.runtime.clock);
  }

  /** The document, or null when there is none. Throws `conflict` (`versions`: ids) where it has several versions that nobody has settled. */
  get(collection: string, id: string): DocumentRead | null {
    const name = collectionName(collection), wanted = documentId(id);
    const found = this.#database.storage.read((view) => {
      const info = view.collection(name),
        document = info === null ? null : view.document(info.number, wanted);
      const conflict = document === null ? conflictAt(view, name, wanted) : null;
      if (conflict !== null) throw new InConflict(conflict);
      return document;
    });
    return found === null ? null : this.#read(found);
  }

  /** One page in the order of creation, at most 10,000 documents or 32 MiB. */
  list(
    collection: string,
    { limit = 100, after = 0 }: { limit?: number; after?: number } = {},
  ): DocumentList {
    const name = collectionName(collection);
    if (!Number.isInteger(limit) || limit < 1 || limit > limits.listDocumentsMax) {
      throw new DfdbError("bad_request", `limit: 1 to ${limits.listDocumentsMax}`);
    }
    const page = this.#database.storage.read((view) => {
      const info = view.collection(name);
      const bounds = { documentsMax: limit, bytesMax: limits.listBytesMax };
      return info === null ? null : view.page(info.number, after, bounds);
    });
    if (page === null) return { documents: [], next: null };
    return { documents: page.documents.map((document) => this.#read(document)), next: page.next };
  }

  /** All documents in the order of creation, read page by page: each page is one consistent state. */
  *documents(collection: string): Generator<DocumentRead, void, undefined> {
    for (let after: number | null = 0; after !== null;) {
      const page: DocumentList = this.list(collection, { limit: limits.bulkSliceDocuments, after });
      yield* page.documents;
      after = page.next;
    }
  }

  /** Names and sizes, without counting. */
  collections(): readonly { readonly name: string; readonly documents: number }[] {
    return this.#database.storage.read((view) =>
      view.collections().filter(({ name }) => !isReservedName(name))
        .map(({ name, documents }) => ({ name, documents }))
    );
  }

  /** Inserts under its `_id`, or under a new one; rejects with `duplicate_key` when that exists. */
  async insert(collection: string, document: object): Promise<DocumentWritten> {
    const name = collectionName(collection), { id, body } = this.#sent(document);
    return await this.#write(insertDocument(name, { id: id ?? this.#newId(), body }));
  }

  /** Creates or replaces. */
  async put(
    collection: string,
    id: string,
    document: object,
    condition: WriteCondition = {},
  ): Promise<DocumentWritten> {
    const name = collectionName(collection), wanted = documentId(id), sent = this.#sent(document);
    const written = { id: sameId(sent.id, wanted), body: sent.body };
    return await this.#write(putDocument(name, written, this.#demanded(condition)));
  }

  /**
   * Changes a part: members of `change` replace (null removes, objects are merged), or `{$ops: [{field, op, value}]}` with `set`, `inc`,
   * `dec`, `unset`. Resolves with the document as it is then. Rejects with `not_found`, and as `PATCH` does.
   */
  async patch(
    collection: string,
    id: string,
    change: object,
    condition: WriteCondition = {},
  ): Promise<DocumentRead> {
    const { settings: { documentBytesMax, nestingMax }, engine, storage } = this.#database;
    const name = collectionName(collection), wanted = documentId(id), sent = jsonBytes(change);
    const documentBytes = storage.read((view) => {
      const info = view.collection(name);
      return info === null ? 0 : view.document(info.number, wanted)?.body.length ?? 0;
    });
    const patch = readPatch(sent, nestingMax);
    const edit = { collection: name, id: wanted, conditions: [], patch, bytes: sent.length, documentBytes };
    const limits = { bytesMax: documentBytesMax, nestingMax };
    const { value } = await engine.submit(patchDocument(edit, this.#demanded(condition), limits));
    return this.#read(value);
  }

  /** Rejects with `not_found` when there is none. */
  async delete(collection: string, id: string, condition: WriteCondition = {}): Promise<void> {
    const plan = deleteDocument(collectionName(collection), documentId(id), this.#demanded(condition));
    await this.#database.engine.submit(plan);
  }

  /** Inserts each document on its own, in slices; one that fails does so alone. Rejects when a slice fails as a whole. */
  async bulkInsert(collection: string, documents: Iterable<object>): Promise<readonly BulkWritten[]> {
    const name = collectionName(collection), outcomes: BulkWritten[] = [];
    let slice: { id: DocumentId; body: Uint8Array }[] = [], bytes = 0;
    const send = async (): Promise<void> => {
      const { value } = await this.#database.engine.submit(bulkInsert(name, slice));
      for (const outcome of value) outcomes.push(this.#outcome(outcome));
      slice = [];
      bytes = 0;
    };
    for (const document of documents) {
      const { id, body } = this.#sent(document);
      slice.push({ id: id ?? this.#newId(), body });
      bytes += body.length;
      if (slice.length >= limits.bulkSliceDocuments || bytes >= limits.bulkSliceBytes) await send();
    }
    if (slice.length > 0) await send();
    return outcomes;
  }

  /**
   * All of `steps`, in order, or none; one entry of the log. Rejects as `POST /tx/batch`: `duplicate_key`, `not_found`,
   * `payload_too_large`, with `failedOpIndex` in the details.
   */
  async transaction(steps: Iterable<TransactionStep>): Promise<readonly TransactionResult[]> {
    const operations = [...steps].map((step) => this.#operation(step));
    const { value } = await this.#database.engine.submit(transaction(operations));
    return operations.map(({ op, collection, id }, i) =>
      op === "delete" ? { op, collection, id, deleted: value[i] === true } : { op, collection, id }
    );
  }

  /** Removes a collection with its documents; rejects with `not_found` when there is none. */
  async drop(collection: string): Promise<void> {
    await this.#database.engine.submit(dropCollection(collectionName(collection)));
  }

  /** The end of the log, as a token that says which history it belongs to. */
  get position(): string {
    const { last } = this.#database.storage.log;
    return positionText(last, last.seq);
  }

  async #write(plan: Parameters<NodeDatabase["engine"]["submit"]>[0]): Promise<DocumentWritten> {
    const { value } = await this.#database.engine.submit(plan);
    return this.#written(value as Written);
  }

  #operation(step: TransactionStep): TransactionOperation {
    const { op } = step, collection = collectionName(step.collection);
    if (op === "delete") return { op, collection, id: documentId(step.id) };
    const { id: own, body } = this.#sent(step.doc);
    if (op === "insert") return { op, collection, id: own ?? this.#newId(), body };
    return { op, collection, id: sameId(own, documentId(step.id)), body };
  }

  #outcome(outcome: BulkOutcome): BulkWritten {
    return "error" in outcome ? outcome : this.#written(outcome);
  }

  #written({ id, seq, created }: Written): DocumentWritten {
    return { _id: id, _etag: etagText(this.#database.storage.log.terms, seq), created };
  }

  #read(document: Pick<StoredDocument, "id" | "seq" | "body">): DocumentRead {
    const etag = etagText(this.#database.storage.log.terms, document.seq);
    return documentValue(document.id, etag, document.body);
  }

  #sent(document: object): DocumentBody {
    const { documentBytesMax, nestingMax } = this.#database.settings;
    return documentBody(jsonBytes(document), { bytesMax: documentBytesMax, nestingMax });
  }

  #demanded({ ifMatch }: WriteCondition): Precondition {
    if (ifMatch === undefined) return anything;
    return (current, { terms }) => {
      const etag = current === 0 ? null : etagText(terms, current);
      if (ifMatch === null ? current === 0 : etag === ifMatch) return;
      throw new DfdbError("precondition_failed", "The document is not as it was expected", {
        details: { expected: ifMatch, actual: etag },
      });
    };
  }
}

function jsonBytes(value: object): Uint8Array {
  try {
    return utf8(JSON.stringify(value) ?? "");
  } catch (cause) {
    throw new DfdbError("bad_request", "The document cannot be written as JSON", { cause });
  }
}

function sameId(own: DocumentId | null, wanted: DocumentId): DocumentId {
  if (own === null || own === wanted) return wanted;
  throw new DfdbError("bad_request", "_id in the document is not the id given");
}
