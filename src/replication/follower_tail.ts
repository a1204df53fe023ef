import { DfdbError } from "../base/errors.ts";
import { type LogEntry, type LogReader, type Position, samePosition } from "../storage/log.ts";
import type { Append } from "../wire/message.ts";
import { sameTerm } from "./judge_position.ts";
import { positionOf } from "./send_window.ts";

/** Entries that came and are not applied, in order, continuing what is applied. */
export class FollowerTail {
  readonly #log: LogReader;
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

  /** The oldest entry that is not applied. */
  get first(): LogEntry | null {
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

  /** Takes the oldest entries out, at least one. */
  take(limits: { readonly entriesMax: number; readonly bytesMax: number }): LogEntry[] {
    let count = 0, bytes = 0;
    for (const entry of this.#waiting) {
      if (count > 0 && (count >= limits.entriesMax || bytes + entry.payload.length > limits.bytesMax)) break;
      bytes += entry.payload.length;
      count++;
    }
    this.#bytes -= bytes;
    if (count < this.#waiting.length) return this.#waiting.splice(0, count);
    const all = this.#waiting;
    this.#waiting = [];
    return all;
  }

  #push(entry: LogEntry): void {
    this.#waiting.push(entry);
    this.#bytes += entry.payload.length;
    this.#tail = positionOf(entry);
  }

  /** The position at `seq`, waiting or applied; null when this node's log no longer holds it. */
  #held(seq: number): Position | null {
    if (seq === this.#tail.seq) return this.#tail;
    const first = this.#waiting[0];
    const waiting = first === undefined ? undefined : this.#waiting[seq - first.seq];
    if (waiting !== undefined) return positionOf(waiting);
    const here = this.#log.at(seq as Position["seq"]);
    return typeof here === "object" ? here : null;
  }
}

function differs(here: Position | null, theirs: Position): DfdbError {
  if (here !== null && sameTerm(here, theirs)) {
    return new DfdbError("corrupt", `entry ${theirs.seq} differs from the leader's inside one run`);
  }
  return new DfdbError("diverged", `entry ${theirs.seq} is from another history than the leader's`);
}
