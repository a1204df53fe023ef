/**
 * `POST /tx/batch`: writes over several collections, all or nothing, one entry of the log. The body is looked over whole
 * before anything is written, element by element, and the event loop gets its turn in between.
 */
import { hex, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import { documentBody } from "../document/json_text.ts";
import { objectMembers } from "../document/json_members.ts";
import { collectionName, documentId } from "../document/names.ts";
import type { TransactionOperation, TransactionOutcome } from "../engine/transaction.ts";
import { transaction } from "../engine/transaction.ts";
import { json, positionHeader } from "./answers.ts";
import { readBody } from "./body.ts";
import { separate } from "./bulk.ts";
import { refuseIdempotencyKey } from "./documents.ts";
import type { DescribeFailure } from "./failures.ts";
import { wasRolledBack } from "./failures.ts";
import type { Gates, Handler, Route } from "./route.ts";
import { Turns } from "./turns.ts";
import type { HttpDependencies } from "./types.ts";

export function transactionRoute(
  dependencies: HttpDependencies,
  { onWrite }: Gates,
  newId: () => DocumentId,
  describe: DescribeFailure,
): Route {
  const { clock, engine, random } = dependencies;
  const post: Handler = async (c) => {
    const request = c.req.raw;
    refuseIdempotencyKey(request);
    const startedMs = clock.monotonic();
    const operations = await readOperations(request, dependencies, newId);
    const transactionId = hex(random.bytes(16));
    const timed = (fields: Readonly<Record<string, unknown>>) => ({
      ...fields,
      timeMs: Math.round(clock.monotonic() - startedMs),
    });
    try {
      const { value, position } = await engine.submit(transaction(operations));
      const results = operations.map((operation, i) => resultOf(operation, value, i));
      const done = { success: true, transactionId, operationCount: operations.length, results };
      return json(timed(done), 200, positionHeader(position));
    } catch (error) {
      const { status, body, headers } = describe(error);
      const failed = { failedOpIndex: operations.length, ...body, rolledBack: wasRolledBack(error) };
      return json(timed({ success: false, transactionId, ...failed }), status, headers);
    }
  };
  return { path: "/tx/batch", post: onWrite(post) };
}

function resultOf(
  { op, collection, id }: TransactionOperation,
  found: TransactionOutcome,
  index: number,
): Readonly<Record<string, unknown>> {
  return op === "delete" ? { op, collection, id, deleted: found[index] } : { op, collection, id };
}

async function readOperations(
  request: Request,
  dependencies: HttpDependencies,
  newId: () => DocumentId,
): Promise<readonly TransactionOperation[]> {
  const { limits, clock } = dependencies, turns = new Turns(clock);
  const elements = await separate(await readBody(request, limits.bodyBytesMax), dependencies, turns);
  const read = operationReader(dependencies, newId), operations: TransactionOperation[] = [];
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
): (element: Uint8Array) => TransactionOperation {
  const bodyLimits = { bytesMax: limits.documentBytesMax, nestingMax: limits.nestingMax };
  return (element) => {
    const members = objectMembers(element), op = text(members, "op");
    if (op === "deleteByField") {
      throw new DfdbError(
        "bad_request",
        'the operation "deleteByField" is not built yet; nothing was written',
      );
    }
    if (op !== "insert" && op !== "replace" && op !== "delete") {
      throw new DfdbError("bad_request", '"op" must be "insert", "replace" or "delete"');
    }
    const collection = collectionName(text(members, "collection"));
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
