import type { Seq } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { LogEntry, LogReader } from "../storage/log.ts";

/**
 * Reads the log in pieces for many readers, of whom each holds one piece. An entry as large as a piece is
 * held once for all who are at it, however slow each of them is.
 */
export class LogPieces {
  readonly #log: LogReader;
  readonly #large = new Map<Seq, WeakRef<LogEntry>>();

  constructor(log: LogReader) {
    this.#log = log;
  }

  /** As `LogReader.entries`, at most `entriesMax`. */
  after(seq: Seq, entriesMax: number): readonly LogEntry[] | "compacted" {
    let most = Math.min(entriesMax, limits.feedReadEntries);
    for (const [at, ref] of this.#large) {
      const entry = ref.deref(), here = this.#log.at(at);
      // Nobody holds it any more, or another history has another one there.
      if (entry === undefined || typeof here !== "object" || here.chain !== entry.chain) {
        this.#large.delete(at);
      } else if (at === seq + 1) return [entry];
      else if (at > seq) most = Math.min(most, at - seq - 1);
    }
    const entries = this.#log.entries(seq, { bytesMax: limits.feedReadBytes, entriesMax: Math.max(1, most) });
    const last = entries === "compacted" ? undefined : entries.at(-1);
    if (last !== undefined && last.payload.length >= limits.feedReadBytes) {
      this.#large.set(last.seq, new WeakRef(last));
    }
    return entries;
  }
}
