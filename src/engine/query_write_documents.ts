/**
 * UPDATE and DELETE. What they mean is found before the transaction, where a long scan holds up nobody; in the transaction it is
 * brought up to date: what the log says to have changed since is asked again, so that the statement is carried out on one state.
 */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, DocumentId, Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import type { Operation } from "../document/operation.ts";
import type { Condition, Update } from "../query/ast.ts";
import type { Inputs } from "../query/compile_slots.ts";
import { holds } from "../query/evaluate.ts";
import { Slice } from "../storage/entry_codec.ts";
import type { LogReader, Position } from "../storage/log.ts";
import { etagText } from "../storage/position_text.ts";
import type { ReadView, Storage, WriteTransaction } from "../storage/storage.ts";
import { changedSince } from "./changed_since.ts";
import type { Engine } from "./engine.ts";
import type { Committed, Plan, SlicedPlan } from "./plan.ts";
import type { WriteContext } from "./query_types.ts";
import { tooMuch } from "./query_write_insert.ts";
import type { Read } from "./query_write_values.ts";
import { contextOf, readText, setBody } from "./query_write_values.ts";

export interface ChangeParts {
  readonly engine: Pick<Engine, "submit">;
  readonly storage: Storage;
  readonly documentLimits: DocumentLimits;
}

/** What is to become of the documents for which `where` holds. */
export interface Change {
  readonly collection: string;
  readonly where: Condition | null;
  /** Null: they are deleted. */
  readonly set: Update["set"] | null;
}

/** What a search found. */
interface Found {
  /** Everything up to here was there when the search began. */
  readonly from: Position;
  readonly number: CollectionNumber;
  readonly documents: readonly FoundDocument[];
  /** Of the bodies. */
  readonly bytes: number;
}

interface FoundDocument {
  readonly id: DocumentId;
  readonly seq: Seq;
  /** Null: it is read again when it is needed. */
  readonly body: string | null;
}

/** Bodies that are kept until they are changed; others are read again. */
const keptBytes = 16 * 1024 * 1024;
const overhead = 256, entryOverhead = 16;

/** The change takes more than a transaction that others share may: it gets one of its own. Never seen outside. */
class Large extends DfdbError {
  constructor() {
    super("busy", "The change is too large for a shared transaction");
  }
}

/** What was done. */
export interface Changed {
  readonly affected: number;
  /** How the documents were found; null: not in the transaction. */
  readonly plan: string | null;
}

type Asking = Pick<WriteContext, "inputs" | "signal" | "matches" | "matchesAtOnce">;

/** Changes them all in one entry, or none. */
export async function changeDocuments(
  parts: ChangeParts,
  change: Change,
  context: Asking,
): Promise<Committed<Changed>> {
  const work = new Work(parts, change, context);
  try {
    return await parts.engine.submit(work.atOnce());
  } catch (error) {
    if (!(error instanceof Large)) throw error;
  }
  return await parts.engine.submit(work.inSlices(await search(parts, change, context)));
}

async function search(
  { storage }: ChangeParts,
  { collection, where, set }: Change,
  { matches, signal }: Asking,
): Promise<Found> {
  const from = storage.log.last;
  const number = storage.read((view) => view.collection(collection)?.number ?? null);
  const documents: FoundDocument[] = [];
  let bytes = 0, entryBytes = 0;
  if (number === null) return { from, number: noCollection, documents, bytes };
  try {
    for await (const chunk of matches(where, collection)) {
      for (const { id, seq, body } of chunk) {
        entryBytes += id.length + entryOverhead;
        if (entryBytes > limits.entryBytesMax) throw tooMuch();
        if (set !== null) bytes += body.length;
        documents.push({ id, seq, body: set === null || bytes > keptBytes ? null : body });
      }
    }
  } catch (error) {
    // It was there a moment ago.
    if (error instanceof DfdbError && error.code === "collection_not_found") throw dropped(collection);
    throw error;
  }
  signal.throwIfAborted();
  return { from, number, documents, bytes };
}

function dropped(collection: string): DfdbError {
  return new DfdbError(
    "conflict",
    `The collection "${collection}" was dropped meanwhile; nothing was written`,
  );
}

/** Never a collection's number. */
const noCollection = 0 as CollectionNumber;

/** A plan may be run more than once, and must do the same each time: `NEWID()` gives the ids again that it gave. */
class RepeatableInputs implements Inputs {
  readonly #inputs: Inputs;
  readonly #ids: string[] = [];
  #given = 0;

  constructor(inputs: Inputs) {
    this.#inputs = inputs;
  }

  get parameters(): Inputs["parameters"] {
    return this.#inputs.parameters;
  }

  get now(): string {
    return this.#inputs.now;
  }

  readonly newId = (): string => this.#ids[this.#given++] ??= this.#inputs.newId();

  /** From the first id on. */
  again(): void {
    this.#given = 0;
  }
}

