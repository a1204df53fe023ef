/**
 * `POST /tx/batch`: writes over several collections, all or nothing, one entry of the log. The body is looked over whole
 * before anything is written, element by element, and the event loop gets its turn in between.
 */
import { hex, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { DocumentId } from "../base/ids.ts";
import { fieldSteps } from "../document/field_path.ts";
import { documentBody } from "../document/json_text.ts";
import { objectMembers } from "../document/json_members.ts";
import { collectionName, documentId } from "../document/names.ts";
import type { BatchOperation, BatchOutcome } from "../engine/transaction.ts";
import { transaction } from "../engine/transaction.ts";
import type { DeleteByField } from "../engine/delete_by_field.ts";
import type { Clock } from "../runtime/runtime.ts";
import { json } from "./answers.ts";
import { readBody } from "./body.ts";
import { separate } from "./bulk.ts";
import type { DescribeFailure } from "./failures.ts";
import { wasRolledBack } from "./failures.ts";
import { writeOnce } from "./idempotency.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { Turns } from "./turns.ts";
import type { HttpDependencies } from "./types.ts";

export function transactionRoute(
  dependencies: HttpDependencies,
  { onWrite }: Gates,
  newId: () => DocumentId,
  describe: DescribeFailure,
): Route {
  const { clock, random } = dependencies;
  const post: Handler = async (c) => {
    const request = c.req.raw;
    const startedMs = clock.monotonic();
    const bytes = await readBody(request, dependencies.limits.bodyBytesMax);
    const operations = await readOperations(bytes, dependencies, newId);
    const transactionId = hex(random.bytes(16));
    const timed = (fields: Readonly<Record<string, unknown>>) => ({
      ...fields,
      timeMs: Math.round(clock.monotonic() - startedMs),
    });
    try {
      return await writeOnce(
        dependencies,
        request,
        bytes,
        transaction(operations, inTime(clock)),
        (found) => {
          const results = operations.map((operation, i) => resultOf(operation, found, i));
          const done = { success: true, transactionId, operationCount: operations.length, results };
          return { status: 200, headers: {}, body: JSON.stringify(timed(done)) };
        },
      );
    } catch (error) {
      const { status, body, headers } = describe(error);
      const failed = { failedOpIndex: operations.length, ...body, rolledBack: wasRolledBack(error) };
      return json(timed({ success: false, transactionId, ...failed }), status, headers);
    }
  };
  return { path: "/tx/batch", post: onWrite(post) };
}

/** Searches inside the transaction hold up whoever else writes. */
function inTime(clock: Clock): () => void {
  const untilMs = clock.monotonic() + limits.queryMsDefault;
  return () => {
    if (clock.monotonic() < untilMs) return;
    throw new DfdbError("query_timeout", "Looking for what to delete took too long; nothing was written");
  };
}

function resultOf(
  operation: BatchOperation,
  found: BatchOutcome,
  index: number,
): Readonly<Record<string, unknown>> {
  if (operation.op === "deleteByField") {
    const { op, collection, field, value } = operation;
    const sent = typeof value === "object" ? Number(value.number) : value;
    return { op, collection, field, value: sent, deleted: found[index] };
  }
  const { op, collection, id } = operation;
  return op === "delete" ? { op, collection, id, deleted: found[index] } : { op, collection, id };
}

async function readOperations(
  bytes: Uint8Array,
  dependencies: HttpDependencies,
  newId: () => DocumentId,
): Promise<readonly BatchOperation[]> {
  const turns = new Turns(dependencies.clock);
  const elements = await separate(bytes, dependencies, turns);
  const read = operationReader(dependencies, newId), operations: BatchOperation[] = [];
  for (const [index, element] of elements.entries()) {
    try {
      operations.push(read(element));
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      const details = { ...error.details, failedOpIndex: index };
      throw new DfdbError(error.code, `op[${index}]: ${error.message}`, { details });
    }
    if (index % 16 === 15 && turns.due()) await turns.next();
  }
  return operations;
}

function operationReader(
  { limits }: HttpDependencies,
  newId: () => DocumentId,
): (element: Uint8Array) => BatchOperation {
  const bodyLimits = { bytesMax: limits.documentBytesMax, nestingMax: limits.nestingMax };
  return (element) => {
    const members = objectMembers(element), op = text(members, "op");
    if (op !== "insert" && op !== "replace" && op !== "delete" && op !== "deleteByField") {
      throw new DfdbError("bad_request", '"op" must be "insert", "replace", "delete" or "deleteByField"');
    }
    const collection = collectionName(text(members, "collection"));
    if (op === "deleteByField") {
      const field = text(members, "field");
      fieldSteps(field);
      return { op, collection, field, value: fieldValue(members) };
    }
    if (op === "delete") return { op, collection, id: documentId(text(members, "id")) };
    const sent = members.get("doc");
    if (sent === undefined) throw new DfdbError("bad_request", '"doc" is missing');
    const { id: own, body } = documentBody(sent, bodyLimits);
    if (op === "insert") return { op, collection, id: own ?? newId(), body };
    const id = documentId(text(members, "id"));
    if (own !== null && own !== id) {
      throw new DfdbError("bad_request", '"_id" in "doc" is not the "id" of the operation');
    }
    return { op, collection, id, body };
  };
}

/** A string, a number or a boolean; a number keeps its text. */
function fieldValue(members: ReadonlyMap<string, Uint8Array>): DeleteByField["value"] {
  const bytes = members.get("value");
  if (bytes === undefined) throw new DfdbError("bad_request", '"value" is missing');
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(bytes));
  } catch (cause) {
    throw new DfdbError("bad_request", '"value" is not valid JSON', { cause });
  }
  if (typeof value === "number") return { number: utf8Text(bytes) };
  if (typeof value === "string" || typeof value === "boolean") return value;
  throw new DfdbError("bad_request", '"value" must be a string, a number or a boolean');
}

function text(members: ReadonlyMap<string, Uint8Array>, name: string): string {
  const bytes = members.get(name);
  if (bytes === undefined) throw new DfdbError("bad_request", `"${name}" is missing`);
  let value: unknown;
  try {
    value = JSON.parse(utf8Text(bytes));
  } catch (cause) {
    throw new DfdbError("bad_request", `"${name}" is not valid JSON`, { cause });
  }
  if (typeof value === "string") return value;
  throw new DfdbError("bad_request", `"${name}" must be a string`);
}
