/**
 * `/docs/{key}`: another door to the same documents. The collection is what stands before the first slash of the key, `_docs` where there
 * is none; `Raven/…` are system documents, which are an administrator's (`needed_scope.ts`).
 */
import { utf8, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentKey } from "../document/document_key.ts";
import { isSystemKey, keyText, parseKey } from "../document/document_key.ts";
import { documentBody } from "../document/json_text.ts";
import { strictJson } from "../document/strict_json.ts";
import { versionKey } from "../document/version_id.ts";
import { deleteDocument, putDocument } from "../engine/commands.ts";
import { json, jsonText, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import { writtenAnswer } from "./documents.ts";
import type { DestinationFailure } from "./master_types.ts";
import { precondition } from "./preconditions.ts";
import { documentQuery, readQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import { documentAnswer, versionAnswer } from "./shown_document.ts";
import type { HttpDependencies } from "./types.ts";

/** The others are the node's own, which may be read and deleted. */
export const writtenByPeople: ReadonlySet<string> = new Set([
  "Raven/Replication/Config",
  "Raven/Replication/Destinations",
]);

export function docsRoute(dependencies: HttpDependencies, { onRead, onWrite }: Gates): Route {
  return {
    path: "/docs/:key{.+}",
    get: onRead(read(dependencies)),
    put: onWrite(put(dependencies)),
    delete: onWrite(remove(dependencies)),
  };
}

function read({ storage, masters }: HttpDependencies): Handler {
  return (c) => {
    const text = parameter(c, "key"), version = versionKey(text);
    if (version !== null) return versionAnswer(storage, keyOf(storage, version.key), version.id);
    const { metadata } = readQuery(c.req.raw, documentQuery), key = keyOf(storage, text);
    const failure = isSystemKey(text) ? masters.failure(keyText(key)) : null;
    if (failure !== null) return failureAnswer(key, failure);
    return documentAnswer(storage, key, { metadata, headers: true });
  };
}

/** No document, and in no log: each node has its own, and it goes with the first success. */
function failureAnswer({ id }: DocumentKey, { url, count, error, atMs }: DestinationFailure): Response {
  return json({
    _id: id,
    Destination: url,
    FailureCount: count,
    LastError: error.message,
    lastErrorCode: error.code,
    LastFailureTimestamp: new Date(atMs).toISOString(),
  });
}

function put(dependencies: HttpDependencies): Handler {
  const { engine, storage } = dependencies;
  const { documentBytesMax, nestingMax } = dependencies.limits;
  return async (c) => {
    const request = c.req.raw, text = parameter(c, "key"), key = keyToWrite(storage, text);
    const demanded = precondition(request.headers);
    const bytes = await readBody(request, documentBytesMax);
    const sent = documentBody(isSystemKey(text) ? systemBody(key, bytes) : bytes, {
      bytesMax: documentBytesMax,
      nestingMax,
    });
    if (sent.id !== null && sent.id !== key.id) {
      throw new DfdbError("bad_request", "_id in the body is not the id in the key");
    }
    const done = await engine.submit(putDocument(key.collection, { id: key.id, body: sent.body }, demanded));
    return writtenAnswer(dependencies, key.collection, done, `/docs/${encodeURIComponent(keyText(key))}`);
  };
}

function remove({ engine, storage }: HttpDependencies): Handler {
  return async (c) => {
    const { collection, id } = keyToWrite(storage, parameter(c, "key"));
    const demanded = precondition(c.req.raw.headers);
    const { position } = await engine.submit(deleteDocument(collection, id, demanded));
    return jsonText('{"success":true}', 200, positionHeader(position));
  };
}

function keyOf(storage: HttpDependencies["storage"], text: string): DocumentKey {
  if (text === "api") throw new DfdbError("reserved_id", "/docs/api is no document");
  if (isSystemKey(text) && storage.read((view) => view.versions === null)) {
    throw new DfdbError("bundle_not_active", "This database was made without the replication bundle");
  }
  return parseKey(text);
}

/** Versions are what was written: nobody writes or deletes them under their own keys. */
function keyToWrite(storage: HttpDependencies["storage"], text: string): DocumentKey {
  if (versionKey(text) === null) return keyOf(storage, text);
  const allow = "GET, HEAD";
  throw new DfdbError("method_not_allowed", `A version is read only: this path takes ${allow}`, {
    details: { allow },
  });
}

/** People write it by hand, with comments and a comma after the last entry. */
function systemBody(key: DocumentKey, bytes: Uint8Array): Uint8Array {
  if (!writtenByPeople.has(keyText(key))) {
    throw new DfdbError(
      "bad_request",
      `Of the system documents ${
        [...writtenByPeople].join(" and ")
      } can be written; the others are the node's own`,
    );
  }
  return utf8(strictJson(utf8Text(bytes)));
}
