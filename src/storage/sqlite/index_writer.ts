import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { IndexNumber } from "../../base/ids.ts";
import { createIndexTable, createTriggers, dropTriggers, indexTableOf } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";

/** Writes the rows of `indexes`, tables and triggers, inside the running transaction. */
export class IndexWriter {
  readonly #db: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #link: StatementSync;
  readonly #unlink: StatementSync;
  readonly #remove: StatementSync;
  readonly #progress: StatementSync;
  readonly #next: StatementSync;
  readonly #renumber: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#insert = db.prepare("INSERT INTO indexes VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)");
    this.#link = db.prepare("UPDATE indexes SET state = 'ready' WHERE number = ?");
    this.#unlink = db.prepare("UPDATE indexes SET name = NULL WHERE number = ?");
    this.#remove = db.prepare("DELETE FROM indexes WHERE number = ?");
    this.#progress = db.prepare("UPDATE indexes SET next_row = ?, entries = entries + ? WHERE number = ?");
    this.#next = db.prepare("UPDATE meta SET next_index = max(next_index, ?)");
    this.#renumber = db.prepare("UPDATE indexes SET number = ? WHERE number = ?");
  }

  /** A new index, empty, kept from now on. */
  create(index: IndexState): void {
    const { number, collection, name, unique, time, paths, state, nextRow } = index;
    this.#insert.run(number, collection, name, +unique, +time, JSON.stringify(paths), state, nextRow);
    this.#next.run(number + 1);
    createIndexTable(this.#db, index);
    createTriggers(this.#db, index);
  }

  /** Whole: queries may use it. */
  ready(number: IndexNumber): void {
    this.#link.run(number);
  }

  /** It has no name any more, and nothing keeps it; its table is for {@linkcode remove}, later. */
  unlink(number: IndexNumber): void {
    dropTriggers(this.#db, number);
    this.#unlink.run(number);
  }

  /** What has no name any more gives its number away, and its table. */
  renumber(number: IndexNumber, to: IndexNumber): void {
    this.#db.prepare(`ALTER TABLE ${indexTableOf(number)} RENAME TO ${indexTableOf(to)}`).run();
    this.#renumber.run(to, number);
    this.#next.run(to + 1);
  }

  /** Its table is gone. */
  remove(number: IndexNumber): void {
    this.#remove.run(number);
  }

  /** It was filled up to `nextRow`, with so many keys more. */
  progress(number: IndexNumber, nextRow: number, keys: number): void {
    this.#progress.run(nextRow, keys, number);
  }
}
