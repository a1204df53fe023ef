import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { CollectionNumber, IndexNumber } from "../../base/ids.ts";
import { epochOf, nodeIdOf, runIdOf, seqOf } from "../../base/ids.ts";
import type { Position, TermRecord } from "../log.ts";
import { origin } from "../log.ts";
import type { SqlValue } from "../storage.ts";
import { configure, connect } from "./connection.ts";
import { mapped } from "./sqlite_error.ts";
import { Selects } from "./selects.ts";

/** Page cache. */
const cacheKiB = 16 * 1024;

/** What a statement takes to be there. */
export interface ExpectedTables {
  readonly collections: readonly { readonly number: CollectionNumber; readonly name: string }[];
  readonly indexes: readonly {
    readonly number: IndexNumber;
    readonly collection: CollectionNumber;
    /** JSON, as the catalog has it. */
    readonly paths: string;
    readonly unique: boolean;
  }[];
}

/** An SQL function without arguments, for statements that call it; what it throws ends them. */
export interface Look {
  readonly name: string;
  readonly run: () => void;
}

/**
 * A read-only connection to a data file that is in use, for one statement at a time, in a thread of its own. What it keeps in between
 * is prepared statements and pages, no transaction. What sorting takes beyond the page cache goes to temporary files.
 */
export class QueryReader {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #selects: Selects;
  readonly #begin: StatementSync;
  readonly #end: StatementSync;
  readonly #last: StatementSync;
  readonly #collection: StatementSync;
  readonly #index: StatementSync;
  #terms: readonly TermRecord[] | null = null;
  #reading = false;

  constructor(path: string, look: Look) {
    this.#path = path;
    this.#db = mapped(`opening ${path}`, () => connect(path, true));
    const db = this.#db;
    try {
      mapped(`opening ${path}`, () => {
        configure(db, { path, cacheKiB, readOnly: true });
        db.prepare("PRAGMA temp_store = FILE").run();
        db.prepare("PRAGMA query_only = ON").run();
        db.function(look.name, { deterministic: false }, () => {
          look.run();
          return 1;
        });
      });
      this.#selects = new Selects(db);
      this.#begin = db.prepare("BEGIN");
      this.#end = db.prepare("ROLLBACK");
      this.#last = db.prepare(
        "SELECT log.seq, log.chain, terms.epoch, terms.run FROM log JOIN terms ON terms.number = log.term " +
          "ORDER BY log.seq DESC LIMIT 1",
      );
      this.#collection = db.prepare("SELECT name FROM collections WHERE number = ?");
      this.#index = db.prepare(
        "SELECT collection, paths, is_unique FROM indexes WHERE number = ? AND state = 'ready' AND name IS NOT NULL",
      );
    } catch (thrown) {
      db.close();
      throw thrown;
    }
  }

  /**
   * Begins to read: everything up to {@linkcode end} sees the newest state of this moment, which is `at`. Where it is not what was expected nothing
   * was begun.
   */
  begin(expected: ExpectedTables): { readonly at: Position; readonly expected: boolean } {
    return this.#mapped(() => {
      this.end();
      this.#begin.run();
      this.#reading = true;
      const at = this.#position();
      const collections = expected.collections.every(({ number, name }) =>
        this.#collection.get(number)?.["name"] === name
      );
      const indexes = expected.indexes.every(({ number, collection, paths, unique }) => {
        const found = this.#index.get(number);
        return found !== undefined && found["collection"] === collection && found["paths"] === paths &&
          found["is_unique"] === Number(unique);
      });
      if (collections && indexes) return { at, expected: true };
      this.end();
      return { at, expected: false };
    });
  }

  rows(sql: string, values: readonly SqlValue[]): IterableIterator<readonly SqlValue[]> {
    const rows = this.#mapped(() => this.#selects.rows(sql, values));
    const step = <Result>(run: () => Result): Result => this.#mapped(run);
    return {
      next: () => step(() => rows.next()),
      return: () => step(() => rows.return?.() ?? { done: true, value: undefined }),
      [Symbol.iterator]() {
        return this;
      },
    };
  }

  /** Column `detail` of `EXPLAIN QUERY PLAN`. */
  explain(sql: string, values: readonly SqlValue[]): readonly string[] {
    return this.#mapped(() => this.#selects.explain(sql, values));
  }

  /** Of the state that is read, oldest first. */
  terms(): readonly TermRecord[] {
    return this.#terms ??= this.#mapped(() =>
      this.#db.prepare("SELECT epoch, run, node_id, first_seq FROM terms ORDER BY number").all().map((
        row,
      ) => ({
        epoch: epochOf(Number(row["epoch"])),
        run: runIdOf(String(row["run"])),
        nodeId: nodeIdOf(String(row["node_id"])),
        firstSeq: seqOf(Number(row["first_seq"])),
      }))
    );
  }

  /** Nothing of the file is held any more. */
  end(): void {
    this.#terms = null;
    if (!this.#reading) return;
    this.#reading = false;
    this.#mapped(() => {
      this.#selects.close();
      // A statement that failed may have ended it.
      if (this.#db.isTransaction) this.#end.run();
    });
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #position(): Position {
    const row = this.#last.get();
    if (row === undefined) return origin;
    const { seq, chain, epoch, run } = row;
    return {
      epoch: epochOf(Number(epoch)),
      run: runIdOf(String(run)),
      seq: seqOf(Number(seq)),
      chain: Number(chain),
    };
  }

  #mapped<Result>(run: () => Result): Result {
    return mapped(`reading ${this.#path}`, run);
  }
}
