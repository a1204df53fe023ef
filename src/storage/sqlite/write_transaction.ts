import { assert } from "../../base/assert.ts";
import { DfdbError } from "../../base/errors.ts";
import type { CollectionNumber, Seq, WallMs } from "../../base/ids.ts";
import { seqOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { Operation } from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { chainAfter } from "../chain.ts";
import {
  bytesOf,
  decodeEntry,
  decodeEntryInSlices,
  encodeEntry,
  encodeEntryInSlices,
  Slice,
} from "../entry_codec.ts";
import type { LogEntry, Position, Term } from "../log.ts";
import type { WriteTransaction } from "../storage.ts";
import type { Apply } from "./apply.ts";
import type { Draft } from "./draft.ts";
import type { LogWriter } from "./log_writer.ts";
import type { Selects } from "./selects.ts";
import type { TableStatements } from "./statements.ts";
import type { UniqueKeys } from "./unique_keys.ts";
import { View } from "./view.ts";

/** What a transaction writes with; one set for all transactions of a connection. */
export interface Writers {
  readonly tables: TableStatements;
  readonly selects: Selects;
  readonly unique: UniqueKeys;
  readonly apply: Apply;
  readonly log: LogWriter;
  readonly crashPoint: CrashPoint;
}

/** The transaction in progress. Reads see what it wrote. */
export class Transaction extends View implements WriteTransaction {
  readonly #draft: Draft;
  readonly #writers: Writers;
  #open = true;
  #broken: unknown = null;
  #entries = 0;
  /** An entry that is applied in slices is not whole yet. */
  #halfway = false;

  constructor(draft: Draft, writers: Writers) {
    super(draft, writers.tables, writers.selects);
    this.#draft = draft;
    this.#writers = writers;
  }

  /** Ends the use of this object. True when there is something to commit; throws when an entry was left half applied. */
  finish(): boolean {
    this.#open = false;
    if (this.#broken !== null) throw this.#broken;
    assert(!this.#halfway, "an entry that is applied in slices is taken to its end before COMMIT");
    return this.#entries > 0;
  }

  newCollectionNumber(): CollectionNumber {
    this.#usable();
    return this.#draft.takeNumber();
  }

  append(operations: readonly Operation[], wallMs: WallMs): Position {
    this.#usable();
    const payload = encodeEntry(operations);
    if (payload.length > limits.entryBytesMax) throw tooLarge();
    const checked = this.#writers.unique.before(this.#draft, operations);
    this.#draft.leading = true;
    const position = this.#write(this.#next(operations, wallMs, payload), operations, wallMs, payload);
    if (checked) this.#expectUnique(operations);
    return position;
  }

  *appendInSlices(operations: readonly Operation[], wallMs: WallMs): Generator<void, Position, void> {
    this.#usable();
    const payload = yield* encodeEntryInSlices(operations, limits.entryBytesMax);
    this.#usable();
    if (payload === null) throw tooLarge();
    const checked = this.#writers.unique.before(this.#draft, operations);
    this.#draft.leading = true;
    const next = this.#next(operations, wallMs, payload);
    return yield* this.#writeInSlices(next, operations, wallMs, payload, checked);
  }

  apply(entry: LogEntry): Position {
    const position = this.#judge(entry), operations = decodeEntry(entry.payload);
    this.#judgeTerm(entry, operations);
    this.#draft.leading = false;
    return this.#write(position, operations, entry.wallMs, entry.payload);
  }

  *applyInSlices(entry: LogEntry): Generator<void, Position, void> {
    const position = this.#judge(entry), operations = yield* decodeEntryInSlices(entry.payload);
    this.#usable();
    this.#judgeTerm(entry, operations);
    this.#draft.leading = false;
    return yield* this.#writeInSlices(position, operations, entry.wallMs, entry.payload, false);
  }

  /** Position of the entry that would come next here. */
  #next(operations: readonly Operation[], wallMs: WallMs, payload: Uint8Array): Position {
    const [first] = operations, term = first?.kind === "term" ? first : this.#draft.terms.at(-1);
    if (term === undefined) throw new DfdbError("diverged", "the first entry of a database begins a term");
    return this.#position(term, seqOf(this.#draft.position.seq + 1), wallMs, payload);
  }

  /** Its position, if it continues what is here. */
  #judge(entry: LogEntry): Position {
    this.#usable();
    const { seq, term, chain, wallMs, payload } = entry, last = this.#draft.position;
    if (seq !== last.seq + 1) {
      throw new DfdbError("gap", `entry ${seq} came after entry ${last.seq}`, {
        details: { seq, last: last.seq },
      });
    }
    if (this.#begins(term) && term.epoch < last.epoch) {
      throw diverged(seq, `is of epoch ${term.epoch}, after ${last.epoch}`);
    }
    const position = this.#position(term, seq, wallMs, payload);
    if (position.chain !== chain) {
      const message =
        `entry ${seq} has chain ${chain}; its bytes after entry ${last.seq} make ${position.chain}`;
      throw new DfdbError("corrupt", message, { details: { seq } });
    }
    return position;
  }

  #judgeTerm({ seq, term }: LogEntry, [first]: readonly Operation[]): void {
    if (first?.kind === "term") {
      if (first.epoch !== term.epoch || first.run !== term.run) {
        throw diverged(seq, "begins another term than its own");
      }
    } else if (this.#begins(term)) {
      throw diverged(seq, "is of a term that has not begun");
    }
  }

  #begins(term: Term): boolean {
    const last = this.#draft.position;
    return term.run !== last.run || term.epoch !== last.epoch;
  }

  #position(term: Term, seq: Seq, wallMs: WallMs, payload: Uint8Array): Position {
    assert(Number.isSafeInteger(seq), "a seq is below 2^53");
    if (!Number.isSafeInteger(wallMs) || wallMs < 0) {
      throw new DfdbError("corrupt", `entry ${seq} has wall time ${wallMs}`);
    }
    const chain = chainAfter(this.#draft.position.chain, term, seq, wallMs, payload);
    return { epoch: term.epoch, run: term.run, seq, chain };
  }

  #write(
    position: Position,
    operations: readonly Operation[],
    wallMs: WallMs,
    payload: Uint8Array,
  ): Position {
    const { apply } = this.#writers;
    try {
      for (const operation of operations) apply.operation(this.#draft, operation, position.seq, wallMs);
      this.#writers.log.add(this.#draft, position, wallMs, payload);
      return this.#added(position);
    } catch (thrown) {
      // Part of the entry may be in the tables: nothing of this transaction may be kept, even if the caller goes on.
      this.#broken = thrown;
      throw thrown;
    }
  }

  *#writeInSlices(
    position: Position,
    operations: readonly Operation[],
    wallMs: WallMs,
    payload: Uint8Array,
    unique: boolean,
  ): Generator<void, Position, void> {
    const { apply, log } = this.#writers, slice = new Slice();
    this.#halfway = true;
    try {
      yield; // the encoding, or the checksum, had its turn
      // First, while few pages wait to be written: a row this large takes the longest of all slices (DESIGN.md).
      log.write(this.#draft, position, wallMs, payload);
      yield;
      for (const operation of operations) {
        yield* apply.inSlices(this.#draft, operation, position.seq, wallMs);
        if (slice.full(bytesOf(operation))) yield;
      }
      if (unique) yield* this.#uniqueInSlices(operations);
      yield; // COMMIT has a turn of its own
      log.moveTo(this.#draft, position, wallMs, payload);
      this.#halfway = false;
      return this.#added(position);
    } catch (thrown) {
      this.#broken = thrown;
      throw thrown;
    }
  }

  /** After an entry: its position is taken, so that whoever runs a group of plans knows that nothing of the group can be kept. */
  #expectUnique(operations: readonly Operation[]): void {
    for (const [i, operation] of operations.entries()) {
      const error = this.#writers.unique.collides(this.#draft, operation, i);
      if (error !== null) throw this.#broken = error;
    }
  }

  *#uniqueInSlices(operations: readonly Operation[]): Generator<void, void, void> {
    const slice = new Slice();
    for (const [i, operation] of operations.entries()) {
      if (operation.kind !== "put") continue;
      const error = this.#writers.unique.collides(this.#draft, operation, i);
      if (error !== null) throw error;
      if (slice.full(operation.body.length)) yield;
    }
  }

  #added(position: Position): Position {
    this.#entries++;
    this.#writers.crashPoint("apply:entry");
    return position;
  }

  #usable(): void {
    assert(this.#open, "a transaction is used only while its function runs");
    if (this.#broken !== null) throw this.#broken;
    assert(!this.#halfway, "one entry after the other");
  }
}

function tooLarge(): DfdbError {
  return new DfdbError(
    "payload_too_large",
    `the change takes more bytes than an entry of the log may have, ${limits.entryBytesMax}`,
    { details: { bytesMax: limits.entryBytesMax } },
  );
}

function diverged(seq: Seq, what: string): DfdbError {
  return new DfdbError("diverged", `entry ${seq} ${what}`, { details: { seq } });
}
