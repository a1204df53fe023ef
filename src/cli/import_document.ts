/** A record as it is sent: a JSON object whose text is kept, with an id. */
import type { ImportRecord } from "./import_record.ts";

export interface ImportDocument {
  readonly place: number;
  /** JSON text with `_id`. */
  readonly text: string;
  readonly id: string;
  /** Made here: nobody else can have it. */
  readonly minted: boolean;
}

export interface RefusedRecord {
  readonly place: number;
  readonly error: string;
  readonly code: string;
}

/** `idField`: the member that the id is taken of; null: `_id`, and where there is none `newId`. */
export function importDocument(
  record: ImportRecord,
  { idField, newId }: { readonly idField: string | null; readonly newId: () => string },
): ImportDocument | RefusedRecord {
  const { place } = record;
  const refused = (error: string): RefusedRecord => ({ place, error, code: "bad_request" });
  if ("error" in record) return refused(record.error);
  const { text } = record;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refused("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return refused("it is no JSON object");
  }
  const own = Object.hasOwn(value, "_id") ? (value as { _id: unknown })._id : undefined;
  const id = idField === null || idField === "_id" ? own : idOf(value, idField);
  if (id === null) return refused(`${idField} is neither text nor a whole number, and no id`);
  if (own !== undefined) {
    if (typeof own !== "string") {
      return refused("_id is not text; --id-field with another field makes ids of numbers");
    }
    if (own !== id) return refused(`_id and ${idField} differ`);
    return { place, text, id: own, minted: false };
  }
  const given = id as string | undefined ?? newId();
  return { place, text: withId(text, given), id: given, minted: id === undefined };
}

/** Undefined: there is no such field; null: it cannot be one. */
function idOf(document: object, field: string): string | null {
  const value = Object.hasOwn(document, field) ? (document as Record<string, unknown>)[field] : undefined;
  if (typeof value === "string" && value !== "") return value;
  return Number.isSafeInteger(value) ? String(value) : null;
}

/** The text is not written anew: numbers stay as they are. */
function withId(text: string, id: string): string {
  const rest = text.slice(text.indexOf("{") + 1);
  return `{"_id":${JSON.stringify(id)}${/^\s*\}/.test(rest) ? "" : ","}${rest}`;
}
