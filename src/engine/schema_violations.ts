/**
 * How many documents do not meet the schema of their collection: it is about what is written here, so what other masters sent and what was
 * there before it may not.
 */
import type { CollectionNumber } from "../base/ids.ts";
import { membersOf } from "../document/schema_check.ts";
import type { ReadView } from "../storage/storage.ts";
import type { Setting } from "./collection_settings.ts";
import { brokenReference } from "./rules_references.ts";
import type { CollectionSchema } from "./rules_schema.ts";
import { keptSchema, takesTooLong, violationOf } from "./rules_schema.ts";

/** Documents of a slice. */
const page = { documentsMax: 500, bytesMax: 1024 * 1024 };

/**
 * Documents of the collection that a write of them as they are would be refused for; null: this version cannot read the schema. Reads all of
 * the collection, a slice a step.
 */
export function* schemaViolations(view: ReadView, setting: Setting): Generator<void, number | null, void> {
  const schema = keptSchema(setting), info = view.collection(setting.collection);
  if (schema.unreadable !== null) return null;
  let found = 0;
  if (info === null) return found;
  const violates = judge(view, schema);
  for (let after: number | null = 0; after !== null;) {
    const { documents, next } = view.page(info.number, after, page);
    for (const { body } of documents) if (violates(body)) found++;
    yield;
    after = next;
  }
  return found;
}

function judge(view: ReadView, schema: CollectionSchema): (body: string) => boolean {
  const targets = new Map<string, CollectionNumber | null>();
  for (const { collection } of schema.refs) {
    targets.set(collection, view.collection(collection)?.number ?? null);
  }
  return (body) => {
    const members = membersOf(body, schema.members);
    if (takesTooLong(schema, members) || violationOf(schema, members) !== null) return true;
    const broken = brokenReference(schema, members, ({ collection }, id) => {
      const number = targets.get(collection) ?? null;
      return number !== null && view.documentSeq(number, id) !== 0;
    });
    return broken !== null;
  };
}
