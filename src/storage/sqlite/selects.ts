import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { IndexNumber } from "../../base/ids.ts";
import type { SqlValue } from "../storage.ts";
import { RowReader } from "./read_rows.ts";

type Row = readonly SqlValue[];

/** Texts of statements that one connection keeps prepared: up to one of these. */
const statementsMax = 200, charsMax = 512 * 1024;

/** Statements that others compiled, for one connection; prepared ones are kept, the least recently used are dropped. */
export class Selects {
  readonly #db: DatabaseSync;
  readonly #free = new Map<string, RowReader>();
  readonly #open = new Set<Rows>();
  #chars = 0;
  #entries: StatementSync | null = null;

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  rows(sql: string, values: readonly SqlValue[]): IterableIterator<Row> {
    const reader = this.#take(sql);
    const rows: Rows = new Rows(reader.rows(values), (whole) => {
      this.#open.delete(rows);
      if (whole) this.#keep(sql, reader);
    });
    this.#open.add(rows);
    return rows;
  }

  /** All rows at once. */
  all(sql: string, values: readonly SqlValue[]): readonly Row[] {
    const reader = this.#take(sql), rows = reader.all(values) as SqlValue[][];
    this.#keep(sql, reader);
    for (const row of rows) toNumbers(row);
    return rows;
  }

  explain(sql: string, values: readonly SqlValue[]): readonly string[] {
    return this.#db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values).map((row) => String(row["detail"]));
  }

  /** `indexes.entries` of one. */
  entries(index: IndexNumber): number {
    this.#entries ??= this.#db.prepare("SELECT entries FROM indexes WHERE number = ?");
    return Number(this.#entries.get(index)?.["entries"] ?? 0);
  }

  /** Ends what was not read to its end: an open statement would hold its state of the file. */
  close(): void {
    if (this.#open.size > 0) { for (const rows of [...this.#open]) rows.return(); }
  }

  /** A statement is out of the cache while its rows are read: another reader of the same text gets one of his own. */
  #take(sql: string): RowReader {
    const found = this.#free.get(sql);
    if (found !== undefined) {
      this.#drop(sql);
      return found;
    }
    return new RowReader(this.#db, sql);
  }

  #keep(sql: string, reader: RowReader): void {
    if (sql.length > charsMax / 8) return;
    this.#drop(sql);
    this.#free.set(sql, reader);
    this.#chars += sql.length;
    for (const oldest of this.#free.keys()) {
      if (this.#free.size <= statementsMax && this.#chars <= charsMax) break;
      this.#drop(oldest);
    }
  }

  #drop(sql: string): void {
    if (this.#free.delete(sql)) this.#chars -= sql.length;
  }
}

/** Numbers that JavaScript has are given as numbers. */
function toNumbers(row: SqlValue[]): void {
  for (let i = 0; i < row.length; i++) {
    const value = row[i];
    if (typeof value !== "bigint") continue;
    const number = Number(value);
    if (Number.isSafeInteger(number)) row[i] = number;
  }
}

class Rows implements IterableIterator<Row> {
  readonly #rows: IterableIterator<unknown>;
  readonly #over: (whole: boolean) => void;
  #open = true;

  constructor(rows: IterableIterator<unknown>, over: (whole: boolean) => void) {
    this.#rows = rows;
    this.#over = over;
  }

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Row, undefined> {
    if (!this.#open) return { done: true, value: undefined };
    let step: IteratorResult<unknown>;
    try {
      step = this.#rows.next();
    } catch (thrown) {
      this.#open = false;
      this.#over(false);
      throw thrown;
    }
    if (step.done !== true) {
      const row = step.value as SqlValue[];
      toNumbers(row);
      return { done: false, value: row };
    }
    this.#open = false;
    this.#over(true);
    return { done: true, value: undefined };
  }

  return(): IteratorResult<Row, undefined> {
    if (this.#open) {
      this.#open = false;
      this.#rows.return?.();
      this.#over(true);
    }
    return { done: true, value: undefined };
  }
}
