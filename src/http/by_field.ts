/**
 * Documents by the value of a field: `/collections/{c}/by/{field}/{value}`. The value is a text, which by the rule of the query language
 * equals the number that is written so. Reading and changing take the first match, deleting takes all.
 */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { readPatch } from "../document/conditions.ts";
import { fieldSteps } from "../document/field_path.ts";
import { eachStep } from "../document/json_find.ts";
import { documentBody } from "../document/json_text.ts";
import { collectionName, documentId } from "../document/names.ts";
import type { Precondition } from "../engine/commands.ts";
import { putDocument } from "../engine/commands.ts";
import { conflictCount } from "../engine/conflicts.ts";
import { patchDocument } from "../engine/edits.ts";
import type { Committed } from "../engine/plan.ts";
import type { QueryAnswer } from "../engine/query_types.ts";
import { parsePosition } from "../storage/position_text.ts";
import { json, jsonText, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import type { DescribeFailure } from "./failures.ts";
import { editedAnswer, sayingSuccess } from "./patch.ts";
import { precondition } from "./preconditions.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { parameter } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/** How often a match is looked for again that was changed before it was written. */
const attemptsMax = 10;

export function byFieldRoute(
  dependencies: HttpDependencies,
  { onRead, onWrite }: Gates,
  describe: DescribeFailure,
): Route {
  return {
    path: "/collections/:collection/by/:field/:value",
    get: onRead(read(dependencies)),
    put: onWrite(put(dependencies)),
    patch: onWrite(sayingSuccess(describe, patch(dependencies))),
    delete: onWrite(remove(dependencies)),
  };
}

/** What a path asks for. */
interface Asked {
  readonly collection: string;
  readonly field: string;
  readonly value: string;
  /** ` FROM ... WHERE ... = ?`, every name in quotes. */
  readonly matching: string;
  /** What answers say of keys in conflict, which have no document that could match. */
  readonly conflicts: { readonly conflicts?: number };
}

function asked(dependencies: HttpDependencies, c: Parameters<Handler>[0]): Asked {
  const collection = collectionName(parameter(c, "collection"));
  const field = parameter(c, "field"), value = parameter(c, "value");
  const matching = ` FROM ${quoted(collection)} WHERE ${pathSql(field)} = ?`;
  const inConflict = dependencies.storage.read((view) =>
    view.collection(collection) === null ? null : conflictCount(view, collection)
  );
  if (inConflict === null) {
    throw new DfdbError("collection_not_found", `There is no collection "${collection}"`);
  }
  const conflicts = inConflict === 0 ? {} : { conflicts: inConflict };
  return { collection, field, value, matching, conflicts };
}

/** A field's path in the query language. */
function pathSql(field: string): string {
  return fieldSteps(field).map((step, i) =>
    step === eachStep
      ? "[*]"
      : typeof step === "number"
      ? `[${step}]`
      : `${i === 0 ? "" : "."}${quoted(step)}`
  ).join("");
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function read(dependencies: HttpDependencies): Handler {
  const { queries, clock } = dependencies;
  return async (c) => {
    const startedMs = clock.monotonic(), wanted = asked(dependencies, c);
    const { collection, matching, value, conflicts } = wanted;
    const answer = await queries.run(`SELECT *${matching} LIMIT 1`, { parameters: [value] });
    const document = await firstRow(answer);
    if (document === null) throw noMatch(wanted);
    const executionTimeMs = took(clock, startedMs);
    const head = JSON.stringify({ collection, plan: answer.plan, executionTimeMs, ...conflicts });
    return jsonText(`${head.slice(0, -1)},"document":${document}}`);
  };
}

function put(dependencies: HttpDependencies): Handler {
  const { engine, limits } = dependencies;
  const bodyLimits = { bytesMax: limits.documentBytesMax, nestingMax: limits.nestingMax };
  return async (c) => {
    const request = c.req.raw, wanted = asked(dependencies, c);
    const demanded = precondition(request.headers);
    const sent = documentBody(await readBody(request, limits.documentBytesMax), bodyLimits);
    const { done, plan } = await onFirst(dependencies, wanted, demanded, (id, unchanged) => {
      if (sent.id !== null && sent.id !== id) {
        throw new DfdbError("bad_request", "_id in the body is not the id of the document that matches");
      }
      return engine.submit(putDocument(wanted.collection, { id, body: sent.body }, unchanged));
    });
    const { collection, field, value, conflicts } = wanted;
    return json(
      { success: true, id: done.value.id, collection, matchedBy: { field, value }, plan, ...conflicts },
      200,
      positionHeader(done.position),
    );
  };
}

function patch(dependencies: HttpDependencies): Handler {
  const { engine, storage, limits } = dependencies;
  const documentLimits = { bytesMax: limits.documentBytesMax, nestingMax: limits.nestingMax };
  return async (c) => {
    const request = c.req.raw, wanted = asked(dependencies, c), { collection } = wanted;
    const demanded = precondition(request.headers);
    const sent = await readBody(request, limits.documentBytesMax);
    const change = readPatch(sent, limits.nestingMax);
    const { done } = await onFirst(dependencies, wanted, demanded, (id, unchanged) => {
      const documentBytes = storage.read((view) => {
        const info = view.collection(collection);
        return info === null ? 0 : view.document(info.number, id)?.body.length ?? 0;
      });
      const edit = { collection, id, conditions: [], patch: change, bytes: sent.length, documentBytes };
      return engine.submit(patchDocument(edit, unchanged, documentLimits));
    });
    return editedAnswer(collection, done);
  };
}

function remove(dependencies: HttpDependencies): Handler {
  const { queries, clock } = dependencies;
  return async (c) => {
    const startedMs = clock.monotonic(), { collection, matching, value, conflicts } = asked(dependencies, c);
    const { affected, plan, position } = await queries.run(`DELETE${matching}`, { parameters: [value] });
    return json(
      {
        success: true,
        collection,
        deletedCount: affected,
        plan,
        executionTimeMs: took(clock, startedMs),
        ...conflicts,
      },
      200,
      position === null ? {} : positionHeader(position),
    );
  };
}

/** The document was changed after it was found. Never seen outside. */
class Changed extends DfdbError {
  constructor() {
    super("conflict", "The document was changed");
  }
}

/** Changes the first match; looked for again when somebody else was quicker, for it may match no more. */
async function onFirst<Value>(
  { queries }: HttpDependencies,
  wanted: Asked,
  demanded: Precondition,
  change: (id: DocumentId, unchanged: Precondition) => Promise<Committed<Value>>,
): Promise<{ readonly done: Committed<Value>; readonly plan: string }> {
  const { value, matching } = wanted;
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const answer = await queries.run(`SELECT _id, _etag${matching} LIMIT 1`, { parameters: [value] });
    const row = await firstRow(answer);
    if (row === null) throw noMatch(wanted);
    const found = JSON.parse(row) as { readonly _id: string; readonly _etag: string };
    const { seq } = parsePosition(found._etag);
    const unchanged: Precondition = (current, view) => {
      if (current !== seq) throw new Changed();
      demanded(current, view);
    };
    try {
      return { done: await change(documentId(found._id), unchanged), plan: answer.plan };
    } catch (error) {
      if (!(error instanceof Changed)) throw error;
    }
  }
  throw new DfdbError("busy", "The document is being changed all the time; nothing was written");
}

async function firstRow({ whole, rows }: QueryAnswer): Promise<string | null> {
  if (whole !== null) return whole[0] ?? null;
  for await (const [row] of rows) if (row !== undefined) return row;
  return null;
}

function noMatch({ collection, field, conflicts: details }: Asked): DfdbError {
  const message = `No document of "${collection}" has that value in ${JSON.stringify(field)}`;
  return new DfdbError("not_found", message, { details });
}

function took(clock: HttpDependencies["clock"], startedMs: number): number {
  return Math.round((clock.monotonic() - startedMs) * 100) / 100;
}
