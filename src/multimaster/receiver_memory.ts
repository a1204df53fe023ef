import type { Term } from "../storage/log.ts";
import type { Cursor, Receiver, ReceiverAnswer } from "./outgoing_events.ts";

/**
 * What a sender remembers of one receiver in one term of it, from run to run. The receiver's own cursor lags behind it: neither versions that need no
 * sending nor batches that changed nothing move it.
 */
export class ReceiverMemory {
  readonly receiver: Receiver;
  /** All up to it is there, or needs no sending. */
  after: Cursor;
  /** As the receiver said last. */
  #held: Cursor | null;
  /** Cursors of requests whose end is not known. */
  #doubted: Cursor[] = [];
  #ahead = 0;

  constructor({ databaseId, term, cursor }: ReceiverAnswer, after: Cursor) {
    this.receiver = { databaseId, term };
    this.after = after;
    this.#held = cursor;
  }

  /** By so many versions `after` is ahead of the receiver's cursor. */
  get ahead(): number {
    return this.#ahead;
  }

  /** True when the receiver is where this sender left it; false: what it lacks has to be found out. */
  agrees(answer: ReceiverAnswer): boolean {
    const { cursor } = answer, doubted = this.#doubted;
    this.#doubted = [];
    if (!sameReceiver(this.receiver, answer)) return false;
    if (sameCursor(this.#held, cursor)) return true;
    if (cursor === null || !doubted.some((one) => sameCursor(one, cursor))) return false;
    if (cursor.seq > this.after.seq) this.after = cursor;
    this.#held = cursor;
    this.#ahead = 0;
    return true;
  }

  /** A request to store `cursor` there may have been carried out. */
  doubt(cursor: Cursor): void {
    this.#doubted.push(cursor);
  }

  holds(cursor: Cursor | null): void {
    this.#held = cursor;
    this.#doubted = [];
  }

  /** `versions` more, up to `upTo`, are there or need no sending. */
  passed(upTo: Cursor, versions: number): void {
    this.after = upTo;
    this.#ahead = this.#held === null || this.#held.seq < upTo.seq ? this.#ahead + versions : 0;
  }

  /** The receiver was told; whatever it keeps now, it is not told again before as many more have come. */
  told(): void {
    this.#ahead = 0;
  }
}

function sameTerm(a: Term, b: Term): boolean {
  return a.epoch === b.epoch && a.run === b.run;
}

export function sameReceiver(a: Receiver, b: Receiver): boolean {
  return a.databaseId === b.databaseId && sameTerm(a.term, b.term);
}

function sameCursor(a: Cursor | null, b: Cursor | null): boolean {
  if (a === null || b === null) return a === b;
  return a.seq === b.seq && sameTerm(a, b);
}
