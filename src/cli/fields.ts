/** Reads answers of nodes that may be older or newer than this program: what is missing or of another type is null. */

export type Fields = Readonly<Record<string, unknown>>;

/** The object `value`, or one without fields. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Fields : {};
}

/** The object in `value`, null when there is none. */
export function fieldsOrNull(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Fields : null;
}

/** A text that is not empty. */
export function textIn(fields: Fields, name: string): string | null {
  const value = fields[name];
  return typeof value === "string" && value !== "" ? value : null;
}

export function numberIn(fields: Fields, name: string): number | null {
  const value = fields[name];
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/** The objects in a list. */
export function listIn(fields: Fields, name: string): readonly Fields[] {
  const value = fields[name];
  return Array.isArray(value) ? value.map(fieldsOrNull).filter((each) => each !== null) : [];
}
