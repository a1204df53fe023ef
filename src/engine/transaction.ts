/**
 * Several writes, all or nothing, as one entry. The operations of a client are carried out one after the other against
 * what the ones before have made; the entry holds the net effect, each document at most once, so that whoever reads it
 * (a follower, a rescued tail, a feed) finds one change with the change before it.
 */
import { utf8Text } from "../base/bytes.ts";
import type { CollectionNumber, DocumentId, Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Operation } from "../document/operation.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { WriteTransaction } from "../storage/storage.ts";
import { checkCollections } from "./commands.ts";
import { conflictAt, InConflict } from "./conflicts.ts";
import type { DeleteByField } from "./delete_by_field.ts";
import { fieldCondition, holdsFor, noInputs } from "./delete_by_field.ts";
import { matchesIn } from "./matches_in.ts";
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

/** One write of a batch. */
export type BatchOperation = TransactionOperation | DeleteByField;

/** For each operation whether the document was there before it. */
export type TransactionOutcome = readonly boolean[];

/** The same; of `deleteByField` how many were. */
export type BatchOutcome = readonly (boolean | number)[];

/** What is to become of one document. */
interface Change {
  readonly id: DocumentId;
  /** Its last change before this entry, 0: it did not exist. */
  readonly previous: Seq;
  /** Null: it does not exist. */
  body: Uint8Array | null;
  /** Place of the operation that changed it last. */
  by: number;
}

/** One collection that the transaction names; `number` null: there is none of this name. */
interface Touched {
  readonly name: string;
  readonly number: CollectionNumber | null;
  readonly changes: Map<DocumentId, Change>;
}

const overhead = 256;

/** An entry takes at least so many bytes for a document. */
const changesMax = limits.entryBytesMax / 8;

/**
 * Throws `duplicate_key` (an insert of what exists), `not_found` (a replace of what does not), `conflict` (one that nobody has settled), `payload_too_large` (more
 * than an entry may hold), each with `failedOpIndex`: the operation, or their number when all of them are to blame. A
 * delete of what does not exist is none. `inTime` is called while `deleteByField` looks for documents, and throws when that takes too long.
 */
export function transaction(
  operations: readonly TransactionOperation[],
): Plan<TransactionOutcome> | SlicedPlan<TransactionOutcome>;
export function transaction(
  operations: readonly BatchOperation[],
  inTime: () => void,
): Plan<BatchOutcome> | SlicedPlan<BatchOutcome>;
export function transaction(
  operations: readonly BatchOperation[],
  inTime: () => void = () => {},
): Plan<BatchOutcome> | SlicedPlan<BatchOutcome> {
  let bytes = 0, searches = false;
  for (const operation of operations) {
    bytes += overhead + ("body" in operation ? operation.body.length : 0);
    searches ||= operation.op === "deleteByField";
  }
  if (searches || operations.length > limits.sliceOperations || bytes > limits.sliceBytes) {
    return { bytes, slices: (tx, wallMs) => carriedOut(tx, operations, wallMs, inTime) };
  }
  return {
    bytes,
    run(tx, wallMs) {
      const { changes, found } = taken(decided(tx, operations, inTime)), effects = netEffects(tx, changes);
      try {
        if (effects.length > 0) tx.append(effects, wallMs);
      } catch (error) {
        throw blamed(error, changes);
      }
      return found;
    },
  };
}

