/** Changes of a part of a document: `PATCH`, and `POST …/conditional`, which changes it only if conditions hold. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentPatch, FieldCondition } from "../document/conditions.ts";
import { readConditions, readOperations, readPatch } from "../document/conditions.ts";
import { documentText, idText } from "../document/document_text.ts";
import { objectMembers } from "../document/json_members.ts";
import { collectionName, documentId } from "../document/names.ts";
import type { Edited } from "../engine/edits.ts";
import { patchDocument } from "../engine/edits.ts";
import type { Committed } from "../engine/plan.ts";
import type { EntryPlace, KeptAnswer } from "../engine/remembered.ts";
import { positionText } from "../storage/position_text.ts";
import { readBody } from "./body.ts";
import type { DescribeFailure } from "./failures.ts";
import { failureAnswer } from "./failures.ts";
import { keptAnswer, writeOnce } from "./idempotency.ts";
import { precondition } from "./preconditions.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

export function patchRoutes(
  dependencies: HttpDependencies,
  { onWrite }: Gates,
  describe: DescribeFailure,
): readonly Route[] {
  const route = (read: ReadAsked): Handler => onWrite(sayingSuccess(describe, edit(dependencies, read)));
  return [
    { path: "/collections/:collection/:id", patch: route(patchOnly) },
    { path: "/collections/:collection/:id/conditional", post: route(conditional) },
  ];
}

/** What fails says `success: false`, as what succeeds says `true`: the reference's clients of these routes look at it. */
export function sayingSuccess(describe: DescribeFailure, handler: Handler): Handler {
  return async (c) => {
    try {
      return await handler(c);
    } catch (error) {
      const failure = describe(error);
      return failureAnswer({ ...failure, body: { success: false, ...failure.body } });
    }
  };
}

interface Asked {
  readonly conditions: readonly FieldCondition[];
  readonly patch: DocumentPatch;
}

type ReadAsked = (body: Uint8Array, nestingMax: number) => Asked;

const patchOnly: ReadAsked = (body, nestingMax) => ({ conditions: [], patch: readPatch(body, nestingMax) });

const conditional: ReadAsked = (body, nestingMax) => {
  const { conditions, operations, ...unknown } = Object.fromEntries(objectMembers(body));
  // Elsewhere unknown members are left alone; here one that is misspelt would be a guard that is not there.
  if (Object.keys(unknown).length > 0) {
    throw new DfdbError("bad_request", "The body takes the members conditions and operations only");
  }
  if (operations === undefined) throw new DfdbError("bad_request", "There are no operations");
  return {
    conditions: conditions === undefined ? [] : readConditions(conditions, nestingMax),
    patch: { operations: readOperations(operations, nestingMax) },
  };
};

function edit(dependencies: HttpDependencies, read: ReadAsked): Handler {
  const { storage } = dependencies;
  const { documentBytesMax, nestingMax } = dependencies.limits;
  const documentLimits = { bytesMax: documentBytesMax, nestingMax };
  return async (c) => {
    const request = c.req.raw;
    const collection = collectionName(parameter(c, "collection"));
    const id = documentId(parameter(c, "id"));
    const demanded = precondition(request.headers);
    const sent = await readBody(request, documentBytesMax);
    const { conditions, patch } = read(sent, nestingMax);
    const documentBytes = storage.read((view) => {
      const info = view.collection(collection);
      return info === null ? 0 : view.document(info.number, id)?.body.length ?? 0;
    });
    const plan = patchDocument(
      { collection, id, conditions, patch, bytes: sent.length, documentBytes },
      demanded,
      documentLimits,
    );
    return await writeOnce(dependencies, request, sent, plan, editedAs(collection));
  };
}

/** What a client is told of a document that was edited. */
export function editedAnswer(collection: string, { value, position }: Committed<Edited>): Response {
  return keptAnswer(editedAs(collection)(value, position), position);
}

/** An edit is always an entry, so where that is, is the document's etag, too. */
function editedAs(collection: string): (value: Edited, at: EntryPlace) => KeptAnswer {
  return ({ id, body }, at) => {
    const etag = positionText(at, at.seq);
    const document = documentText(id, etag, body);
    const text = `{"success":true,"id":${
      idText(id)
    },"collection":"${collection}","etag":"${etag}","document":${document}}`;
    return { status: 200, headers: { etag: `"${etag}"` }, body: text };
  };
}