/** As expressions see it. It may have been written in this very transaction, of whose term the log knows nothing yet. */
function textOf({ terms }: ReadView, document: Read): string {
  return readText(document, (seq) => etagText(terms, seqOf(seq)));
}

class Work {
  readonly #log: LogReader;
  readonly #documentLimits: DocumentLimits;
  readonly #change: Change;
  readonly #inputs: RepeatableInputs;
  readonly #context: Asking;

  constructor({ storage, documentLimits }: ChangeParts, change: Change, context: Asking) {
    this.#log = storage.log;
    this.#documentLimits = documentLimits;
    this.#change = change;
    this.#inputs = new RepeatableInputs(context.inputs);
    this.#context = context;
  }

  /** Throws {@linkcode Large}. */
  atOnce(): Plan<Changed> {
    const { collection, where } = this.#change;
    return {
      bytes: overhead,
      run: (tx, wallMs) => {
        this.#begin();
        const info = tx.collection(collection);
        if (info === null) return { affected: 0, plan: "COLLECTION_SCAN" };
        const found = this.#context.matchesAtOnce(tx, where, collection);
        if (found === null) throw new Large();
        const operations: Operation[] = [];
        let bytes = 0;
        for (const document of found.documents) {
          bytes += this.#decide(tx, info.number, document, operations);
          if (bytes > limits.sliceBytes) throw new Large();
        }
        if (operations.length > 0) tx.append(operations, wallMs);
        return { affected: operations.length, plan: found.plan };
      },
    };
  }

  inSlices(found: Found): SlicedPlan<Changed> {
    return {
      bytes: Math.min(found.bytes, keptBytes) + overhead * (1 + found.documents.length),
      slices: (tx, wallMs) => this.#slices(tx, found, wallMs),
    };
  }

  *#slices(tx: WriteTransaction, found: Found, wallMs: WallMs): Generator<void, Changed, void> {
    const operations: Operation[] = [], slice = new Slice();
    let bytes = 0;
    this.#begin();
    for (const document of yield* this.#current(tx, found)) {
      this.#inTime();
      const size = this.#decide(tx, found.number, document, operations);
      bytes += size;
      if (bytes > limits.entryBytesMax) throw tooMuch();
      if (slice.full(size)) yield;
    }
    this.#inTime();
    try {
      if (operations.length > 0) yield* tx.appendInSlices(operations, wallMs);
    } catch (error) {
      throw error instanceof DfdbError && error.code === "payload_too_large" ? tooMuch() : error;
    }
    return { affected: operations.length, plan: null };
  }

  /** What the condition means now. This transaction has the database to itself: the log tells everything that was written since. */
  *#current(tx: WriteTransaction, found: Found): Generator<void, readonly FoundDocument[], void> {
    const { from, number, documents } = found, { where, collection } = this.#change;
    if (tx.collection(collection)?.number !== number) {
      if (documents.length === 0) return [];
      throw dropped(collection);
    }
    const changed = yield* changedSince(this.#log, from, { number, name: collection });
    if (changed === null) {
      throw new DfdbError(
        "busy",
        "Too much was written while the statement searched; nothing was written. Try again",
      );
    }
    if (changed.size === 0) return documents;
    const current = documents.filter(({ id }) => !changed.has(id));
    const slice = new Slice(), context = contextOf(this.#inputs);
    for (const id of changed) {
      this.#inTime();
      const document = tx.document(number, id);
      if (document !== null && (where === null || holds(where, textOf(tx, document), context))) {
        current.push({ id, seq: document.seq, body: null });
      }
      if (slice.full(document?.body.length ?? 0)) yield;
    }
    return current;
  }

  /** Adds what is done to one document; returns its bytes in the entry, about. */
  #decide(
    tx: ReadView,
    collection: CollectionNumber,
    { id, seq, body }: FoundDocument,
    operations: Operation[],
  ): number {
    const { set } = this.#change;
    if (set === null) {
      operations.push({ kind: "delete", collection, id, previous: seq });
      return id.length + entryOverhead;
    }
    const old = body ?? tx.document(collection, id)?.body;
    assert(old !== undefined, "what matches is there");
    const document: Read = { id, seq, body: old };
    const bytes = setBody(set, document, textOf(tx, document), contextOf(this.#inputs), this.#documentLimits);
    operations.push({ kind: "put", collection, id, previous: seq, body: bytes });
    return bytes.length + id.length + entryOverhead;
  }

  /** A plan may be run more than once. */
  #begin(): void {
    this.#inTime();
    this.#inputs.again();
  }

  /** Nothing is begun any more for whom the time is over. */
  #inTime(): void {
    const { aborted, reason } = this.#context.signal;
    if (!aborted) return;
    throw reason instanceof DfdbError
      ? reason
      : new DfdbError("closing", "Whoever asked has gone; nothing was written", { cause: reason });
  }
}
