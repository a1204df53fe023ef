/** Changes of a part of a document, as plans: read, edited and written in one transaction. */
import { DfdbError } from "../base/errors.ts";
import type { DocumentId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { DocumentPatch, FieldCondition } from "../document/conditions.ts";
import { applyOperations, applyPatch, firstFailed } from "../document/conditions.ts";
import { editedBody } from "../document/json_edit.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import type { Put } from "../document/operation.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { WriteTransaction } from "../storage/storage.ts";
import type { Precondition } from "./commands.ts";
import { conflictAt, InConflict } from "./conflicts.ts";
import type { Plan, SlicedPlan } from "./plan.ts";
import { taken } from "./transaction.ts";

/** What is to become of one document. */
export interface DocumentEdit {
  readonly collection: string;
  readonly id: DocumentId;
  /** All of them must hold, else nothing is changed. */
  readonly conditions: readonly FieldCondition[];
  readonly patch: DocumentPatch;
  /** Size of the request, bytes. */
  readonly bytes: number;
  /** About the size of the document, bytes: whether the work is cut in slices is decided before it is read. */
  readonly documentBytes: number;
}

/** The document as it is now. */
export interface Edited {
  readonly id: DocumentId;
  readonly body: string;
  /** Entry of this change. */
  readonly seq: Seq;
}

const overhead = 256;

/**
 * Edits a document; one entry with the whole new text, also when it is the old one. Throws what `precondition` throws,
 * `not_found`, `conflict` (there are versions of it that nobody has settled), `condition_failed` (with `failedCondition` and its index), `bad_request` for an edit that does not fit the
 * document, `payload_too_large`.
 */
export function patchDocument(
  edit: DocumentEdit,
  precondition: Precondition,
  documentLimits: DocumentLimits,
): Plan<Edited> | SlicedPlan<Edited> {
  const { id, conditions, patch } = edit;
  const passes = conditions.length + ("merge" in patch ? 1 : patch.operations.length);
  const bytes = edit.bytes + 2 * edit.documentBytes + overhead;
  if (edit.bytes + passes * edit.documentBytes > limits.sliceBytes) {
    return {
      bytes,
      *slices(tx, wallMs) {
        const { put, body } = yield* decided(tx, edit, precondition, documentLimits);
        const { seq } = yield* tx.appendInSlices([put], wallMs);
        return { id, body, seq };
      },
    };
  }
  return {
    bytes,
    run(tx, wallMs) {
      const { put, body } = taken(decided(tx, edit, precondition, documentLimits));
      const { seq } = tx.append([put], wallMs);
      return { id, body, seq };
    },
  };
}

/** Reads the document and works out what it becomes; yields after each slice. */
function* decided(
  tx: WriteTransaction,
  { collection, id, conditions, patch }: DocumentEdit,
  precondition: Precondition,
  documentLimits: DocumentLimits,
): Generator<void, { readonly put: Put; readonly body: string }, void> {
  const info = tx.collection(collection);
  const document = info === null ? null : tx.document(info.number, id);
  if (info !== null && document === null) {
    const versions = conflictAt(tx, info.name, id);
    if (versions !== null) throw new InConflict(versions);
  }
  precondition(document?.seq ?? seqOf(0), tx);
  if (info === null || document === null) {
    throw new DfdbError("not_found", `There is no document "${id}" in collection "${collection}"`);
  }
  const slice = new Slice();
  for (const [index, condition] of conditions.entries()) {
    if (firstFailed(document.body, [condition]) !== null) throw conditionFailed(condition, index);
    if (slice.full(document.body.length)) yield;
  }
  let body = document.body;
  if ("merge" in patch) {
    body = applyPatch(body, patch);
  } else {
    for (const operation of patch.operations) {
      body = applyOperations(body, [operation]);
      if (slice.full(body.length)) yield;
    }
  }
  const bytes = editedBody(body, documentLimits);
  return { put: { kind: "put", collection: info.number, id, previous: document.seq, body: bytes }, body };
}

function conditionFailed({ field, op, value }: FieldCondition, index: number): DfdbError {
  const failedCondition = `${brief(field)} ${op}${value === null ? "" : ` ${brief(value)}`}`;
  return new DfdbError("condition_failed", `The document does not meet the condition ${failedCondition}`, {
    details: { failedCondition, failedConditionIndex: index },
  });
}

/** Fields and values come from the client, so they may be long. */
function brief(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
