import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { TaskContext } from "../../runtime/workers.ts";
import { foldName } from "./fold_name.ts";
import { indexTableOf, keyColumns, nullKey } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";
import { readFile } from "./read_file.ts";
import { RowReader } from "./read_rows.ts";

export interface SharedKeysInput {
  readonly path: string;
  /** Without regard to case. */
  readonly collection: string;
}

/** What the task reports of each unique index that is whole. */
export interface SharedKeys {
  /** Its name. */
  readonly index: string;
  /** Documents with a key, no part of it null, that one made earlier in this file has too. */
  readonly documents: number;
}

/** Of about so many entries one is looked at here, whatever it is: the task looks then whether it was stopped. */
const lookEntries = 1_000;

/**
 * Counts in the unique indexes of a collection what is not unique: what other masters send is not held back by them. Reads indexes and no
 * document, all in one read transaction. Throws `closing` when it was stopped, `data_corrupt`, `io_error`.
 */
export function sharedKeys({ path, collection }: SharedKeysInput, context: TaskContext): void {
  context.hold(() =>
    readFile(path, (db, { numbers, indexes }) => {
      const number = numbers.get(foldName(collection));
      if (number === undefined) return;
      for (const index of indexes.of(number)) {
        if (!index.unique || index.state !== "ready") continue;
        const documents = documentsSharing(db, index, context);
        context.progress({ index: index.name, documents } satisfies SharedKeys);
      }
    })
  );
}

function documentsSharing(db: DatabaseSync, index: IndexState, context: TaskContext): number {
  const table = indexTableOf(index.number), columns = keyColumns(index), found = new Rows();
  const given = columns.map((column) => `a.${column} > ${nullKey}`).join(" AND ");
  const same = columns.map((column) => `b.${column} = a.${column}`).join(" AND ");
  const shared = `${given} AND EXISTS (SELECT 1 FROM ${table} b WHERE ${same} AND b.row < a.row)`;
  const sql = `SELECT a.row, ${shared} FROM ${table} a WHERE a.row % ${lookEntries} = 0 OR (${shared})`;
  for (const [row, isShared] of new RowReader(db, sql).rows([])) {
    if (context.stopped) throw new DfdbError("closing", "counting keys was given up");
    if (Number(isShared) === 1) found.add(Number(row));
  }
  return found.size;
}

const rowsOfPart = 65_536;

/** Rows of a table, each a bit: an array has its document in the index many times. */
class Rows {
  size = 0;
  readonly #parts = new Map<number, Uint8Array>();

  add(row: number): void {
    const number = Math.floor(row / rowsOfPart), bit = row % rowsOfPart;
    let part = this.#parts.get(number);
    if (part === undefined) this.#parts.set(number, part = new Uint8Array(rowsOfPart / 8));
    const at = bit >> 3, before = part[at] as number, after = before | (1 << (bit & 7));
    if (after === before) return;
    part[at] = after;
    this.size++;
  }
}
