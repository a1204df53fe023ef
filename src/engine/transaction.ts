/**
 * Several writes, all or nothing, as one entry. The operations of a client are carried out one after the other against
 * what the ones before have made; the entry holds the net effect, each document at most once, so that whoever reads it
 * (a follower, a rescued tail, a feed) finds one change with the change before it.
 */
import type { CollectionNumber, DocumentId, Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Operation } from "../document/operation.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { WriteTransaction } from "../storage/storage.ts";
import { checkCollections } from "./commands.ts";
import type { Plan, SlicedPlan } from "./plan.ts";

/** One write of a transaction; `body` as in the `put` operation. */
export type TransactionOperation =
  | {
    readonly op: "insert" | "replace";
    readonly collection: string;
    readonly id: DocumentId;
    readonly body: Uint8Array;
  }
  | { readonly op: "delete"; readonly collection: string; readonly id: DocumentId };

/** For each operation whether the document was there before it. */
export type TransactionOutcome = readonly boolean[];

/** What is to become of one document. */
interface Change {
  readonly id: DocumentId;
  /** Its last change before this entry, 0: it did not exist. */
  readonly previous: Seq;
  /** Null: it does not exist. */
  body: Uint8Array | null;
}

/** One collection that the transaction names; `number` null: there is none of this name. */
interface Touched {
  readonly name: string;
  readonly number: CollectionNumber | null;
  readonly changes: Map<DocumentId, Change>;
}

const overhead = 256;

/**
 * Throws `duplicate_key` (an insert of what exists), `not_found` (a replace of what does not), `payload_too_large` (more
 * than an entry may hold), each with `failedOpIndex`: the operation, or their number when all of them are to blame. A
 * delete of what does not exist is none.
 */
export function transaction(
  operations: readonly TransactionOperation[],
): Plan<TransactionOutcome> | SlicedPlan<TransactionOutcome> {
  let bytes = 0;
  for (const operation of operations) {
    bytes += overhead + (operation.op === "delete" ? 0 : operation.body.length);
  }
  if (operations.length > limits.sliceOperations || bytes > limits.sliceBytes) {
    return { bytes, slices: (tx, wallMs) => carriedOut(tx, operations, wallMs) };
  }
  return {
    bytes,
    run(tx, wallMs) {
      const { changes, found } = taken(decided(tx, operations)), effects = netEffects(tx, changes);
      if (effects.length > 0) tx.append(effects, wallMs);
      return found;
    },
  };
}

function* carriedOut(
  tx: WriteTransaction,
  operations: readonly TransactionOperation[],
  wallMs: WallMs,
): Generator<void, TransactionOutcome, void> {
  const { changes, found } = yield* decided(tx, operations), effects = netEffects(tx, changes);
  try {
    if (effects.length > 0) yield* tx.appendInSlices(effects, wallMs);
  } catch (error) {
    throw error instanceof DfdbError && error.code === "payload_too_large"
      ? failed(error.code, error.message, operations.length)
      : error;
  }
  return found;
}

/** Takes a generator to its end at once. */
export function taken<Value>(steps: Generator<void, Value, void>): Value {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

interface Decided {
  readonly changes: readonly Touched[];
  readonly found: boolean[];
}

/** Carries the operations out in memory; yields after each slice. */
function* decided(
  tx: WriteTransaction,
  operations: readonly TransactionOperation[],
): Generator<void, Decided, void> {
  const collections = new Map<string, Touched>(), found: boolean[] = [], slice = new Slice();
  for (const [index, operation] of operations.entries()) {
    const { op, id } = operation, touched = touchedBy(tx, collections, operation.collection);
    let change = touched.changes.get(id);
    const exists = change === undefined ? undefined : change.body !== null;
    const previous = change?.previous ??
      (touched.number === null ? seqOf(0) : tx.documentSeq(touched.number, id));
    const there = exists ?? previous !== 0;
    if (op === "insert" && there) {
      throw failed("duplicate_key", `A document "${id}" exists in collection "${touched.name}"`, index);
    }
    if (op === "replace" && !there) {
      throw failed("not_found", `There is no document "${id}" in collection "${touched.name}"`, index);
    }
    found.push(there);
    if (op !== "delete" || there) {
      change ??= { id, previous, body: null };
      change.body = op === "delete" ? null : operation.body;
      touched.changes.set(id, change);
    }
    if (slice.full(0)) yield;
  }
  return { changes: [...collections.values()], found };
}

function touchedBy(tx: WriteTransaction, collections: Map<string, Touched>, name: string): Touched {
  const folded = name.toLowerCase(), known = collections.get(folded);
  if (known !== undefined) return known;
  const info = tx.collection(name);
  const touched = { name: info?.name ?? name, number: info?.number ?? null, changes: new Map() };
  collections.set(folded, touched);
  return touched;
}

/** In the order in which documents were first named. */
function netEffects(tx: WriteTransaction, changes: readonly Touched[]): Operation[] {
  const effects: Operation[] = [];
  let linked = tx.collections().length;
  for (const { name, number, changes: documents } of changes) {
    let collection = number;
    for (const { id, previous, body } of documents.values()) {
      if (body === null && previous === 0) continue; // came and went
      if (collection === null) {
        checkCollections(linked++);
        collection = tx.newCollectionNumber();
        effects.push({ kind: "createCollection", collection, name });
      }
      if (body === null) effects.push({ kind: "delete", collection, id, previous });
      else effects.push({ kind: "put", collection, id, previous, body });
    }
  }
  return effects;
}

function failed(
  code: "duplicate_key" | "not_found" | "payload_too_large",
  message: string,
  index: number,
): DfdbError {
  return new DfdbError(code, message, { details: { failedOpIndex: index } });
}
