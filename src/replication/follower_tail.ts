import { DfdbError } from "../base/errors.ts";
import { type LogEntry, type LogReader, type Position, samePosition } from "../storage/log.ts";
import type { Append } from "../wire/message.ts";
import { sameTerm } from "./judge_position.ts";
import { positionOf } from "./send_window.ts";

/** Entries that came and are not applied, in order, continuing what is applied. */
export class FollowerTail {
  readonly #log: LogReader;
  /** Taken out and not applied yet. */
  #taken: readonly LogEntry[] = [];
  #waiting: LogEntry[] = [];
  #bytes = 0;
  #tail: Position;

  constructor(log: LogReader) {
    this.#log = log;
    this.#tail = log.last;
  }

  get count(): number {
    return this.#waiting.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The last entry that came, applied or not. */
  get end(): Position {
    return this.#tail;
  }

  /** The oldest entry that is not applied. */
  get first(): LogEntry | null {
    return this.#taken[0] ?? this.#waiting[0] ?? null;
  }

  /** The oldest entry that waits. */
  get firstWaiting(): LogEntry | null {
    return this.#waiting[0] ?? null;
  }

  /** Adds what an append brings, or says why it does not continue what is here: `gap`, `diverged`, `corrupt`. */
  add(append: Append): DfdbError | null {
    const { previous, entries } = append;
    if (previous.seq > this.#tail.seq) {
      const missing = `entries ${this.#tail.seq + 1} to ${previous.seq} are missing in the leader's stream`;
      return new DfdbError("gap", missing, { details: { have: this.#tail.seq, got: previous.seq + 1 } });
    }
    const before = this.#held(previous.seq);
    if (before === null || !samePosition(before, previous)) return differs(before, previous);
    for (const entry of entries) {
      const held = entry.seq <= this.#tail.seq ? this.#held(entry.seq) : undefined;
      if (held === undefined) this.#push(entry);
      else if (held === null || !samePosition(held, positionOf(entry))) {
        return new DfdbError("diverged", `entry ${entry.seq} is here already, from another history`);
      }
    }
    return null;
  }

  /**
   * Takes the oldest entries out, at least one if it is not after `lastSeq`; they count as held until `settled`.
   */
  take(limits: TakeLimits): readonly LogEntry[] {
    let count = 0, bytes = 0;
    for (const entry of this.#waiting) {
      if (limits.lastSeq !== null && entry.seq > limits.lastSeq) break;
      if (count > 0 && (count >= limits.entriesMax || bytes + entry.payload.length > limits.bytesMax)) break;
      bytes += entry.payload.length;
      count++;
    }
    this.#bytes -= bytes;
    if (count < this.#waiting.length) return this.#taken = this.#waiting.splice(0, count);
    this.#taken = this.#waiting;
    this.#waiting = [];
    return this.#taken;
  }

  /** What was taken is applied now. */
  settled(): void {
    this.#taken = [];
  }

  #push(entry: LogEntry): void {
    this.#waiting.push(entry);
    this.#bytes += entry.payload.length;
    this.#tail = positionOf(entry);
  }

  /** The position at `seq`, waiting or applied; null when this node's log no longer holds it. */
  #held(seq: number): Position | null {
    if (seq === this.#tail.seq) return this.#tail;
    const found = entryAt(this.#waiting, seq) ?? entryAt(this.#taken, seq);
    if (found !== undefined) return positionOf(found);
    const here = this.#log.at(seq as Position["seq"]);
    return typeof here === "object" ? here : null;
  }
}

/** Bounds of one apply. `lastSeq`: nothing after it; null: no bound. */
export interface TakeLimits {
  readonly entriesMax: number;
  readonly bytesMax: number;
  readonly lastSeq: number | null;
}

/** Entries have no holes between them. */
function entryAt(entries: readonly LogEntry[], seq: number): LogEntry | undefined {
  const first = entries[0];
  return first === undefined ? undefined : entries[seq - first.seq];
}

function differs(here: Position | null, theirs: Position): DfdbError {
  if (here !== null && sameTerm(here, theirs)) {
    return new DfdbError("corrupt", `entry ${theirs.seq} differs from the leader's inside one run`);
  }
  return new DfdbError("diverged", `entry ${theirs.seq} is from another history than the leader's`);
}
