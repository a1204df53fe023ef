/** One document: read, write, delete, insert. The first two are the hot paths: see DESIGN.md. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentBody } from "../document/json_text.ts";
import { collectionName, documentId } from "../document/names.ts";
import type { Written } from "../engine/commands.ts";
import { deleteDocument, insertDocument, putDocument } from "../engine/commands.ts";
import type { Committed } from "../engine/plan.ts";
import { etagText, positionText } from "../storage/position_text.ts";
import { documentPath, jsonText, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import { documentText, idText } from "./document_text.ts";
import { precondition } from "./preconditions.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

export function documentRoute(dependencies: HttpDependencies, { onRead, onWrite }: Gates): Route {
  return {
    path: "/collections/:collection/:id",
    get: onRead(read(dependencies)),
    put: onWrite(put(dependencies)),
    delete: onWrite(remove(dependencies)),
  };
}

function read({ storage }: HttpDependencies): Handler {
  return (c) => {
    const name = collectionName(parameter(c, "collection"));
    const id = documentId(parameter(c, "id"));
    const document = storage.read((view) => {
      const collection = view.collection(name);
      return collection === null ? null : view.document(collection.number, id);
    });
    if (document === null) throw new DfdbError("not_found", `There is no document "${id}" in "${name}"`);
    const etag = etagText(storage.log.terms, document.seq);
    return new Response(documentText(document, etag), {
      headers: { "content-type": "application/json", etag: `"${etag}"` },
    });
  };
}

function put(dependencies: HttpDependencies): Handler {
  const { engine, storage } = dependencies;
  const { documentBytesMax, nestingMax } = dependencies.limits;
  const bodyLimits = { bytesMax: documentBytesMax, nestingMax };
  return async (c) => {
    const request = c.req.raw;
    const name = collectionName(parameter(c, "collection"));
    const id = documentId(parameter(c, "id"));
    const demanded = precondition(request.headers, storage.log);
    const sent = documentBody(await readBody(request, documentBytesMax), bodyLimits);
    if (sent.id !== null && sent.id !== id) {
      throw new DfdbError("bad_request", "_id in the body is not the id in the path");
    }
    const done = await engine.submit(putDocument(name, { id, body: sent.body }, demanded));
    return writtenAnswer(dependencies, name, done);
  };
}

/** `POST /collections/{c}`: the id is in the body, or the server makes one. */
export function insert(dependencies: HttpDependencies, newId: () => DocumentId): Handler {
  const { engine } = dependencies;
  const { documentBytesMax, nestingMax } = dependencies.limits;
  const bodyLimits = { bytesMax: documentBytesMax, nestingMax };
  return async (c) => {
    const request = c.req.raw;
    refuseIdempotencyKey(request);
    const name = collectionName(parameter(c, "collection"));
    const sent = documentBody(await readBody(request, documentBytesMax), bodyLimits);
    const id = sent.id ?? newId();
    const done = await engine.submit(insertDocument(name, { id, body: sent.body }));
    return writtenAnswer(dependencies, name, done);
  };
}

function remove({ engine, storage }: HttpDependencies): Handler {
  return async (c) => {
    const name = collectionName(parameter(c, "collection"));
    const id = documentId(parameter(c, "id"));
    const { position } = await engine.submit(
      deleteDocument(name, id, precondition(c.req.raw.headers, storage.log)),
    );
    return jsonText('{"success":true}', 200, positionHeader(position));
  };
}

function writtenAnswer(dependencies: HttpDependencies, name: string, done: Committed<Written>): Response {
  const { value: { id, seq, created }, position } = done;
  const at = positionText(position, position.seq);
  // The plan's own entry is nearly always the end of the log as the plan left it.
  const etag = position.seq === seq ? at : etagText(dependencies.storage.log.terms, seq);
  const text = `{"success":true,"id":${idText(id)},"collection":"${name}","etag":"${etag}"}`;
  if (!created) {
    return new Response(text, { headers: { "content-type": "application/json", "x-dfdb-position": at } });
  }
  return jsonText(text, 201, { "x-dfdb-position": at, location: documentPath(name, id) });
}

/** A client that sends one relies on it. Until it is built, saying so is the only safe answer. */
export function refuseIdempotencyKey(request: Request): void {
  if (request.headers.get("idempotency-key") === null) return;
  throw new DfdbError("bad_request", "Idempotency-Key is not built yet; nothing was written");
}
