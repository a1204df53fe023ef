/** One document: read, write, delete, insert. The first two are the hot paths: see DESIGN.md. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentText, idText } from "../document/document_text.ts";
import { documentBody } from "../document/json_text.ts";
import { collectionName, documentId } from "../document/names.ts";
import type { Written } from "../engine/commands.ts";
import { deleteDocument, insertDocument, putDocument } from "../engine/commands.ts";
import type { Committed } from "../engine/plan.ts";
import { etagText, positionText } from "../storage/position_text.ts";
import { documentPath, jsonText, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import { writeOnce } from "./idempotency.ts";
import { precondition } from "./preconditions.ts";
import { documentQuery, readQuery } from "./query.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import { absentAnswer, documentAnswer } from "./shown_document.ts";
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
    const request = c.req.raw;
    if (request.url.includes("?") && readQuery(request, documentQuery).metadata) {
      return documentAnswer(storage, { collection: name, id }, { metadata: true, headers: false });
    }
    const document = storage.read((view) => {
      const collection = view.collection(name);
      return collection === null ? null : view.document(collection.number, id);
    });
    if (document === null) return absentAnswer(storage, { collection: name, id });
    const etag = etagText(storage.log.terms, document.seq);
    return new Response(documentText(document.id, etag, document.body), {
      headers: { "content-type": "application/json", etag: `"${etag}"` },
    });
  };
}

function put(dependencies: HttpDependencies): Handler {
  const { engine } = dependencies;
  const { documentBytesMax, nestingMax } = dependencies.limits;
  const bodyLimits = { bytesMax: documentBytesMax, nestingMax };
  return async (c) => {
    const request = c.req.raw;
    const name = collectionName(parameter(c, "collection"));
    const id = documentId(parameter(c, "id"));
    const demanded = precondition(request.headers);
    const sent = documentBody(await readBody(request, documentBytesMax), bodyLimits);
    if (sent.id !== null && sent.id !== id) {
      throw new DfdbError("bad_request", "_id in the body is not the id in the path");
    }
    const done = await engine.submit(putDocument(name, { id, body: sent.body }, demanded));
    return writtenAnswer(dependencies, name, done, documentPath(name, id));
  };
}

/** `POST /collections/{c}`: the id is in the body, or the server makes one. */
export function insert(dependencies: HttpDependencies, newId: () => DocumentId): Handler {
  const { documentBytesMax, nestingMax } = dependencies.limits;
  const bodyLimits = { bytesMax: documentBytesMax, nestingMax };
  return async (c) => {
    const request = c.req.raw;
    const name = collectionName(parameter(c, "collection"));
    const bytes = await readBody(request, documentBytesMax);
    const sent = documentBody(bytes, bodyLimits), id = sent.id ?? newId();
    const plan = insertDocument(name, { id, body: sent.body });
    return await writeOnce(dependencies, request, bytes, plan, (_, at) => ({
      status: 201,
      headers: { location: documentPath(name, id) },
      body: writtenText(name, id, positionText(at, at.seq)),
    }));
  };
}

function remove({ engine }: HttpDependencies): Handler {
  return async (c) => {
    const name = collectionName(parameter(c, "collection"));
    const id = documentId(parameter(c, "id"));
    const { position } = await engine.submit(
      deleteDocument(name, id, precondition(c.req.raw.headers)),
    );
    return jsonText('{"success":true}', 200, positionHeader(position));
  };
}

/** `path`: of a document that was created. */
export function writtenAnswer(
  dependencies: HttpDependencies,
  name: string,
  done: Committed<Written>,
  path: string,
): Response {
  const { value: { id, seq, created }, position } = done;
  const at = positionText(position, position.seq);
  // The plan's own entry is nearly always the end of the log as the plan left it.
  const etag = position.seq === seq ? at : etagText(dependencies.storage.log.terms, seq);
  const text = writtenText(name, id, etag);
  if (!created) {
    return new Response(text, { headers: { "content-type": "application/json", "x-dfdb-position": at } });
  }
  return jsonText(text, 201, { "x-dfdb-position": at, location: path });
}

function writtenText(name: string, id: DocumentId, etag: string): string {
  return `{"success":true,"id":${idText(id)},"collection":"${name}","etag":"${etag}"}`;
}
