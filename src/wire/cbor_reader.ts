import { DfdbError } from "../base/errors.ts";
import { utf8Text } from "../base/bytes.ts";

/** Items inside items are refused beyond this depth. */
export const cborDepthMax = 8;

const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, array: 4, map: 5, tag: 6, simple: 7 } as const;

/** A refusal of a body that is not what PROTOCOL.md section 2 allows. */
export function badBody(what: string): DfdbError {
  return new DfdbError("bad_frame", `a message is malformed: ${what}`);
}

/**
 * A strict cursor over one CBOR body: no tags, no indefinite lengths, bounded depth, and no count or length believed
 * beyond the bytes that are there. Every method throws DfdbError `bad_frame`.
 */
export class CborReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Number of pairs of the map that begins here. */
  map(): number {
    return this.#count(major.map, 2);
  }

  /** Number of items of the array that begins here. */
  array(): number {
    return this.#count(major.array, 1);
  }

  text(): string {
    const bytes = this.#string(major.text);
    try {
      return utf8Text(bytes);
    } catch {
      throw badBody("a text is not UTF-8");
    }
  }

  /** Shares memory with the body. */
  bytes(): Uint8Array {
    return this.#string(major.bytes);
  }

  /** An integer from 0 to 2^53 - 1, as an unsigned integer of any width or as a float64. */
  unsigned(): number {
    const first = this.#byte();
    const value = first === 0xfb ? this.#float64() : this.#argument(first, major.unsigned);
    if (!Number.isSafeInteger(value) || value < 0) throw badBody("a number is out of range");
    return value;
  }

  /** Passes over one item of any allowed form. */
  skip(depth = 0): void {
    if (depth > cborDepthMax) throw badBody("nested too deep");
    const first = this.#peek();
    const kind = first >> 5;
    if (kind === major.array) {
      for (let items = this.array(); items > 0; items--) this.skip(depth + 1);
    } else if (kind === major.map) {
      for (let pairs = this.map(); pairs > 0; pairs--) {
        this.#string(major.text);
        this.skip(depth + 1);
      }
    } else if (kind === major.bytes || kind === major.text) {
      this.#string(kind);
    } else if (kind === major.unsigned || kind === major.negative) {
      this.#at++;
      this.#argument(first, kind);
    } else if (kind === major.simple) {
      this.#skipSimple(first);
    } else {
      throw badBody("tags are not allowed");
    }
  }

  /** false, true, null, undefined and floats. */
  #skipSimple(first: number): void {
    const width = simpleWidths.get(first);
    if (width === undefined) throw badBody("an item of unknown form");
    this.#need(1 + width);
    this.#at += 1 + width;
  }

  #count(kind: number, bytesEach: number): number {
    const count = this.#argument(this.#byte(), kind);
    if (count * bytesEach > this.#bytes.length - this.#at) throw badBody("a count reaches beyond the end");
    return count;
  }

  #string(kind: number): Uint8Array {
    const length = this.#argument(this.#byte(), kind);
    this.#need(length);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #argument(first: number, kind: number): number {
    if (first >> 5 !== kind) throw badBody("an item of the wrong form");
    const low = first & 31;
    if (low < 24) return low;
    if (low > 27) throw badBody("indefinite lengths are not allowed");
    const width = 1 << (low - 24);
    this.#need(width);
    const at = this.#at;
    this.#at += width;
    if (width === 1) return this.#bytes[at] ?? 0;
    if (width === 2) return this.#view.getUint16(at);
    if (width === 4) return this.#view.getUint32(at);
    return this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
  }

  #float64(): number {
    this.#need(8);
    this.#at += 8;
    return this.#view.getFloat64(this.#at - 8);
  }

  #peek(): number {
    this.#need(1);
    return this.#bytes[this.#at] ?? 0;
  }

  #byte(): number {
    const byte = this.#peek();
    this.#at++;
    return byte;
  }

  #need(bytes: number): void {
    if (bytes > this.#bytes.length - this.#at) throw badBody("it ends too early");
  }
}

/** First byte of each allowed simple item, and the bytes that follow it. */
const simpleWidths: ReadonlyMap<number, number> = new Map([
  [0xf4, 0],
  [0xf5, 0],
  [0xf6, 0],
  [0xf7, 0],
  [0xf9, 2],
  [0xfa, 4],
  [0xfb, 8],
]);

/** Refuses a body that is not exactly one allowed item; a lenient decoder may then read it safely. */
export function checkCbor(bytes: Uint8Array): void {
  const reader = new CborReader(bytes);
  reader.skip();
  if (!reader.atEnd) throw badBody("bytes after the end");
}
