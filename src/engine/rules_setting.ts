/** Setting, reading and removing the schema of a collection. */
import type { SchemaDefinition } from "../document/schema_definition.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import { removeSetting, setSetting, settingOf } from "./collection_settings.ts";
import type { Plan } from "./plan.ts";
import { indexesFor, noIndex } from "./rules_references.ts";
import type { CollectionSchema } from "./rules_schema.ts";
import { compiledSchema } from "./rules_schema.ts";

/**
 * Sets or replaces it. What is there already is not looked at: a schema is about what is written from now on. Throws at once `bad_request`
 * for a check that is no condition; the plan throws `conflict` where a reference has no index on its field, `payload_too_large`.
 */
export function setSchema(collection: string, definition: SchemaDefinition): Plan<void> {
  const schema = compiledSchema(definition);
  return setSetting(collection, "schema", JSON.stringify(definition), (tx) => {
    checkIndexes(tx, collection, schema);
  });
}

/** JSON text of the definition; null: there is none. */
export function schemaText(view: ReadView, collection: string): string | null {
  return settingOf(view, collection, "schema");
}

/** Throws `not_found` where there is none. */
export function removeSchema(collection: string): Plan<void> {
  return removeSetting(collection, "schema");
}

function checkIndexes(tx: WriteTransaction, collection: string, { refs }: CollectionSchema): void {
  const info = tx.collection(collection);
  for (const ref of refs) {
    if (info !== null && indexesFor(tx, info.number, ref).length > 0) continue;
    throw noIndex(info?.name ?? collection, ref);
  }
}
