import { DfdbError } from "../base/errors.ts";
import { type LogEntry, type LogReader, type Position, samePosition } from "../storage/log.ts";
import { sameTerm, termAt } from "./judge_position.ts";

interface InFlight {
  readonly last: Position;
  readonly bytes: number;
}

/** What was sent to one follower and what it has acknowledged. Holds positions, never entries. */
export class SendWindow {
  readonly #inFlight: InFlight[] = [];
  #bytesInFlight = 0;
  #sent: Position;
  #acked: Position;

  constructor(start: Position) {
    this.#sent = start;
    this.#acked = start;
  }

  get sent(): Position {
    return this.#sent;
  }

  get acked(): Position {
    return this.#acked;
  }

  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /** `entries` are about to be sent, after everything before. */
  add(entries: readonly LogEntry[]): void {
    const last = entries[entries.length - 1];
    if (last === undefined) return;
    let bytes = 0;
    for (const entry of entries) bytes += entry.payload.length;
    this.#sent = positionOf(last);
    this.#inFlight.push({ last: this.#sent, bytes });
    this.#bytesInFlight += bytes;
  }

  /**
   * Takes an acknowledgement, or says why it cannot be true (`corrupt`). One inside a frame, of an entry that was trimmed
   * meanwhile, cannot be compared any more: it changes nothing, and the end of its frame will be acknowledged, too.
   */
  acknowledge(ack: Position, log: LogReader): DfdbError | null {
    if (ack.seq > this.#sent.seq) return wrong(`acknowledged ${ack.seq}, sent only ${this.#sent.seq}`);
    if (ack.seq < this.#acked.seq) return wrong(`acknowledged ${ack.seq} after ${this.#acked.seq}`);
    const mine = this.#positionAt(ack, log), term = mine === "compacted" ? termAt(log, ack.seq) : null;
    if (mine === "compacted" && term !== null && sameTerm(term, ack)) return null;
    if (typeof mine !== "object" || !samePosition(mine, ack)) {
      return wrong(`acknowledged ${ack.seq} with another term or chain than this node's`);
    }
    this.#acked = mine;
    for (
      let first = this.#inFlight[0];
      first !== undefined && first.last.seq <= ack.seq;
      first = this.#inFlight[0]
    ) {
      this.#bytesInFlight -= first.bytes;
      this.#inFlight.shift();
    }
    return null;
  }

  /** Ends of frames are remembered: the log may have been trimmed while the follower was frozen. */
  #positionAt(ack: Position, log: LogReader): Position | "compacted" | "ahead" {
    if (ack.seq === this.#acked.seq) return this.#acked;
    const sent = this.#inFlight.find((frame) => frame.last.seq === ack.seq);
    return sent?.last ?? log.at(ack.seq);
  }
}

/** The position right after `entry`. */
export function positionOf(entry: LogEntry): Position {
  return { seq: entry.seq, epoch: entry.term.epoch, run: entry.term.run, chain: entry.chain };
}

function wrong(what: string): DfdbError {
  return new DfdbError("corrupt", `the follower ${what}`);
}
