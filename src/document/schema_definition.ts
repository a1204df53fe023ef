/** What the schema of a collection may say, and how it is written down. */
import * as v from "valibot";
import { DfdbError } from "../base/errors.ts";
import { fieldSteps } from "./field_path.ts";
import type { Step } from "./json_find.ts";
import { eachStep } from "./json_find.ts";
import { reservedMembers } from "./json_scan.ts";
import { compactValue } from "./json_value.ts";
import { collectionName } from "./names.ts";

export const schemaTypes = ["string", "int", "number", "bool", "datetime", "object", "array"] as const;
export type SchemaType = typeof schemaTypes[number];

/** As clients send and get it, everything in its place. */
export interface SchemaDefinition {
  /** Fields that must be there and not be null. */
  readonly required: readonly string[];
  /** What a field must be where it is there and not null; with `[*]` each of them. */
  readonly types: Readonly<Record<string, SchemaType>>;
  /** Conditions of the query language that may not be false. */
  readonly checks: readonly string[];
  readonly refs: readonly ReferenceDefinition[];
}

export interface ReferenceDefinition {
  readonly field: string;
  readonly collection: string;
  /** `_id`: nothing else can be referred to. */
  readonly targetField: "_id";
  /** What happens to the documents that refer to a document when it is deleted. */
  readonly onDelete: "restrict" | "setNull" | "cascade";
}

/** A field and where it is: in which member of the document, and where in that. */
export interface Field {
  readonly field: string;
  readonly member: string;
  readonly rest: readonly Step[];
}

/** A schema that is ready to be used: without its checks, which are of the query language. */
export interface DocumentSchema {
  readonly required: readonly Field[];
  readonly types: readonly (Field & { readonly type: SchemaType })[];
  readonly refs: readonly (Field & ReferenceDefinition)[];
}

/** Rules of one schema, all together: each is asked of each document that is written. */
export const schemaRulesMax = 200;
const fieldCharsMax = 500, checkCharsMax = 4_000, nestingMax = 8;

const short = (charsMax: number) => v.pipe(v.string(), v.minLength(1), v.maxLength(charsMax));

const reference = v.strictObject({
  field: short(fieldCharsMax),
  collection: v.string(),
  targetField: v.optional(
    v.literal("_id", "must be _id: an id never changes, so that only a delete can break a reference"),
    "_id",
  ),
  onDelete: v.optional(v.picklist(["restrict", "setNull", "cascade"]), "restrict"),
});

const definition = v.strictObject({
  required: v.optional(v.array(short(fieldCharsMax)), []),
  // Not v.record: it leaves out keys like "constructor" without a word.
  types: v.optional(v.custom<object>(isObject, "must be an object of fields and types"), {}),
  checks: v.optional(v.array(short(checkCharsMax)), []),
  refs: v.optional(v.array(reference), []),
});

/**
 * The schema that a JSON text is, of a request or as it was kept. Throws `bad_request` that names what is wrong: anything but this form, a field
 * that is none, more than {@linkcode schemaRulesMax} rules. Whether its checks are conditions is not looked at.
 */
export function readSchema(text: string): SchemaDefinition {
  const given: unknown = JSON.parse(compactValue(text, nestingMax));
  if (!isObject(given)) throw new DfdbError("bad_request", "A schema is a JSON object");
  const result = v.safeParse(definition, given);
  if (!result.success) {
    const issue = result.issues[0];
    throw wrong(v.getDotPath(issue) ?? "schema", issue.message);
  }
  const { required, checks, refs } = result.output;
  const types = new Map<string, SchemaType>();
  for (const [field, type] of Object.entries(result.output.types)) types.set(field, schemaType(field, type));
  const rules = required.length + types.size + checks.length + refs.length;
  if (rules > schemaRulesMax) {
    throw wrong("schema", `${rules} rules; there may be ${schemaRulesMax}`);
  }
  const read: SchemaDefinition = {
    required,
    types: Object.fromEntries(types),
    checks,
    refs: refs.map((ref, i) => ({ ...ref, collection: named(ref.collection, i) })),
  };
  checkTogether(documentSchema(read));
  return read;
}

/** Throws `bad_request` for a field that is none. */
export function documentSchema({ required, types, refs }: SchemaDefinition): DocumentSchema {
  return {
    required: required.map((field, i) => fieldOf(field, `required.${i}`)),
    types: Object.entries(types).map(([field, type]) => ({ ...fieldOf(field, `types.${field}`), type })),
    refs: refs.map((ref, i) => ({ ...ref, ...fieldOf(ref.field, `refs.${i}.field`) })),
  };
}

function fieldOf(field: string, where: string): Field {
  if (field.length > fieldCharsMax) throw wrong(where.slice(0, 60), "a field of too many characters");
  let steps: readonly Step[];
  try {
    steps = fieldSteps(field);
  } catch (error) {
    throw error instanceof DfdbError ? wrong(where, error.message) : error;
  }
  const [member, ...rest] = steps;
  if (typeof member !== "string" || (reservedMembers as readonly string[]).includes(member)) {
    throw wrong(where, `${field} is not the document's own; a schema is about what clients write`);
  }
  return { field, member, rest };
}

function checkTogether({ required, refs }: DocumentSchema): void {
  for (const [i, { field, rest, onDelete }] of refs.entries()) {
    if (onDelete !== "setNull") continue;
    if (rest.includes(eachStep)) {
      throw wrong(`refs.${i}.onDelete`, "setNull is for a field without [*]; take restrict or cascade");
    }
    if (required.some((other) => other.field === field)) {
      throw wrong(`refs.${i}.onDelete`, `setNull would break what "required" says of ${field}`);
    }
  }
}

function schemaType(field: string, given: unknown): SchemaType {
  const type = schemaTypes.find((known) => known === given);
  if (type !== undefined) return type;
  throw wrong(`types.${field.slice(0, 60)}`, `must be one of ${schemaTypes.join(", ")}`);
}

function named(collection: string, index: number): string {
  try {
    return collectionName(collection);
  } catch (error) {
    throw error instanceof DfdbError ? wrong(`refs.${index}.collection`, error.message) : error;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(field: string, message: string): DfdbError {
  return new DfdbError("bad_request", `${field}: ${message}`, { details: { field } });
}
