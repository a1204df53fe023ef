/** A log in memory, for tests of the checkers: right unless told otherwise. */
import { epochOf, nodeIdOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { CollectionNumber, Seq } from "../../src/base/ids.ts";
import { utf8 } from "../../src/base/bytes.ts";
import type { Delete, Operation, Put } from "../../src/document/operation.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import { encodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry, LogReader, Position, Term, TermRecord } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import type { Seen } from "./history.ts";

/** The collection that {@linkcode FakeLog.begin} makes. */
export const orders = 1 as CollectionNumber;

/** A document of which all that counts is its tag. */
export function put(id: string, previous: number, tag: string, collection: CollectionNumber = orders): Put {
  const body = utf8(`{"tag":${JSON.stringify(tag)},"sum":"x"}`);
  return { kind: "put", collection, id: documentIdOf(id), previous: seqOf(previous), body };
}

export function remove(id: string, previous: number): Delete {
  return { kind: "delete", collection: orders, id: documentIdOf(id), previous: seqOf(previous) };
}

export class FakeLog implements LogReader {
  first: Seq = seqOf(1);
  terms: readonly TermRecord[] = [];
  /** All entries, also those that were trimmed. */
  all: LogEntry[] = [];
  #last: Position = origin;

  get last(): Position {
    return this.#last;
  }

  /** Begins a run of the writer and epoch; its id is 32 times `digit`. */
  term(epoch: number, digit: string, writer = "a"): this {
    const run = runIdOf(digit.repeat(32)), nodeId = nodeIdOf(writer.repeat(32));
    const term = { epoch: epochOf(epoch), run };
    this.terms = [...this.terms, { ...term, nodeId, firstSeq: seqOf(this.#last.seq + 1) }];
    return this.add([{ kind: "term", ...term, nodeId }], { term });
  }

  /** Entries 1 and 2: epoch 1 and the collection. */
  begin(): this {
    return this.term(1, "1").add([{ kind: "createCollection", collection: orders, name: "orders" }]);
  }

  /** Appends an entry; `other` makes it differ from what is right. */
  add(
    operations: readonly Operation[],
    other: { term?: Term; seq?: number; wallMs?: number; chain?: number; payload?: Uint8Array } = {},
  ): this {
    const { term = this.#last, seq = this.#last.seq + 1, wallMs = 1_790_000_000_000 + this.#last.seq } =
      other;
    const payload = other.payload ?? encodeEntry(operations);
    const { epoch, run } = term, at = seqOf(seq), wall = wallMsOf(wallMs);
    const chain = other.chain ?? chainAfter(this.#last.chain, { epoch, run }, at, wall, payload);
    this.all.push({ seq: at, term: { epoch, run }, chain, wallMs: wall, payload });
    this.#last = { epoch, run, seq: at, chain };
    return this;
  }

  /** The log up to `seq`, to go its own way. */
  copy(seq: number = this.#last.seq): FakeLog {
    const log = new FakeLog();
    log.all = this.all.slice(0, seq);
    log.terms = this.terms.filter(({ firstSeq }) => firstSeq <= seq);
    log.first = this.first;
    const last = log.all.at(-1);
    if (last !== undefined) log.#last = { ...last.term, seq: last.seq, chain: last.chain };
    return log;
  }

  /** Takes over the entries of another log, in place, as a snapshot does. */
  become({ all, terms, first, last }: FakeLog): void {
    Object.assign(this, { all: [...all], terms: [...terms], first });
    this.#last = { ...last };
  }

  at(seq: Seq): Position | "compacted" | "ahead" {
    if (seq === 0) return origin;
    if (seq > this.#last.seq) return "ahead";
    if (seq < this.first - 1) return "compacted";
    const entry = this.all.find((other) => other.seq === seq);
    return entry === undefined ? "compacted" : { ...entry.term, seq, chain: entry.chain };
  }

  entries(after: Seq): readonly LogEntry[] | "compacted" {
    return after < this.first - 1 ? "compacted" : this.all.slice(after);
  }

  bytesAfter(): number {
    return 0;
  }
}

/** A process of `machine` with this log. */
export function seenAs(machine: string, log: LogReader, number = 0): Seen {
  return { machine, process: `${machine}#${number}`, storage: { log } };
}
