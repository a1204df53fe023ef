/** From the columns of a row to the JSON text of a result. */
import { documentText } from "../document/document_text.ts";
import type { DocumentValue } from "../document/document_value.ts";
import { documentValue } from "../document/document_value.ts";
import type { SqlValue } from "./compile_slots.ts";

/** How the columns of a compiled SELECT are to be read. */
export type RowShape =
  /** id, seq, body. */
  | { readonly kind: "documents" }
  /** id, seq, body of each side; nulls for a side that is missing. */
  | { readonly kind: "sides"; readonly names: readonly string[] }
  /** `withId`: an id first, then a column for each item. */
  | { readonly kind: "items"; readonly withId: boolean; readonly items: readonly ShapeItem[] };

export interface ShapeItem {
  readonly name: string;
  /** `json`: JSON text, or a number; `seq`: the seq whose etag is meant. */
  readonly from: "json" | "seq";
}

type Cells = readonly (SqlValue | Uint8Array | undefined)[];

/** The writer of one result's rows: what does not change from row to row is made once. `etag` gives it from a seq. */
export function rowWriter(shape: RowShape, etag: (seq: number) => string): (cells: Cells) => string {
  switch (shape.kind) {
    case "documents":
      return (cells) => documentText(cells[0] as string, etag(Number(cells[1])), cells[2] as string);
    case "sides": {
      const keys = shape.names.map((name) => `${JSON.stringify(name)}:`);
      return (cells) => `{${keys.map((key, i) => key + sideText(cells, i * 3, etag)).join(",")}}`;
    }
    case "items":
      return itemsWriter(shape.withId, shape.items, etag);
  }
}

/** As {@linkcode rowWriter}, for who wants documents as values; null: the rows are something else. */
export function valueReader(
  shape: RowShape,
  etag: (seq: number) => string,
): ((cells: Cells) => DocumentValue) | null {
  if (shape.kind !== "documents") return null;
  return (cells) => documentValue(cells[0] as string, etag(Number(cells[1])), cells[2] as string);
}

function sideText(cells: Cells, from: number, etag: (seq: number) => string): string {
  const id = cells[from];
  return typeof id === "string"
    ? documentText(id, etag(Number(cells[from + 1])), cells[from + 2] as string)
    : "{}";
}

function itemsWriter(
  withId: boolean,
  items: readonly ShapeItem[],
  etag: (seq: number) => string,
): (cells: Cells) => string {
  const first = withId ? 1 : 0;
  const keys = items.map(({ name }) => `${JSON.stringify(name)}:`);
  return (cells) => {
    let text = withId ? `"_id":${JSON.stringify(cells[0])}` : "";
    for (let i = 0; i < items.length; i++) {
      const cell = cells[first + i];
      const json = items[i]!.from === "seq" ? etagText(cell, etag) : jsonText(cell);
      if (json !== null) text += (text === "" ? "" : ",") + keys[i] + json;
    }
    return `{${text}}`;
  };
}

function etagText(cell: Cells[number], etag: (seq: number) => string): string | null {
  return cell === null ? null : JSON.stringify(etag(Number(cell)));
}

/** Null: it is left out. */
function jsonText(cell: Cells[number]): string | null {
  if (typeof cell === "string") return cell === "null" ? null : cell;
  if (typeof cell === "number") return Number.isFinite(cell) ? String(cell) : null;
  return typeof cell === "bigint" ? String(cell) : null;
}
