import { DfdbError } from "../../src/base/errors.ts";
import type { NodeId, RunId, Seq, WallMs } from "../../src/base/ids.ts";
import { epochOf, nodeIdOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { type Emitter, signal } from "../../src/base/signal.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import type {
  LogEntry,
  LogReadLimits,
  Position,
  Term,
  TermRecord,
  TimedLogReader,
} from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";

/** A run id whose digits are all `digit`. */
export const runOf = (digit: string): RunId => runIdOf(digit.repeat(32));

/** A log in memory that checks all that is applied to it: order, continuity, chain, each entry once. */
export class FakeDatabase implements TimedLogReader {
  first: Seq = seqOf(1);
  terms: TermRecord[] = [];
  readonly kept: LogEntry[] = [];
  readonly committed: Emitter<Position> = signal(origin);
  /** Sizes of the transactions in which entries were applied. */
  readonly applies: number[] = [];
  /** Thrown by the next apply. */
  failure: DfdbError | null = null;
  /** Called inside every apply. */
  onApply = (): void => {};
  reads = 0;
  /** Thrown by every read of an entry before the last one: the disk failed, or a page is damaged. */
  unreadable: DfdbError | null = null;
  #beforeFirst: Position = origin;

  get last(): Position {
    const entry = this.kept.at(-1);
    return entry === undefined ? this.#beforeFirst : positionAfter(entry);
  }

  at(seq: Seq): Position | "compacted" | "ahead" {
    if (seq === 0) return origin;
    if (seq === this.#beforeFirst.seq) return this.#beforeFirst;
    if (seq < this.first) return "compacted";
    const entry = this.kept[seq - this.first];
    if (this.unreadable !== null && seq < this.last.seq) throw this.unreadable;
    return entry === undefined ? "ahead" : positionAfter(entry);
  }

  entries(after: Seq, limits: LogReadLimits): readonly LogEntry[] | "compacted" {
    this.reads++;
    if (after + 1 < this.first) return "compacted";
    if (this.unreadable !== null) throw this.unreadable;
    const found: LogEntry[] = [];
    let bytes = 0;
    for (let i = after + 1 - this.first; i < this.kept.length && found.length < limits.entriesMax; i++) {
      const entry = this.kept[i];
      if (entry === undefined) break;
      bytes += entry.payload.length;
      found.push(entry);
      if (bytes >= limits.bytesMax) break;
    }
    return found;
  }

  bytesAfter(seq: Seq): number {
    let bytes = 0;
    for (const entry of this.kept) if (entry.seq > seq) bytes += entry.payload.length;
    return bytes;
  }

  wallMsAt(seq: Seq): WallMs | null {
    return this.kept[seq - this.first]?.wallMs ?? null;
  }

  /** Begins a run with its own entry, as a node that starts to lead. */
  lead(epoch: number, run: RunId): void {
    this.#push({ epoch: epochOf(epoch), run }, Uint8Array.of(0), 0);
    this.committed.emit(this.last);
  }

  /** Commits `count` entries of `bytes` each in the present run. */
  write(count: number, bytes = 20, wallMs = 0): void {
    const { epoch, run } = this.last;
    for (let i = 0; i < count; i++) {
      this.#push({ epoch, run }, new Uint8Array(bytes).fill(this.last.seq & 0xff), wallMs);
    }
    this.committed.emit(this.last);
  }

  /** All or nothing, like the real thing. */
  apply(entries: readonly LogEntry[]): Position {
    this.onApply();
    const { failure } = this;
    this.failure = null;
    if (failure !== null) throw failure;
    let before = this.last;
    for (const entry of entries) {
      if (entry.seq !== before.seq + 1) throw new Error(`applied ${entry.seq} after ${before.seq}`);
      const chain = chainAfter(before.chain, entry.term, entry.seq, entry.wallMs, entry.payload);
      if (chain !== entry.chain) throw new DfdbError("corrupt", `entry ${entry.seq} does not fit its chain`);
      before = positionAfter(entry);
    }
    for (const entry of entries) this.#keep({ ...entry, payload: entry.payload.slice() });
    this.applies.push(entries.length);
    this.committed.emit(this.last);
    return this.last;
  }

  /** Trims everything up to and with `seq`. */
  trim(seq: number): void {
    const position = this.at(seqOf(seq));
    if (typeof position !== "object") throw new Error("nothing to trim");
    this.kept.splice(0, seq + 1 - this.first);
    this.#beforeFirst = position;
    this.first = seqOf(seq + 1);
  }

  /** Takes over the whole state of `other`. */
  install(other: FakeDatabase): void {
    this.kept.splice(0, this.kept.length, ...other.kept);
    this.first = other.first;
    this.terms = other.terms;
    this.#beforeFirst = other.#beforeFirst;
    this.committed.emit(this.last);
  }

  /** A copy that goes its own way from entry `seq` on: a restored backup, a crashed disk. */
  copy(seq: number = this.last.seq): FakeDatabase {
    const copy = new FakeDatabase();
    copy.first = this.first;
    copy.#beforeFirst = this.#beforeFirst;
    copy.terms = this.terms.filter((term) => term.firstSeq < this.first);
    for (const entry of this.kept) if (entry.seq <= seq) copy.#keep(entry);
    return copy;
  }

  #push(term: Term, payload: Uint8Array, wallMs: number): void {
    const { seq: before, chain } = this.last, seq = seqOf(before + 1), wall = wallMsOf(wallMs);
    this.#keep({ seq, term, chain: chainAfter(chain, term, seq, wall, payload), wallMs: wall, payload });
  }

  #keep(entry: LogEntry): void {
    const { term, seq } = entry, last = this.terms.at(-1);
    if (last?.run !== term.run) {
      this.terms = [...this.terms, { ...term, nodeId: leaderOf(term), firstSeq: seq }];
    }
    this.kept.push(entry);
  }
}

function leaderOf(term: Term): NodeId {
  return nodeIdOf(term.run);
}

function positionAfter(entry: LogEntry): Position {
  return { seq: entry.seq, epoch: entry.term.epoch, run: entry.term.run, chain: entry.chain };
}
