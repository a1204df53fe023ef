/** The operation `deleteByField` of a transaction: deletes what has a value in a field, by then. */
import type { DocumentId } from "../base/ids.ts";
import { documentText } from "../document/document_text.ts";
import { fieldSteps } from "../document/field_path.ts";
import type { Condition, Literal } from "../query/ast.ts";
import type { Inputs } from "../query/compile_slots.ts";
import { holds } from "../query/evaluate.ts";

export interface DeleteByField {
  readonly op: "deleteByField";
  readonly collection: string;
  /** As requests name it. */
  readonly field: string;
  /** A text equals the number that is written so. Never null, which equals nothing. */
  readonly value: Exclude<Literal, null>;
}

/** Throws `bad_request` for what names no field. */
export function fieldCondition({ field, value }: Pick<DeleteByField, "field" | "value">): Condition {
  const left = { kind: "path", steps: fieldSteps(field), text: field, at: 0 } as const;
  return { kind: "compare", operator: "=", left, right: { kind: "literal", value, at: 0 }, at: 0 };
}

/** A condition of this kind asks for nothing from outside. */
export const noInputs: Inputs = { parameters: [], now: "", newId: () => "" };

/** Whether it holds for a document that was written but is in no entry yet, so it has no etag. */
export function holdsFor(condition: Condition, id: DocumentId, body: string): boolean {
  return holds(condition, documentText(id, "", body), noInputs);
}
