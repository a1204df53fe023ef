/** Indexes: which there are, making and dropping them, filling them anew. */
import * as v from "valibot";
import { utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { fieldSteps } from "../document/field_path.ts";
import { pathText } from "../document/json_find.ts";
import { collectionName } from "../document/names.ts";
import type { IndexDefinition } from "../document/operation.ts";
import {
  clientIndexes,
  createIndex,
  defaultIndexName,
  dropIndex,
  rebuildIndexes,
} from "../engine/build_index.ts";
import { json, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import { refuseIdempotencyKey } from "./idempotency.ts";
import { readQuery, violationsQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

const bodyBytesMax = 64 * 1024;

const indexBody = v.object({
  collection: v.string(),
  path: v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1, "names no path"))]),
  name: v.nullish(v.string()),
  unique: v.nullish(v.boolean()),
});

export function indexRoutes(dependencies: HttpDependencies, { onRead, onWrite }: Gates): readonly Route[] {
  return [
    { path: "/indexes/:collection", get: onRead(list(dependencies)) },
    { path: "/index", post: onWrite(create(dependencies)) },
    { path: "/index/:collection/:name", delete: onWrite(drop(dependencies)) },
    // On this node alone: the data is the same everywhere, the tables of keys are each node's own.
    { path: "/admin/rebuild-indexes/:collection", post: rebuildAll(dependencies) },
    { path: "/admin/rebuild-index/:collection/:name", post: rebuildOne(dependencies) },
  ];
}

function list({ storage, violations }: HttpDependencies): Handler {
  return async (c) => {
    const asked = collectionName(parameter(c, "collection"));
    const wanted = readQuery(c.req.raw, violationsQuery).violations;
    const found = storage.read((view) => {
      const info = view.collection(asked);
      return info === null ? null : { name: info.name, indexes: clientIndexes(view, info.number) };
    });
    const listed = found?.indexes ?? [];
    const counted = wanted && listed.some(({ unique }) => unique) ? await violations.ofIndexes(asked) : null;
    const indexes = listed.map(({ name, paths, unique, entries, ready }) => ({
      name,
      path: pathsText(paths),
      unique,
      entries,
      ready,
      ...(counted !== null && unique ? { violations: counted.get(name) ?? null } : {}),
    }));
    return json({ collection: found?.name ?? asked, indexes });
  };
}

function create(dependencies: HttpDependencies): Handler {
  return async (c) => {
    const request = c.req.raw;
    refuseIdempotencyKey(request, "The making of an index is not remembered");
    const asked = readIndex(await readBody(request, bodyBytesMax));
    const collection = collectionName(asked.collection);
    const paths = pathsOf(asked.path);
    const name = asked.name ?? defaultIndexName(collection, paths);
    const definition: IndexDefinition = { name, unique: asked.unique ?? false, time: false, paths };
    const made = await createIndex(dependencies, collection, definition, { createsCollection: true });
    const message = `Created index '${made.name}' on ${made.collection}(${
      pathsText(paths)
    }) with ${made.entries} entries`;
    return json(
      { success: true, message, name: made.name, totalIndexes: made.indexes },
      200,
      positionHeader(made.position),
    );
  };
}

function drop(dependencies: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection"));
    const { name, position } = await dropIndex(dependencies, collection, parameter(c, "name"));
    const message = `Dropped index '${name}'`;
    return json({ success: true, message, dropped: name }, 200, positionHeader(position));
  };
}

function rebuildAll(dependencies: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection")), took = timer(dependencies);
    const indexesRebuilt = await rebuildIndexes(dependencies, collection, null);
    return json({ success: true, collection, indexesRebuilt, timeMs: took() });
  };
}

function rebuildOne(dependencies: HttpDependencies): Handler {
  return async (c) => {
    const collection = collectionName(parameter(c, "collection")), took = timer(dependencies);
    const indexName = parameter(c, "name");
    await rebuildIndexes(dependencies, collection, indexName);
    return json({ success: true, collection, indexName, timeMs: took() });
  };
}

function timer({ clock }: HttpDependencies): () => number {
  const startedMs = clock.monotonic();
  return () => Math.round(clock.monotonic() - startedMs);
}

function readIndex(sent: Uint8Array): v.InferOutput<typeof indexBody> {
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(sent));
  } catch (cause) {
    throw new DfdbError("bad_request", "The body is not valid JSON", { cause });
  }
  const result = v.safeParse(indexBody, value);
  if (result.success) return result.output;
  const issue = result.issues[0], field = v.getDotPath(issue) ?? "";
  throw new DfdbError("bad_request", `The index${field === "" ? "" : `'s ${field}`}: ${issue.message}`);
}

/** `a.b`, `a, b`, or a list of them. */
function pathsOf(path: string | readonly string[]): IndexDefinition["paths"] {
  const texts = typeof path === "string" ? path.split(",").map((text) => text.trim()) : path;
  return texts.map(fieldSteps);
}

export function pathsText(paths: IndexDefinition["paths"]): string {
  return paths.map((steps) => pathText(steps)).join(", ");
}
