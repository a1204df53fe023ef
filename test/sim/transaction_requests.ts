/** `POST /tx/batch`: several changes, one write; what counts is what they come to. */
import type { Told } from "./answers.ts";
import { brief, check, exactly, isObject, isServerId, positionOf, refusedWrite } from "./answers.ts";
import type { Content, Judged, Request } from "./requests.ts";
import type { WrittenDocument } from "./types.ts";

/** `id` null: the server makes it. */
export type Operation =
  | {
    readonly op: "insert";
    readonly collection: string;
    readonly id: string | null;
    readonly content: Content;
  }
  | { readonly op: "replace"; readonly collection: string; readonly id: string; readonly content: Content }
  | { readonly op: "delete"; readonly collection: string; readonly id: string };

export function transaction(operations: readonly Operation[]): Request {
  const tried = { documents: effects(operations.map((operation) => ({ ...operation, deleted: null }))) };
  return {
    kind: "transaction",
    ask: { method: "POST", path: "/tx/batch", body: `[${operations.map(textOf).join(",")}]` },
    intents: tried.documents.length === 0 ? [] : [tried],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code !== null) {
        const outcome = judgeFailure(answer, operations);
        return {
          writes: tried.documents.length === 0 ? [] : [{ ...tried, outcome, position: null }],
          reads: [],
        };
      }
      return judgeDone(answer, operations);
    },
  };
}

export function textOf(operation: Operation): string {
  const { op, collection } = operation, head = `{"op":"${op}","collection":"${collection}"`;
  if (op === "insert") return `${head},"doc":${operation.content.text}}`;
  const id = `"id":${JSON.stringify(operation.id)}`;
  return op === "delete" ? `${head},${id}}` : `{"doc":${operation.content.text},${id},${head.slice(1)}}`;
}

/** An operation with what its answer told; `deleted` null: it did not say. */
type Done = Operation & { readonly deleted: boolean | null };

/** What one document goes through; `before`, `now`: whether it exists, null: that is not known. */
interface Course {
  readonly before: boolean | null;
  readonly now: boolean | null;
  readonly last: WrittenDocument;
}

/** What the operations come to. A document that came and went is none; one that may have been there is. */
function effects(operations: readonly Done[]): readonly WrittenDocument[] {
  const courses = new Map<string, Course>();
  operations.forEach((operation, index) => {
    const { collection, id } = operation, key = id === null ? `${index}` : `${collection} ${id}`;
    const before = courses.get(key)?.before;
    courses.set(key, {
      before: before === undefined ? existed(operation) : before,
      now: operation.op !== "delete",
      last: { collection, id, tag: operation.op === "delete" ? null : operation.content.tag },
    });
  });
  return [...courses.values()].filter(({ before, last }) => before !== false || last.tag !== null)
    .map(({ last }) => last);
}

/** Whether the document was there before the operation, which was carried out. */
function existed({ op, deleted }: Done): boolean | null {
  return op === "delete" ? deleted : op === "replace";
}

function judgeDone(answer: Told, operations: readonly Operation[]): Judged {
  const { transactionId, timeMs, results } = answer.body;
  check(
    answer.status === 200 && isServerId(transactionId) && Number.isSafeInteger(timeMs) &&
      Array.isArray(results) &&
      results.length === operations.length,
    () => `not the answer of a transaction: ${brief(answer)}`,
  );
  exactly(answer, { success: true, transactionId, operationCount: operations.length, results, timeMs });
  const done = operations.map((operation, index) => doneOf(answer, operation, results[index]));
  checkCourse(answer, done);
  const documents = effects(done), position = positionOf(answer), own = documents.length > 0;
  return {
    writes: own ? [{ documents, outcome: "promised", position }] : [],
    reads: [],
    end: { position, own },
  };
}

function doneOf(answer: Told, operation: Operation, result: unknown): Done {
  const { op, collection } = operation;
  const wrong = (): string =>
    `not the result of ${op} in ${collection}: ${JSON.stringify(result)} of ${brief(answer)}`;
  check(isObject(result) && result["op"] === op && result["collection"] === collection, wrong);
  const { id, deleted } = result;
  check(operation.id === null ? isServerId(id) : id === operation.id, wrong);
  check(op === "delete" ? typeof deleted === "boolean" : deleted === undefined, wrong);
  return { ...operation, id: id as string, deleted: op === "delete" ? deleted as boolean : null };
}

/** Each operation must have found what the ones before it had left. */
function checkCourse(answer: Told, done: readonly Done[]): void {
  const there = new Map<string, boolean>();
  for (const operation of done) {
    const { op, collection, id } = operation, key = `${collection} ${id}`, now = there.get(key);
    check(
      now === undefined || now === existed(operation),
      () => `${op} of ${key} found what cannot be: ${brief(answer)}`,
    );
    there.set(key, op !== "delete");
  }
}

function judgeFailure(answer: Told, operations: readonly Operation[]): ReturnType<typeof refusedWrite> {
  const outcome = refusedWrite(answer, ["duplicate_key", "not_found"]), { code, body } = answer;
  const wrong = (): string => `not the failure of a transaction: ${brief(answer)}`;
  if (body["success"] === undefined) {
    // Refused before anything of it was read, or the answer was lost on its way through a follower.
    check(["not_leader", "closing", "not_ready", "outcome_unknown"].includes(code ?? ""), wrong);
    return outcome;
  }
  const { success, transactionId, failedOpIndex: index, rolledBack, timeMs } = body;
  check(success === false && isServerId(transactionId) && Number.isSafeInteger(timeMs), wrong);
  check(rolledBack === (outcome === "refused"), wrong);
  if (code !== "duplicate_key" && code !== "not_found") {
    check(index === operations.length, wrong);
    return outcome;
  }
  const failed = operations[index as number];
  check(failed !== undefined && failed.op === (code === "not_found" ? "replace" : "insert"), wrong);
  const before = operations.slice(0, index as number).findLast(({ collection, id }) =>
    collection === failed.collection && id === failed.id && id !== null
  );
  check(
    failed.id !== null && (before === undefined || (before.op === "delete") === (code === "not_found")),
    wrong,
  );
  return outcome;
}
