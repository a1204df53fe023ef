/** The schema of a collection: what the documents that are written to it must be. */
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { collectionName } from "../document/names.ts";
import type { SchemaDefinition } from "../document/schema_definition.ts";
import { readSchema } from "../document/schema_definition.ts";
import { removeSchema, schemaText, setSchema } from "../engine/rules_setting.ts";
import { json, jsonText, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import { readQuery, violationsQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/** Of a request, whitespace included. */
const bodyBytesMax = 4 * limits.settingCharsMax;

export function schemaRoute(dependencies: HttpDependencies, { onRead, onWrite }: Gates): Route {
  return {
    path: "/collections/:collection/schema",
    get: onRead(read(dependencies)),
    put: onWrite(put(dependencies)),
    delete: onWrite(remove(dependencies)),
  };
}

function read({ storage, violations }: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection"));
    const wanted = readQuery(c.req.raw, violationsQuery).violations;
    const text = storage.read((view) => schemaText(view, collection));
    if (text === null) throw new DfdbError("not_found", `The collection "${collection}" has no schema`);
    if (!wanted) return jsonText(text);
    const counted = await violations.ofSchema(collection, text);
    return json({ ...JSON.parse(text) as Record<string, unknown>, violations: counted });
  };
}

function put({ engine }: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection"));
    const schema = definition(await readBody(c.req.raw, bodyBytesMax));
    const { position } = await engine.submit(setSchema(collection, schema));
    return json({ success: true, schema }, 200, positionHeader(position));
  };
}

function remove({ engine }: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection"));
    const { position } = await engine.submit(removeSchema(collection));
    return json({ success: true, collection, removed: true }, 200, positionHeader(position));
  };
}

function definition(body: Uint8Array): SchemaDefinition {
  let text: string;
  try {
    text = utf8Text(body);
  } catch (cause) {
    throw new DfdbError("bad_request", "The body is not UTF-8", { cause });
  }
  return readSchema(text);
}
