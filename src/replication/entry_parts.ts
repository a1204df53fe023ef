import { DfdbError } from "../base/errors.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { samePosition } from "../storage/log.ts";
import type { Append, Part } from "../wire/message.ts";

/** Puts one large entry together. Memory grows with what has arrived, never with what a part claims. */
export class EntryParts {
  #first: Part | null = null;
  #pieces: Uint8Array[] = [];
  #received = 0;

  /** True between the first and the last part of an entry. */
  get open(): boolean {
    return this.#first !== null;
  }

  /** The whole entry after its last part, null before, or what is wrong (`bad_frame`); then nothing more may be added. */
  add(part: Part): Append | DfdbError | null {
    const { length, offset, bytes } = part;
    if (length === 0 || length > limits.entryBytesMax) return wrong(`an entry of ${length} bytes`);
    if (this.#first !== null && !sameEntry(this.#first, part)) return wrong("a part of another entry");
    if (offset !== this.#received) return wrong(`a part at ${offset} instead of ${this.#received}`);
    if (bytes.length === 0 || offset + bytes.length > length) {
      return wrong(`a part of ${bytes.length} bytes at ${offset} of ${length}`);
    }
    this.#first ??= part;
    this.#pieces.push(bytes);
    this.#received += bytes.length;
    return this.#received < length ? null : this.#whole(part);
  }

  #whole(part: Part): Append {
    const { previous, epoch, run, chain, wallMs, length } = part;
    const payload = new Uint8Array(length);
    let at = 0;
    for (const piece of this.#pieces) {
      payload.set(piece, at);
      at += piece.length;
    }
    this.#first = null;
    this.#pieces = [];
    this.#received = 0;
    const entry = { seq: seqOf(previous.seq + 1), term: { epoch, run }, chain, wallMs, payload };
    return { type: "append", previous, entries: [entry] };
  }
}

function sameEntry(a: Part, b: Part): boolean {
  return samePosition(a.previous, b.previous) && a.epoch === b.epoch && a.run === b.run &&
    a.chain === b.chain && a.wallMs === b.wallMs && a.length === b.length;
}

function wrong(what: string): DfdbError {
  return new DfdbError("bad_frame", `the leader sent ${what}`);
}
