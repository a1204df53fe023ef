import { assert } from "../../base/assert.ts";
import { DfdbError } from "../../base/errors.ts";
import type { CollectionNumber, Seq, WallMs } from "../../base/ids.ts";
import { seqOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { Operation } from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { chainAfter } from "../chain.ts";
import { decodeEntry, encodeEntry } from "../entry_codec.ts";
import type { LogEntry, Position, Term } from "../log.ts";
import type { WriteTransaction } from "../storage.ts";
import type { Apply } from "./apply.ts";
import type { Draft } from "./draft.ts";
import type { LogWriter } from "./log_writer.ts";
import type { TableStatements } from "./statements.ts";
import { View } from "./view.ts";

/** What a transaction writes with; one set for all transactions of a connection. */
export interface Writers {
  readonly tables: TableStatements;
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

  constructor(draft: Draft, writers: Writers) {
    super(draft, writers.tables);
    this.#draft = draft;
    this.#writers = writers;
  }

  /** Ends the use of this object. True when there is something to commit; throws when an entry was left half applied. */
  finish(): boolean {
    this.#open = false;
    if (this.#broken !== null) throw this.#broken;
    return this.#entries > 0;
  }

  newCollectionNumber(): CollectionNumber {
    this.#usable();
    return this.#draft.takeNumber();
  }

  append(operations: readonly Operation[], wallMs: WallMs): Position {
    this.#usable();
    const payload = encodeEntry(operations);
    if (payload.length > limits.entryBytesMax) {
      const message =
        `the change takes ${payload.length} bytes; an entry of the log at most ${limits.entryBytesMax}`;
      throw new DfdbError("payload_too_large", message);
    }
    const [first] = operations, term = first?.kind === "term" ? first : this.#draft.terms.at(-1);
    if (term === undefined) throw new DfdbError("diverged", "the first entry of a database begins a term");
    const seq = seqOf(this.#draft.position.seq + 1);
    return this.#write(this.#position(term, seq, wallMs, payload), operations, wallMs, payload);
  }

  apply(entry: LogEntry): Position {
    this.#usable();
    const { seq, term, chain, wallMs, payload } = entry, last = this.#draft.position;
    if (seq !== last.seq + 1) {
      throw new DfdbError("gap", `entry ${seq} came after entry ${last.seq}`, {
        details: { seq, last: last.seq },
      });
    }
    const begins = term.run !== last.run || term.epoch !== last.epoch;
    if (begins && term.epoch < last.epoch) {
      throw diverged(seq, `is of epoch ${term.epoch}, after ${last.epoch}`);
    }
    const position = this.#position(term, seq, wallMs, payload);
    if (position.chain !== chain) {
      const message =
        `entry ${seq} has chain ${chain}; its bytes after entry ${last.seq} make ${position.chain}`;
      throw new DfdbError("corrupt", message, { details: { seq } });
    }
    const operations = decodeEntry(payload), [first] = operations;
    if (first?.kind === "term") {
      if (first.epoch !== term.epoch || first.run !== term.run) {
        throw diverged(seq, "begins another term than its own");
      }
    } else if (begins) {
      throw diverged(seq, "is of a term that has not begun");
    }
    return this.#write(position, operations, wallMs, payload);
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
    try {
      this.#writers.apply.operations(this.#draft, operations, position.seq, wallMs);
      this.#writers.log.add(this.#draft, position, wallMs, payload);
      this.#entries++;
      this.#writers.crashPoint("apply:entry");
      return position;
    } catch (thrown) {
      // Part of the entry may be in the tables: nothing of this transaction may be kept, even if the caller goes on.
      this.#broken = thrown;
      throw thrown;
    }
  }

  #usable(): void {
    assert(this.#open, "a transaction is used only while its function runs");
    if (this.#broken !== null) throw this.#broken;
  }
}

function diverged(seq: Seq, what: string): DfdbError {
  return new DfdbError("diverged", `entry ${seq} ${what}`, { details: { seq } });
}
