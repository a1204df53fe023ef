/** A collection's schema, ready to be asked. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import type { Members, Violation } from "../document/schema_check.ts";
import { firstViolation, membersOf } from "../document/schema_check.ts";
import type { DocumentSchema, SchemaDefinition } from "../document/schema_definition.ts";
import { documentSchema, readSchema } from "../document/schema_definition.ts";
import type { Setting } from "./collection_settings.ts";
import type { Check } from "./rules_checks.ts";
import { failedCheck, readCheck } from "./rules_checks.ts";

export interface CollectionSchema extends DocumentSchema {
  readonly checks: readonly Check[];
  /** Members that it speaks of, and how many of its rules do. */
  readonly members: ReadonlyMap<string, number>;
  /** Why nothing can be checked against it; null: all is well. */
  readonly unreadable: DfdbError | null;
}

/** What may be walked through for one document, UTF-16 units: more would hold the event loop too long. */
const walkedCharsMax = 64 * 1024 * 1024;

/** Throws `bad_request` for a check that is none. */
export function compiledSchema(definition: SchemaDefinition): CollectionSchema {
  const schema = documentSchema(definition), { required, types, refs } = schema;
  const checks = definition.checks.map((text, i) => {
    try {
      return readCheck(text);
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      const details = { ...error.details, field: `checks.${i}` };
      throw new DfdbError(error.code, `checks.${i}: ${error.message}`, { details });
    }
  });
  const members = new Map<string, number>();
  const counted = (name: string, passes: number) => members.set(name, (members.get(name) ?? 0) + passes);
  for (const { member } of [...required, ...types, ...refs]) counted(member, 1);
  for (const { paths } of checks) for (const { steps } of paths) counted(String(steps[0]), 2);
  return { ...schema, checks, members, unreadable: null };
}

/** From what is kept in the collection `_settings`. One that a newer version wrote and this one does not know lets nothing pass. */
export function keptSchema({ collection, text }: Setting): CollectionSchema {
  try {
    return compiledSchema(readSchema(text));
  } catch (error) {
    if (!(error instanceof DfdbError)) throw error;
    const unreadable = new DfdbError(
      "conflict",
      `This version cannot read the schema of "${collection}" (${error.message}); set it again, or remove it`,
      { cause: error },
    );
    return { required: [], types: [], refs: [], checks: [], members: new Map(), unreadable };
  }
}

/**
 * The members of a document that its schema speaks of. Throws `schema_violation` for one that does not meet it,
 * `payload_too_large` for one that is too large to be asked so many questions.
 */
export function checkedMembers(
  schema: CollectionSchema,
  collection: string,
  body: Uint8Array,
  where: Where,
): Members {
  if (schema.unreadable !== null) throw schema.unreadable;
  const members = membersOf(utf8Text(body), schema.members);
  if (takesTooLong(schema, members)) {
    throw new DfdbError(
      "payload_too_large",
      `The fields that the schema of "${collection}" speaks of take too long to be looked through; make them smaller, or the rules fewer`,
      { details: { ...where } },
    );
  }
  const found = violationOf(schema, members);
  if (found !== null) throw violates(found, collection, where);
  return members;
}

/** More than may be asked of one document. */
export function takesTooLong(schema: CollectionSchema, members: Members): boolean {
  let walked = 0;
  for (const [name, text] of members) walked += text.length * (schema.members.get(name) ?? 0);
  return walked > walkedCharsMax;
}

/** What a document with these members does wrong, but for what it refers to; null: nothing. */
export function violationOf(schema: CollectionSchema, members: Members): Violation | null {
  let found = firstViolation(schema, members);
  for (const check of schema.checks) found ??= failedCheck(check, members);
  return found;
}

/** Which document of an entry. */
export interface Where {
  readonly id: DocumentId;
  /** Place in the operations of the entry as the plan made it. */
  readonly operation: number;
}

export function violates({ field, rule, message }: Violation, collection: string, where: Where): DfdbError {
  return new DfdbError("schema_violation", `The schema of "${collection}" is violated: ${message}`, {
    details: { field, rule, ...where },
  });
}
