import { type Seq, seqOf } from "../base/ids.ts";
import { limits as sizes } from "../base/limits.ts";
import type { LogEntry, LogReader, LogReadLimits, Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import { encodeMessage } from "../wire/codec.ts";
import type { Append, Message } from "../wire/message.ts";

/** So many of the newest appends are kept, and no more than so many bytes of their frames. */
const appendsMax = 4;
const frameBytesMax = 4 * 1024 * 1024;

interface Kept {
  readonly append: Append;
  /** The log's last entry when it was read: a later read from the same place finds more. */
  readonly logLast: Position;
  frame: Uint8Array | null;
}

/**
 * What several followers are sent alike is read and encoded once. Followers at the head of the log ask for the same entries in the
 * same macrotask; others miss here and read for themselves. Used by the sessions of one leader, with the same limits.
 */
export class SharedReads {
  /** A larger payload travels alone, in parts of this size. */
  readonly partBytes: number;
  readonly #log: LogReader;
  readonly #limits: LogReadLimits;
  #kept: Kept[] = [];
  /** Entries on their way in parts, by seq: as long as any session holds one, all have the same object. */
  readonly #large = new Map<Seq, WeakRef<LogEntry>>();

  /** `partBytes` is a size of the protocol; tests take another one. */
  constructor(log: LogReader, limits: LogReadLimits, partBytes: number = sizes.partBytes) {
    this.#log = log;
    this.#limits = limits;
    this.partBytes = partBytes;
  }

  /**
   * The append that continues `previous`, which is in the log's history; null when there is nothing newer. One that begins with an
   * entry that travels in parts has no other, and is not kept: who sends it holds it.
   */
  append(previous: Position): Append | "compacted" | null {
    const logLast = this.#log.last;
    if (logLast.seq <= previous.seq) return null;
    const known = this.#kept.find((kept) =>
      samePosition(kept.append.previous, previous) && samePosition(kept.logLast, logLast)
    );
    if (known !== undefined) return known.append;
    const next = this.#large.get(seqOf(previous.seq + 1))?.deref();
    if (next !== undefined) return { type: "append", previous, entries: [next] };
    const entries = this.#log.entries(previous.seq, this.#limits);
    if (entries === "compacted") return entries;
    if (entries.length === 0) return null;
    const large = entries.findIndex(({ payload }) => payload.length > this.partBytes);
    if (large === 0) return { type: "append", previous, entries: entries.slice(0, 1) };
    const append: Append = {
      type: "append",
      previous,
      entries: large < 0 ? entries : entries.slice(0, large),
    };
    this.#kept.unshift({ append, logLast, frame: null });
    if (this.#kept.length > appendsMax) this.#kept.pop();
    return append;
  }

  /** The same entry object for everybody who sends it. */
  large(entry: LogEntry): LogEntry {
    const known = this.#large.get(entry.seq)?.deref();
    if (known !== undefined && known.chain === entry.chain) return known;
    for (const [seq, ref] of this.#large) if (ref.deref() === undefined) this.#large.delete(seq);
    this.#large.set(entry.seq, new WeakRef(entry));
    return entry;
  }

  /** The frame of `message`; that of an append of {@linkcode append} is made once. */
  readonly encode = (message: Message): Uint8Array => {
    if (message.type !== "append") return encodeMessage(message);
    const kept = this.#kept.find(({ append }) => append === message);
    if (kept === undefined) return encodeMessage(message);
    kept.frame ??= encodeMessage(message);
    this.#trim();
    return kept.frame;
  };

  /** Forgets everything: nobody follows any more. */
  clear(): void {
    this.#kept = [];
    this.#large.clear();
  }

  #trim(): void {
    let bytes = 0;
    this.#kept = this.#kept.filter(({ frame }, i) => {
      bytes += frame?.length ?? 0;
      return i === 0 || bytes <= frameBytesMax;
    });
  }
}
