/**
 * Writes that a client may send again when their answer was lost. The answer is a document of the reserved collection `_remembered`, under
 * the key that the client chose, in the same entry as what the write did: it is on every node that has the write, and on no other.
 */
import { utf8 } from "../base/bytes.ts";
import type { DocumentId, Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Delete, Operation } from "../document/operation.ts";
import type { Position } from "../storage/log.ts";
import type { ReadView, StoredDocument, WriteTransaction } from "../storage/storage.ts";
import { checkCollections } from "./commands.ts";
import type { Plan, SlicedPlan } from "./plan.ts";
import { CarriedOut, Rehearsal } from "./remembered_transactions.ts";
import { taken } from "./transaction.ts";

export const rememberedCollection = "_remembered";

/** What tells one request from all others. */
export interface Asked {
  /** As the client chose it. */
  readonly key: DocumentId;
  /** Hash of all that the request says, hex. */
  readonly request: string;
}

/** An answer without what the entry itself tells. */
export interface KeptAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface Remembered extends KeptAnswer {
  /** The write's own entry. */
  readonly seq: Seq;
}

/** Where an entry is; before it is made its chain is not known. */
export type EntryPlace = Omit<Position, "chain">;

/** Makes the answer, inside the transaction, out of what the plan comes to, where its entry will be, and what it appends. */
export type MakeAnswer<Value> = (
  value: Value,
  at: EntryPlace,
  operations: readonly Operation[],
) => KeptAnswer;

const overhead = 1_024;

/**
 * `plan`, at most once in `limits.rememberedMs` for one key: it makes one entry with the answer in it, or gives the answer that is kept. It is run
 * twice, first to learn the answer, so it must come to the same operations over the same state, and may read nothing after its append. Throws
 * what the plan throws (then nothing is remembered), `conflict` when the key was used for another request, `payload_too_large` for an
 * answer above `limits.rememberedAnswerBytesMax`.
 */
export function remembered<Value>(
  plan: Plan<Value> | SlicedPlan<Value>,
  asked: Asked,
  answer: MakeAnswer<Value>,
): Plan<Remembered> | SlicedPlan<Remembered> {
  const common = { bytes: plan.bytes + overhead, asWrite: true } as const;
  const steps = (tx: WriteTransaction, wallMs: WallMs) => once(plan, asked, answer, tx, wallMs);
  return "slices" in plan
    ? { ...common, slices: steps }
    : { ...common, run: (tx, wallMs) => taken(steps(tx, wallMs)) };
}

/** The answer that is kept, or null; throws `conflict` as {@linkcode remembered}. */
export function recall(asked: Asked): Plan<Remembered | null> {
  return { bytes: overhead, asWrite: true, run: (tx, wallMs) => recalled(tx, asked, wallMs) };
}

function* once<Value>(
  plan: Plan<Value> | SlicedPlan<Value>,
  asked: Asked,
  answer: MakeAnswer<Value>,
  tx: WriteTransaction,
  wallMs: WallMs,
): Generator<void, Remembered, void> {
  const before = recalled(tx, asked, wallMs);
  if (before !== null) return before;
  const at = { ...tx.position, seq: seqOf(tx.position.seq + 1) };
  const rehearsal = new Rehearsal(tx, at);
  const value = "slices" in plan ? yield* plan.slices(rehearsal, wallMs) : plan.run(rehearsal, wallMs);
  const kept = answer(value, at, rehearsal.operations ?? []);
  const note = noted(tx, asked, kept);
  const real = new CarriedOut(tx, rehearsal, note);
  if ("slices" in plan) yield* plan.slices(real, wallMs);
  else plan.run(real, wallMs);
  // A write that changes nothing is answered like any other, so its repeat must be too.
  if (!real.appended) tx.append(note, wallMs);
  return { ...kept, seq: at.seq };
}

function recalled(tx: ReadView, { key, request }: Asked, wallMs: WallMs): Remembered | null {
  const info = tx.collection(rememberedCollection);
  const document = info === null ? null : tx.document(info.number, key);
  if (document === null || isExpired(document.modifiedMs, wallMs)) return null;
  const { request: first, ...kept } = JSON.parse(document.body) as KeptAnswer & { readonly request: string };
  if (first === request) return { ...kept, seq: document.seq };
  throw new DfdbError("conflict", "This Idempotency-Key was used for another request; nothing was written", {
    details: { idempotencyKey: key },
  });
}

/** What keeps the answer. */
function noted(tx: WriteTransaction, { key, request }: Asked, kept: KeptAnswer): readonly Operation[] {
  const { rememberedAnswerBytesMax: bytesMax } = limits;
  const text = JSON.stringify({ request, ...kept });
  const body = text.length > 2 * bytesMax ? null : utf8(text);
  if (body === null || body.length > bytesMax) {
    throw new DfdbError(
      "payload_too_large",
      `The answer would be too large to be remembered (${bytesMax} bytes); nothing was written. Write less at a time, or without Idempotency-Key`,
      { details: { bytesMax } },
    );
  }
  const operations: Operation[] = [];
  let collection = tx.collection(rememberedCollection)?.number;
  const previous = collection === undefined ? seqOf(0) : tx.documentSeq(collection, key);
  if (collection === undefined) {
    checkCollections(tx.collections().length);
    collection = tx.newCollectionNumber();
    operations.push({ kind: "createCollection", collection, name: rememberedCollection });
  }
  operations.push({ kind: "put", collection, id: key, previous, body });
  return operations;
}

function isExpired(writtenMs: WallMs, nowMs: WallMs): boolean {
  return nowMs - writtenMs >= limits.rememberedMs;
}

/** Whether {@linkcode forgetExpired} would find something. */
export function isAnyExpired(view: ReadView, nowMs: WallMs): boolean {
  return expired(view, nowMs, 1).length > 0;
}

/** Deletes the oldest answers that have expired, a slice of them; answers how many. */
export function forgetExpired(nowMs: WallMs): Plan<number> {
  return {
    bytes: limits.sliceOperations * 64,
    run(tx, wallMs) {
      const operations = expired(tx, nowMs, limits.sliceOperations);
      if (operations.length > 0) tx.append(operations, wallMs);
      return operations.length;
    },
  };
}

/** A key that was used again has the row of its first use: one of those is passed over. The first that was made too late ends the look. */
function expired(view: ReadView, nowMs: WallMs, most: number): readonly Delete[] {
  const info = view.collection(rememberedCollection), operations: Delete[] = [];
  const page = { documentsMax: Math.max(most, 16), bytesMax: limits.sliceBytes };
  for (let after: number | null = 0; info !== null && after !== null && operations.length < most;) {
    const { documents, next }: ReturnType<ReadView["page"]> = view.page(info.number, after, page);
    const old = documents.filter(({ createdMs }) => isExpired(createdMs, nowMs));
    const gone = old.filter(({ modifiedMs }) => isExpired(modifiedMs, nowMs));
    operations.push(
      ...gone.slice(0, most - operations.length).map((document) => deleted(info.number, document)),
    );
    // More than one page is looked at only where all of one are of keys that were used again.
    after = gone.length > 0 || old.length < documents.length ? null : next;
  }
  return operations;
}

function deleted(collection: Delete["collection"], { id, seq }: StoredDocument): Delete {
  return { kind: "delete", collection, id, previous: seq };
}
