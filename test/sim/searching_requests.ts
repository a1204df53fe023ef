/** `POST /tx/batch` with `deleteByField`: what it comes to depends on all that is there, so a model carries it out again. */
import type { Told } from "./answers.ts";
import { brief, check, exactly, isObject, isServerId, positionOf, refusedWrite } from "./answers.ts";
import { isAt } from "./field_requests.ts";
import type { Change, Model } from "./models.ts";
import { stored } from "./models.ts";
import type { Intent, Judged, Request } from "./requests.ts";
import { all } from "./requests.ts";
import type { Json, State } from "./state.ts";
import type { Operation } from "./transaction_requests.ts";
import { textOf } from "./transaction_requests.ts";

/** `value`: a number, or a text. */
export interface DeleteByField {
  readonly op: "deleteByField";
  readonly collection: string;
  readonly field: string;
  readonly value: string | number;
}

export type Searching = readonly (Operation | DeleteByField)[];

/** `operations`: the last one inserts, so that something is written, and it can be known again. */
export function searching(operations: Searching): Request {
  const last = operations.at(-1) as Operation & { readonly op: "insert" };
  const intent: Intent = {
    documents: [{ collection: last.collection, id: last.id, tag: last.content.tag }],
    model: modelOf(operations, null),
    deletesIn: "",
  };
  return {
    kind: "searching",
    ask: {
      method: "POST",
      path: "/tx/batch",
      body: `[${
        operations.map((one) => one.op === "deleteByField" ? JSON.stringify(one) : textOf(one)).join(",")
      }]`,
    },
    intents: [intent],
    whenLost: "unknown",
    judge(answer) {
      if (answer.code === null) return judgeDone(answer, operations, intent);
      const outcome = refusedWrite(answer, ["duplicate_key", "not_found", "query_timeout"]);
      if (answer.code === "duplicate_key" || answer.code === "not_found") {
        const failed = operations[answer.body["failedOpIndex"] as number];
        check(
          failed?.op === (answer.code === "not_found" ? "replace" : "insert") &&
            answer.body["rolledBack"] === true,
          () => `a transaction cannot fail like this: ${brief(answer)}`,
        );
      }
      return { writes: all([intent], outcome), reads: [] };
    },
  };
}

function judgeDone(answer: Told, operations: Searching, intent: Intent): Judged {
  const { transactionId, timeMs, results } = answer.body;
  const wrong = (): string => `not the answer of a transaction: ${brief(answer)}`;
  check(answer.status === 200 && isServerId(transactionId) && Number.isSafeInteger(timeMs), wrong);
  check(Array.isArray(results) && results.length === operations.length && results.every(isObject), wrong);
  exactly(answer, { success: true, transactionId, operationCount: operations.length, results, timeMs });
  const [last] = intent.documents, position = positionOf(answer), id = results.at(-1)?.["id"];
  check(last !== undefined && (last.id === null ? isServerId(id) : id === last.id), wrong);
  return {
    writes: [{
      ...intent,
      documents: [{ ...last, id: id as string }],
      model: modelOf(operations, results),
      outcome: "promised",
      position,
    }],
    reads: [],
    end: { position, own: true },
  };
}

/** One document on its way through the operations; `there`: it was before them. */
interface Course {
  readonly collection: string;
  readonly id: string | null;
  readonly there: boolean;
  json: Json | null;
}

/** `results`: what was told of each operation; null: nothing. */
function modelOf(operations: Searching, results: readonly Json[] | null): Model {
  return (before) => {
    const courses = new Map<string, Course>();
    for (const [index, operation] of operations.entries()) {
      const result = results?.[index] ?? null,
        expected = carriedOut(before, courses, operation, index, result);
      if (typeof expected === "string") return `[${index}]: ${expected}`;
      const { op, collection } = operation;
      if (result === null) continue;
      const same = result["op"] === op && result["collection"] === collection &&
        result["deleted"] === (expected ?? undefined);
      if (!same) return `[${index}] was told to be ${JSON.stringify(result)}, and it deletes ${expected}`;
    }
    return [...courses.values()].filter(({ there, json }) => there || json !== null)
      .map(({ collection, id, json }): Change => ({ collection, id, json }));
  };
}

/** What the result has to say of what was deleted, null: nothing; or why the operation should have failed. */
function carriedOut(
  before: State,
  courses: Map<string, Course>,
  operation: Searching[number],
  index: number,
  result: Json | null,
): number | boolean | null | string {
  const { op, collection } = operation;
  const courseOf = (id: string | null): Course => {
    const key = id === null ? `${index}` : `${collection.toLowerCase()}/${id}`;
    const json = id === null ? null : before.document(collection, id)?.json ?? null;
    const course = courses.get(key) ?? { collection, id, there: json !== null, json };
    courses.set(key, course);
    return course;
  };
  if (op === "deleteByField") {
    const place = { field: operation.field, value: String(operation.value) };
    const ids = before.documents(collection, (json) => isAt(json, place)).map(({ id }) => id);
    for (const id of ids) courseOf(id);
    let deleted = 0;
    for (const course of courses.values()) {
      if (course.collection.toLowerCase() !== collection.toLowerCase() || course.json === null) continue;
      if (!isAt(course.json, place)) continue;
      course.json = null;
      deleted++;
    }
    return deleted;
  }
  const told = typeof result?.["id"] === "string" ? result["id"] : null;
  const course = courseOf(operation.id ?? told), there = course.json !== null;
  if (op === "delete") {
    course.json = null;
    return there;
  }
  if (there === (op === "insert")) return `${op} of what is ${there ? "" : "not "}there was carried out`;
  course.json = stored(operation.content.text);
  return null;
}