function* carriedOut(
  tx: WriteTransaction,
  operations: readonly BatchOperation[],
  wallMs: WallMs,
  inTime: () => void,
): Generator<void, BatchOutcome, void> {
  const { changes, found } = yield* decided(tx, operations, inTime), effects = netEffects(tx, changes);
  try {
    if (effects.length > 0) yield* tx.appendInSlices(effects, wallMs);
  } catch (error) {
    throw error instanceof DfdbError && error.code === "payload_too_large"
      ? failed(error.code, error.message, operations.length)
      : blamed(error, changes);
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
  readonly found: (boolean | number)[];
}

/** Carries the operations out in memory; yields after each slice. */
function* decided(
  tx: WriteTransaction,
  operations: readonly BatchOperation[],
  inTime: () => void,
): Generator<void, Decided, void> {
  const collections = new Map<string, Touched>(), found: Decided["found"] = [], slice = new Slice();
  for (const [index, operation] of operations.entries()) {
    const touched = touchedBy(tx, collections, operation.collection);
    if (operation.op === "deleteByField") {
      found.push(yield* deletedByField(tx, touched, operation, index, inTime));
      continue;
    }
    const { op, id } = operation;
    let change = touched.changes.get(id);
    const exists = change === undefined ? undefined : change.body !== null;
    const previous = change?.previous ??
      (touched.number === null ? seqOf(0) : tx.documentSeq(touched.number, id));
    let there = exists ?? previous !== 0;
    if (previous === 0 && change === undefined) {
      const versions = conflictAt(tx, touched.name, id);
      if (versions !== null && op !== "insert") throw new InConflict(versions, { failedOpIndex: index });
      there = versions !== null;
    }
    if (op === "insert" && there) {
      throw failed("duplicate_key", `A document "${id}" exists in collection "${touched.name}"`, index);
    }
    if (op === "replace" && !there) {
      throw failed("not_found", `There is no document "${id}" in collection "${touched.name}"`, index);
    }
    found.push(there);
    if (op !== "delete" || there) {
      change ??= { id, previous, body: null, by: index };
      change.body = op === "delete" ? null : operation.body;
      change.by = index;
      touched.changes.set(id, change);
    }
    if (slice.full(0)) yield;
  }
  return { changes: [...collections.values()], found };
}

/** Deletes what the operations before have written, and what is stored and they have not touched; returns how many. */
function* deletedByField(
  tx: WriteTransaction,
  { name, number, changes }: Touched,
  operation: DeleteByField,
  index: number,
  inTime: () => void,
): Generator<void, number, void> {
  const condition = fieldCondition(operation), slice = new Slice();
  let count = 0;
  for (const change of changes.values()) {
    const { id, body } = change;
    if (body !== null && holdsFor(condition, id, utf8Text(body))) {
      change.body = null;
      change.by = index;
      count++;
    }
    if (!slice.full(body?.length ?? 0)) continue;
    inTime();
    yield;
  }
  if (number === null) return count;
  const search = matchesIn(tx, name, condition, noInputs);
  let step = search.next();
  for (; step.done !== true; step = search.next()) {
    inTime();
    yield;
  }
  for (const { id, seq } of step.value) {
    if (changes.has(id)) continue;
    if (changes.size >= changesMax) {
      throw failed("payload_too_large", "It deletes more documents than an entry of the log may hold", index);
    }
    changes.set(id, { id, previous: seq, body: null, by: index });
    count++;
  }
  return count;
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

/** What the database says of one operation of the entry, said of the operation that it came from. */
function blamed(error: unknown, changes: readonly Touched[]): unknown {
  if (!(error instanceof DfdbError)) return error;
  const { operation: place, ...details } = error.details;
  if (typeof place !== "number") return error;
  const index = originOf(changes, place);
  if (index === null) return error;
  return new DfdbError(error.code, error.message, {
    details: { ...details, failedOpIndex: index },
    cause: error,
  });
}

/** Counts as {@linkcode netEffects} does; null: the collection's own operation, or nothing of ours. */
function originOf(changes: readonly Touched[], place: number): number | null {
  let at = 0;
  for (const { number, changes: documents } of changes) {
    let created = number !== null;
    for (const { previous, body, by } of documents.values()) {
      if (body === null && previous === 0) continue;
      if (!created) at++;
      created = true;
      if (at++ === place) return by;
    }
  }
  return null;
}

function failed(
  code: "duplicate_key" | "not_found" | "payload_too_large",
  message: string,
  index: number,
): DfdbError {
  return new DfdbError(code, message, { details: { failedOpIndex: index } });
}
