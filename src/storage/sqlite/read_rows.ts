import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";

type Cells = SQLInputValue[];

/**
 * A statement whose rows are read one by one, as arrays. On Deno an error in the middle looks like the end: there each
 * statement gets a last row of its own, and without it the error is looked for.
 */
export class RowReader {
  readonly #db: DatabaseSync;
  readonly #sql: string;
  readonly #statement: StatementSync;
  /** Columns of `sql`, where the last row is ours. */
  readonly #columns: number | null;
  /** For all rows at once. */
  #whole: StatementSync | null = null;

  constructor(db: DatabaseSync, sql: string) {
    this.#db = db;
    this.#sql = sql;
    const statement = prepared(db, sql);
    if (!endHidesErrors()) {
      this.#statement = statement;
      this.#columns = null;
      return;
    }
    const columns = this.#columns = statement.columns().length, nulls = "NULL, ".repeat(columns);
    this.#statement = prepared(db, `SELECT q.*, NULL FROM (${sql}\n) q UNION ALL SELECT ${nulls}1`);
  }

  /** One at a time: a second use ends the first. */
  rows(values: readonly SQLInputValue[]): IterableIterator<Cells> {
    const rows = this.#statement.iterate(...values) as unknown as IterableIterator<Cells>;
    return this.#columns === null ? rows : this.#toTheEnd(rows, this.#columns, values);
  }

  /** All of them: an error is always an error there. */
  all(values: readonly SQLInputValue[]): Cells[] {
    this.#whole ??= this.#columns === null ? this.#statement : prepared(this.#db, this.#sql);
    return this.#whole.all(...values) as unknown as Cells[];
  }

  *#toTheEnd(
    rows: IterableIterator<Cells>,
    columns: number,
    values: readonly SQLInputValue[],
  ): Generator<Cells, undefined> {
    for (const row of rows) {
      if (row[columns] !== null) return;
      row.pop();
      yield row;
    }
    this.#db.prepare(this.#sql).all(...values);
    throw new DfdbError("io_error", "the rows of a query could not be read to their end");
  }
}

function prepared(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql);
  statement.setReturnArrays(true);
  statement.setReadBigInts(true);
  return statement;
}

let hidden: boolean | null = null;

function endHidesErrors(): boolean {
  if (hidden !== null) return hidden;
  const db = new DatabaseSync(":memory:");
  try {
    for (const _ of db.prepare("SELECT json(value) FROM json_each(?)").iterate('["1","{"]'));
    return hidden = true;
  } catch {
    return hidden = false;
  } finally {
    db.close();
  }
}
