import type { Seq } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { LogEntry, LogReadLimits } from "../log.ts";

/**
 * The newest committed entries, without holes, up to `limits.recentEntries` and `limits.recentBytes`: whoever reads the
 * log near its end reads no file. It keeps the payloads that were written, not copies of them.
 */
export class RecentEntries {
  /** By seq modulo their number. */
  readonly #entries: (LogEntry | undefined)[] = new Array(limits.recentEntries).fill(undefined);
  /** `end_bytes` of the same entries. */
  readonly #endBytes = new Float64Array(limits.recentEntries);
  /** Seq of the first one here; `#next` when there is none. */
  #first = 1;
  #next = 1;
  #bytes = 0;

  /** True when every entry after `after` is here, and there is one. */
  holdsAfter(after: Seq): boolean {
    return after + 1 >= this.#first && after + 1 < this.#next;
  }

  get(seq: Seq): LogEntry | undefined {
    return seq >= this.#first && seq < this.#next ? this.#entries[seq % limits.recentEntries] : undefined;
  }

  endBytes(seq: Seq): number | undefined {
    return seq >= this.#first && seq < this.#next ? this.#endBytes[seq % limits.recentEntries] : undefined;
  }

  /** As `LogReader.entries`, where {@linkcode holdsAfter}. */
  read(after: Seq, { bytesMax, entriesMax }: LogReadLimits): readonly LogEntry[] {
    const found: LogEntry[] = [], end = Math.min(this.#next, after + 1 + Math.max(1, entriesMax));
    for (let seq = after + 1, bytes = 0; seq < end; seq++) {
      const entry = this.#entries[seq % limits.recentEntries] as LogEntry;
      found.push(entry);
      bytes += entry.payload.length;
      if (bytes >= bytesMax) break;
    }
    return found;
  }

  /** After COMMIT. `endBytes` is that of the last of `entries`, which go on from the end of the log. */
  add(entries: readonly LogEntry[], endBytes: number): void {
    const [first] = entries;
    if (first === undefined) return;
    if (first.seq !== this.#next) this.clear(first.seq);
    let end = endBytes;
    for (const { payload } of entries) end -= payload.length;
    for (const entry of entries) {
      if (this.#next - this.#first === limits.recentEntries) this.#dropFirst();
      const slot = entry.seq % limits.recentEntries;
      end += entry.payload.length;
      this.#entries[slot] = entry;
      this.#endBytes[slot] = end;
      this.#bytes += entry.payload.length;
      this.#next++;
    }
    while (this.#bytes > limits.recentBytes) this.#dropFirst();
  }

  /** Forgets all; the next entry is `next`. */
  clear(next: Seq): void {
    if (this.#first === this.#next) {
      this.#first = this.#next = next;
      return;
    }
    this.#entries.fill(undefined);
    this.#first = this.#next = next;
    this.#bytes = 0;
  }

  #dropFirst(): void {
    const slot = this.#first++ % limits.recentEntries;
    this.#bytes -= this.#entries[slot]?.payload.length ?? 0;
    this.#entries[slot] = undefined;
  }
}
