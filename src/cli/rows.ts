/** Rows of a query as people or programs want them: a table, NDJSON, CSV. */
import type { ProcessHost } from "../runtime/runtime.ts";
import { csvWriter } from "./csv_rows.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf } from "./fields.ts";
import type { Cell, Column, Screen } from "./table.ts";
import { colour, plain, screenOf, table, widthOf } from "./table.ts";

export type RowMode = "table" | "json" | "csv";

export interface RowPrinter {
  /** Takes the JSON text of a row. */
  row(text: string): void;
  /** Prints what waits. */
  end(): void;
}

/** Rows that are laid out together; a longer result is several tables, each with its own head. */
const tableRows = 500;

export function rowPrinter(process: ProcessHost, mode: RowMode): RowPrinter {
  if (mode === "json") return { row: (text) => process.stdout(`${text}\n`), end: () => {} };
  if (mode === "csv") {
    const csv = csvWriter(null, (text) => process.stdout(text));
    return {
      row: (text) => csv.row(text),
      end() {
        const without = csv.end();
        if (without.length > 0) process.stderr(leftOut(without));
      },
    };
  }
  let waiting: Fields[] = [];
  const print = (): void => {
    if (waiting.length > 0) process.stdout(rowTable(waiting, screenOf(process)));
    waiting = [];
  };
  return {
    row(text) {
      waiting.push(fieldsOf(JSON.parse(text)));
      if (waiting.length >= tableRows) print();
    },
    end: print,
  };
}

/** What is said when later documents had fields that the first ones had not. */
export function leftOut(names: readonly string[]): string {
  return `fields that the first documents did not have are left out: ${plain(names.join(", "))}\n`;
}

/** Of a column that is made narrower at least so much is shown. */
const leastWidth = 8;

/** One table of all rows; columns that do not fit are counted below it. */
export function rowTable(rows: readonly Fields[], screen: Screen): string {
  const names = namesOf(rows);
  const cells = rows.map((row) => names.map((name): Cell => cellOf(row, name)));
  const shown = screen.columns === null ? names.length : fitting(names, cells, screen.columns);
  const columns = names.slice(0, shown).map((name): Column => {
    const right = rows.every((row) => row[name] == null || typeof row[name] === "number");
    return { title: plain(name), flexible: true, ...(right ? { right } : {}) };
  });
  const hidden = names.slice(shown).map(plain);
  const note = hidden.length === 0 ? [] : [{
    note: `${hidden.length} more: ${hidden.join(", ")}`,
    colour: colour.dim,
  }];
  return table(columns, [...cells.map((row) => row.slice(0, shown)), ...note], screen);
}

/** `_id` first, what the server adds last. */
function namesOf(rows: readonly Fields[]): string[] {
  const names = new Set<string>();
  for (const row of rows) for (const name of Object.keys(row)) names.add(name);
  const place = (name: string): number =>
    name === "_id" ? 0 : name === "_etag" || name === "@metadata" ? 2 : 1;
  return [...names].sort((a, b) => place(a) - place(b));
}

function fitting(names: readonly string[], cells: readonly (readonly Cell[])[], width: number): number {
  let used = -2, count = 0;
  for (; count < names.length; count++) {
    let natural = widthOf(plain(names[count] as string));
    for (const row of cells) natural = Math.max(natural, widthOf(row[count]?.text ?? ""));
    used += Math.min(natural, leastWidth) + 2;
    if (used > width) break;
  }
  return Math.max(1, count);
}

function cellOf(row: Fields, name: string): Cell {
  if (!Object.hasOwn(row, name)) return { text: "" };
  const value = row[name];
  if (value === null) return { text: "null", colour: colour.dim };
  return { text: plain(typeof value === "string" ? value : JSON.stringify(value)) };
}
