import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import type { LogEntry, LogReader, Position } from "../storage/log.ts";
import type { Append, Part } from "../wire/message.ts";
import type { SendWindow } from "./send_window.ts";
import type { SharedReads } from "./shared_reads.ts";
import type { StreamTuning } from "./types.ts";

export interface LeaderStreamOptions {
  readonly log: LogReader;
  readonly reads: SharedReads;
  readonly tuning: Pick<StreamTuning, "appendBytes" | "windowBytes">;
}

/** The log on its way to one follower: appends, and entries in parts, as the window has room. */
export class LeaderStream {
  readonly window: SendWindow;
  readonly #options: LeaderStreamOptions;
  /** The entry whose parts are being sent. */
  #large: { readonly entry: LogEntry; readonly previous: Position; offset: number } | null = null;
  /** An entry larger than a frame waits for room: its bytes, known without reading it again. */
  #waiting: { readonly after: Seq; readonly bytes: number } | null = null;
  /** Catching up until this is acknowledged. */
  #behindUntil: Seq;

  constructor(options: LeaderStreamOptions, window: SendWindow) {
    this.#options = options;
    this.window = window;
    this.#behindUntil = options.log.last.seq;
  }

  get state(): "catching_up" | "streaming" {
    return this.window.acked.seq < this.#behindUntil ? "catching_up" : "streaming";
  }

  /** The next message, to be given out when the last one was taken; null when there is none now. `compacted` when it was trimmed. */
  next(): Append | Part | DfdbError | null {
    if (this.#large !== null) return this.#nextPart();
    const { log, reads, tuning } = this.#options, { sent } = this.window;
    if (log.last.seq <= sent.seq) return null;
    const needed = this.#waiting?.after === sent.seq ? this.#waiting.bytes : tuning.appendBytes;
    if (this.#room < needed) return this.#wait();
    const append = reads.append(sent);
    if (append === "compacted") {
      return new DfdbError("compacted", "the log was trimmed before the follower took it");
    }
    if (append === null) return null;
    const { entries } = append, first = entries[0];
    assert(first?.seq === sent.seq + 1, "the log has no holes");
    const count = this.#fitting(entries), bytes = first.payload.length;
    if (count === 0) {
      this.#waiting = { after: sent.seq, bytes };
      return this.#wait();
    }
    if (bytes > reads.partBytes) {
      this.#large = { entry: reads.large(first), previous: sent, offset: 0 };
      return this.#nextPart();
    }
    const sending = count === entries.length ? append : { ...append, entries: entries.slice(0, count) };
    this.window.add(sending.entries);
    return sending;
  }

  #nextPart(): Part {
    assert(this.#large !== null, "an entry is being sent");
    const { entry, previous, offset } = this.#large, { payload, term, wallMs, chain } = entry;
    const bytes = payload.subarray(offset, offset + this.#options.reads.partBytes), length = payload.length;
    this.#large.offset += bytes.length;
    if (this.#large.offset === length) {
      this.#large = null;
      this.window.add([entry]);
    }
    const { epoch, run } = term;
    return { type: "part", previous, epoch, run, wallMs, chain, length, offset, bytes };
  }

  /** Bytes that may be sent now; when nothing is unacknowledged, one entry of any size. */
  get #room(): number {
    const { bytesInFlight } = this.window;
    return bytesInFlight === 0 ? Infinity : this.#options.tuning.windowBytes - bytesInFlight;
  }

  /** So many of `entries` have room. A read goes beyond its limit by the entry that reaches it. */
  #fitting(entries: readonly LogEntry[]): number {
    let room = Math.min(this.#room, this.#options.tuning.windowBytes), count = 0;
    for (const { payload } of entries) {
      room -= payload.length;
      if (room < 0 && (count > 0 || this.#room < payload.length)) break;
      count++;
    }
    return count;
  }

  #wait(): null {
    this.#behindUntil = this.#options.log.last.seq;
    return null;
  }
}
