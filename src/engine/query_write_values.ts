/** Values of SET and of INSERT, as the JSON text that a document keeps. */
import { utf8 } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DocumentId, Seq } from "../base/ids.ts";
import { documentText } from "../document/document_text.ts";
import { eachStep } from "../document/json_find.ts";
import { editedBody, setAt } from "../document/json_edit.ts";
import { reservedMembers } from "../document/json_scan.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import type { Value } from "../document/json_value.ts";
import { compactValue, jsonOf, kindOf } from "../document/json_value.ts";
import { documentId } from "../document/names.ts";
import type { Expression, PathExpression, Tuple, Update } from "../query/ast.ts";
import { refusal } from "../query/catalog.ts";
import { parameterValue } from "../query/compile_constants.ts";
import type { Inputs, QueryParameters } from "../query/compile_slots.ts";
import type { Context } from "../query/evaluate.ts";
import { evaluate } from "../query/evaluate.ts";

/** How expressions see a stored document. */
export interface Read {
  readonly id: DocumentId;
  readonly seq: Seq;
  readonly body: string;
}

/** What expressions take from outside of the document. `at`: the place that is to blame when a parameter is not given. */
export function contextOf({ parameters, now, newId }: Inputs, at = 0): Context {
  return { now, newId, parameter: (name) => valueOfParameter(name, parameters, at) };
}

function valueOfParameter(name: number | string, parameters: QueryParameters, at: number): Value {
  const given = parameterValue(name, parameters, at);
  switch (typeof given) {
    case "string":
    case "boolean":
      return given;
    case "bigint":
      return { number: String(given) };
    case "number":
      return Number.isFinite(given) ? { number: String(given) } : null;
    case "object":
      return given === null ? null : { json: JSON.stringify(given) };
    default:
      return null;
  }
}

/** The document with its `_id` and `_etag`. */
export function readText({ id, seq, body }: Read, etag: (seq: number) => string): string {
  return documentText(id, etag(seq), body);
}

/** Throws `bad_request` for what no document could take: said before any is read. */
export function checkSet(set: Update["set"], inputs: Inputs): void {
  for (const { path, value } of set) {
    checkTarget(path);
    evaluate(value, "{}", contextOf(inputs, value.at));
  }
}

/** The body after SET, whose values all read the old document. */
export function setBody(
  set: Update["set"],
  document: Read,
  text: string,
  context: Context,
  limits: DocumentLimits,
): Uint8Array {
  try {
    let body = document.body;
    const values = set.map(({ value }) => valueText(value, text, context, limits));
    set.forEach(({ path }, i) => {
      body = setAt(body, path.steps, values[i] as string);
    });
    return editedBody(body, limits);
  } catch (error) {
    throw error instanceof DfdbError
      ? new DfdbError(error.code, `document ${JSON.stringify(document.id)}: ${error.message}`, {
        details: { ...error.details, id: document.id },
        cause: error,
      })
      : error;
  }
}

/** A document to insert; `id` null: the statement gives none. */
export function tupleBody(
  paths: readonly PathExpression[],
  { values }: Tuple,
  inputs: Inputs,
  limits: DocumentLimits,
): { readonly id: DocumentId | null; readonly body: Uint8Array } {
  let id: DocumentId | null = null, body = "{}";
  for (const [i, path] of paths.entries()) {
    const value = values[i] as Expression, context = contextOf(inputs, value.at);
    if (isId(path)) {
      id = givenId(evaluate(value, "{}", context), value.at);
      continue;
    }
    checkTarget(path);
    try {
      body = setAt(body, path.steps, valueText(value, "{}", context, limits));
    } catch (error) {
      throw placed(error, path.at);
    }
  }
  return { id, body: body === "{}" ? utf8(body) : editedBody(body, limits) };
}

function valueText(value: Expression, text: string, context: Context, limits: DocumentLimits): string {
  const made = evaluate(value, text, context);
  if (typeof made !== "object" || made === null) return JSON.stringify(made);
  return compactValue(jsonOf(made), limits.nestingMax);
}

function isId({ steps }: PathExpression): boolean {
  return steps.length === 1 && steps[0] === "_id";
}

function givenId(value: Value, at: number): DocumentId {
  if (typeof value !== "string") throw refusal(`_id must be a string, not ${kindOf(value)}`, at);
  try {
    return documentId(value);
  } catch (error) {
    throw placed(error, at);
  }
}

function checkTarget({ steps, text, at }: PathExpression): void {
  if ((reservedMembers as readonly unknown[]).includes(steps[0])) {
    throw refusal(`the member ${String(steps[0])} is set by the server`, at);
  }
  if (steps.includes(eachStep)) throw refusal(`${text} is not one place, so it cannot be set`, at);
}

/** The error with a place in the statement. */
export function placed(error: unknown, at: number): unknown {
  if (!(error instanceof DfdbError) || error.details["at"] !== undefined) return error;
  const { offset: _, ...details } = error.details;
  return new DfdbError(error.code, error.message, { details: { ...details, at }, cause: error });
}
