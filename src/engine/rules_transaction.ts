import type { CollectionNumber, DocumentId, Seq } from "../base/ids.ts";
import type { LogEntry, Position, TermRecord } from "../storage/log.ts";
import type {
  CollectionInfo,
  DocumentPage,
  IndexInfo,
  SqlValue,
  StoredDocument,
  WriteTransaction,
} from "../storage/storage.ts";
import type { VersionView } from "../storage/versions.ts";

/** A write transaction whose entries somebody looks over before they are made; all else goes straight through. */
export class CheckedTransaction implements WriteTransaction {
  readonly append: WriteTransaction["append"];
  readonly appendInSlices: WriteTransaction["appendInSlices"];
  readonly #tx: WriteTransaction;

  constructor(
    tx: WriteTransaction,
    { append, appendInSlices }: Pick<WriteTransaction, "append" | "appendInSlices">,
  ) {
    this.#tx = tx;
    this.append = append;
    this.appendInSlices = appendInSlices;
  }

  get position(): Position {
    return this.#tx.position;
  }

  get terms(): readonly TermRecord[] {
    return this.#tx.terms;
  }

  get version(): number {
    return this.#tx.version;
  }

  get settingsVersion(): number {
    return this.#tx.settingsVersion;
  }

  get versions(): VersionView | null {
    return this.#tx.versions;
  }

  collections(): readonly CollectionInfo[] {
    return this.#tx.collections();
  }

  collection(name: string): CollectionInfo | null {
    return this.#tx.collection(name);
  }

  document(collection: CollectionNumber, id: DocumentId): StoredDocument | null {
    return this.#tx.document(collection, id);
  }

  documentSeq(collection: CollectionNumber, id: DocumentId): Seq {
    return this.#tx.documentSeq(collection, id);
  }

  page(
    collection: CollectionNumber,
    after: number,
    limits: { documentsMax: number; bytesMax: number },
  ): DocumentPage {
    return this.#tx.page(collection, after, limits);
  }

  indexes(collection: CollectionNumber): readonly IndexInfo[] {
    return this.#tx.indexes(collection);
  }

  select(sql: string, values: readonly SqlValue[], few?: boolean): IterableIterator<readonly SqlValue[]> {
    return this.#tx.select(sql, values, few);
  }

  explain(sql: string, values: readonly SqlValue[]): readonly string[] {
    return this.#tx.explain(sql, values);
  }

  newCollectionNumber(): CollectionNumber {
    return this.#tx.newCollectionNumber();
  }

  apply(entry: LogEntry): Position {
    return this.#tx.apply(entry);
  }

  applyInSlices(entry: LogEntry): Generator<void, Position, void> {
    return this.#tx.applyInSlices(entry);
  }
}
