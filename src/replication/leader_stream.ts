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
  /** A larger payload travels in parts of this size. */
  readonly partBytes: number;
}

/** The log on its way to one follower: appends, and entries in parts, as the window has room. */
export class LeaderStream {
  readonly window: SendWindow;
  readonly #options: LeaderStreamOptions;
  /** The entry whose parts are being sent. */
  #large: { readonly entry: LogEntry; readonly previous: Position; offset: number } | null = null;
  /** A large entry waits for room: its bytes, known without reading it again. */
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
    const { log, reads, tuning, partBytes } = this.#options, { sent } = this.window;
    if (log.last.seq <= sent.seq) return null;
    const needed = this.#waiting?.after === sent.seq ? this.#waiting.bytes : tuning.appendBytes;
    if (!this.#fits(needed)) return this.#wait();
    const append = reads.append(sent);
    if (append === "compacted") {
      return new DfdbError("compacted", "the log was trimmed before the follower took it");
    }
    if (append === null) return null;
    const { entries } = append, first = entries[0];
    assert(first?.seq === sent.seq + 1, "the log has no holes");
    if (first.payload.length > partBytes) return this.#begin(first);
    const large = entries.findIndex(({ payload }) => payload.length > partBytes);
    const sending = large < 0 ? append : { ...append, entries: entries.slice(0, large) };
    this.window.add(sending.entries);
    return sending;
  }

  #begin(entry: LogEntry): Part | null {
    const { sent } = this.window, bytes = entry.payload.length;
    this.#waiting = { after: sent.seq, bytes };
    if (!this.#fits(bytes)) return this.#wait();
    this.#large = { entry: this.#options.reads.large(entry), previous: sent, offset: 0 };
    return this.#nextPart();
  }

  #nextPart(): Part {
    assert(this.#large !== null, "an entry is being sent");
    const { entry, previous, offset } = this.#large, { payload, term, wallMs, chain } = entry;
    const bytes = payload.subarray(offset, offset + this.#options.partBytes), length = payload.length;
    this.#large.offset += bytes.length;
    if (this.#large.offset === length) {
      this.#large = null;
      this.window.add([entry]);
    }
    const { epoch, run } = term;
    return { type: "part", previous, epoch, run, wallMs, chain, length, offset, bytes };
  }

  #fits(bytes: number): boolean {
    const { bytesInFlight } = this.window;
    return bytesInFlight === 0 || bytesInFlight + bytes <= this.#options.tuning.windowBytes;
  }

  #wait(): null {
    this.#behindUntil = this.#options.log.last.seq;
    return null;
  }
}
