/** Documents as lines of CSV (RFC 4180). */
import { stringify } from "csv-stringify/sync";
import type { Fields } from "./fields.ts";
import { fieldsOf } from "./fields.ts";

/** Documents that are looked at for the columns where none were named. */
export const sampleDocuments = 1_000;

export interface CsvWriter {
  /** Takes the JSON text of a document. */
  row(text: string): void;
  /** Gives out what waits. Answers the fields that no column was there for. */
  end(): readonly string[];
}

/**
 * Hands text to `write`. `columns`: names of fields, or paths with dots; null: every field of the first documents, `_etag` and
 * `@metadata` left out.
 */
export function csvWriter(columns: readonly string[] | null, write: (text: string) => void): CsvWriter {
  let known = columns;
  let waiting: Fields[] = [];
  const unknown = new Set<string>();
  const print = (documents: readonly Fields[]): void => {
    const head = known as readonly string[];
    write(stringify(documents.map((document) => head.map((column) => cellOf(valueAt(document, column))))));
  };
  const begin = (): void => {
    known ??= columnsOf(waiting);
    if (known.length > 0) write(stringify([[...known]]));
  };
  if (known !== null) begin();
  const flush = (): void => {
    if (known === null) begin();
    if (waiting.length > 0) print(waiting);
    waiting = [];
  };
  return {
    row(text) {
      const document = fieldsOf(JSON.parse(text));
      if (columns === null && known !== null) {
        for (const name of Object.keys(document)) {
          if (!ours.has(name) && !known.includes(name) && unknown.size < 100) unknown.add(name);
        }
      }
      waiting.push(document);
      if (waiting.length >= (known === null ? sampleDocuments : 100)) flush();
    },
    end() {
      flush();
      return [...unknown];
    },
  };
}

const ours: ReadonlySet<string> = new Set(["_etag", "@metadata"]);

/** The fields of all of them, `_id` first, in the order in which they are met. */
function columnsOf(documents: readonly Fields[]): string[] {
  const names = new Set(documents.some((document) => Object.hasOwn(document, "_id")) ? ["_id"] : []);
  for (const document of documents) {
    for (const name of Object.keys(document)) if (!ours.has(name)) names.add(name);
  }
  return [...names];
}

/** The field of that name, else what the path with dots leads to. */
export function valueAt(document: Fields, column: string): unknown {
  if (Object.hasOwn(document, column)) return document[column];
  let value: unknown = document;
  for (const step of column.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function cellOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
