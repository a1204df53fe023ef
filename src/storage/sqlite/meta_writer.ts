import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { CollectionNumber, DatabaseId, Seq } from "../../base/ids.ts";
import type { Draft } from "./draft.ts";
import type { State, Trimmed } from "./state.ts";

/** Writes the rows of `meta` and `collections`, inside the running transaction. */
export class MetaWriter {
  readonly #setCollection: StatementSync;
  readonly #removeCollection: StatementSync;
  readonly #setNext: StatementSync;
  readonly #setClean: StatementSync;
  readonly #setId: StatementSync;
  readonly #setTrimmed: StatementSync;

  constructor(db: DatabaseSync) {
    this.#setCollection = db.prepare("INSERT OR REPLACE INTO collections VALUES (?, ?, ?, ?)");
    this.#removeCollection = db.prepare("DELETE FROM collections WHERE number = ?");
    this.#setNext = db.prepare("UPDATE meta SET next_collection = ?");
    this.#setClean = db.prepare("UPDATE meta SET clean_seq = ?");
    this.#setId = db.prepare("UPDATE meta SET database_id = ?");
    this.#setTrimmed = db.prepare(
      "UPDATE meta SET trimmed_seq = ?, trimmed_term = ?, trimmed_chain = ?, trimmed_end_bytes = ?",
    );
  }

  /** Once before COMMIT: what the draft gathered. The first commit of a run takes back the mark of a clean close. */
  flush(draft: Draft, committed: State): void {
    if (committed.clean) this.cleanSeq(null);
    if (draft.nextCollection !== committed.nextCollection) this.#setNext.run(draft.nextCollection);
    for (const { number, name, documents, nextRow } of draft.changed.values()) {
      this.#setCollection.run(number, name, documents, nextRow);
    }
  }

  removeCollection(number: CollectionNumber): void {
    this.#removeCollection.run(number);
  }

  /** Last seq of a file that is whole without its WAL; null while it is in use. */
  cleanSeq(seq: Seq | null): void {
    this.#setClean.run(seq);
  }

  /** The entry before the first one kept; `term` is its number. */
  trimmed({ position, endBytes }: Trimmed, term: number): void {
    this.#setTrimmed.run(position.seq, term, position.chain, endBytes);
  }

  databaseId(id: DatabaseId): void {
    this.#setId.run(id);
  }
}
