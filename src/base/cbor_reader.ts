import { utf8Text } from "./bytes.ts";
import { type DfdbError, messageOf } from "./errors.ts";

/** What a reader insists on, and what its refusals are. */
export interface CborRules {
  /**
   * True: exactly what `CborWriter` writes with `array`, `number`, `text` and `binary`. False: heads of any width,
   * and numbers as unsigned integers or as 64-bit floats.
   */
  readonly canonical: boolean;
  /** The error for `what` at byte `offset`. */
  readonly error: (what: string, offset: number) => DfdbError;
}

/** Items inside items are refused beyond this depth. */
export const cborDepthMax = 8;

/** Up to this length, text is tried as ASCII first: cheaper there than a call of TextDecoder, on every runtime. */
const shortTextBytesMax = 24;

/**
 * A strict cursor over CBOR (RFC 8949): no tags, no indefinite lengths. Every count and length is compared with what
 * is left before it is used, so nothing is allocated, read or waited for on the word of the input. All failures are
 * errors of the rules.
 */
export class CborReader {
  readonly bytes: Uint8Array;
  readonly rules: CborRules;
  at: number;
  #view: DataView | null = null;

  constructor(bytes: Uint8Array, at: number, rules: CborRules) {
    this.bytes = bytes;
    this.rules = rules;
    this.at = at;
  }

  /** Number of elements of the array that begins here; each takes at least one byte, so it is at most what is left. */
  array(): number {
    const count = this.#head(4);
    if (count > this.bytes.length - this.at) throw this.error("array longer than what is left");
    return count;
  }

  /** Number of pairs of the map that begins here. */
  map(): number {
    const pairs = this.#head(5);
    if (2 * pairs > this.bytes.length - this.at) throw this.error("map longer than what is left");
    return pairs;
  }

  /** A whole number from 0 to 2^53 - 1. Where the rules are canonical, a 64-bit float exactly from 2^32 on. */
  number(): number {
    if (this.bytes[this.at] === 0xfb) return this.#float64();
    const value = this.#head(0);
    if (value > Number.MAX_SAFE_INTEGER) throw this.error("number out of range");
    return value;
  }

  /** Valid UTF-8 of any length. */
  text(): string {
    return this.textWithin(0, this.bytes.length);
  }

  /** Valid UTF-8 of `bytesMin` to `bytesMax` bytes. */
  textWithin(bytesMin: number, bytesMax: number): string {
    const length = this.#length(3);
    if (length < bytesMin || length > bytesMax) throw this.error(`text of ${length} bytes`);
    const bytes = this.bytes, from = this.at, end = from + length;
    this.at = end;
    if (length <= shortTextBytesMax) {
      let text = "", all = 0;
      for (let i = from; i < end; i++) {
        const code = bytes[i] as number;
        all |= code;
        text += String.fromCharCode(code);
      }
      if (all < 0x80) return text;
    }
    try {
      return utf8Text(this.#slice(from, end));
    } catch (thrown) {
      throw this.error(messageOf(thrown));
    }
  }

  /** A view of the bytes, not a copy. */
  binary(): Uint8Array {
    const length = this.#length(2), from = this.at;
    this.at += length;
    return this.#slice(from, this.at);
  }

  /** Passes over one item: of any form above, a map with text keys, a negative number, a float, or a simple value. */
  skip(depth = 0): void {
    if (depth > cborDepthMax) throw this.error("nested too deep");
    const first = this.bytes[this.at], type = first === undefined ? 0 : first >> 5;
    if (type === 0 || type === 1) {
      this.#head(type);
    } else if (type === 2 || type === 3) {
      this.#skipString(type);
    } else if (type === 4) {
      for (let items = this.array(); items > 0; items--) this.skip(depth + 1);
    } else if (type === 5) {
      for (let pairs = this.map(); pairs > 0; pairs--) {
        this.#skipString(3);
        this.skip(depth + 1);
      }
    } else {
      this.#skipSimple(first as number);
    }
  }

  /** Fails unless everything has been read. */
  end(): void {
    if (this.at !== this.bytes.length) throw this.error("bytes after the end");
  }

  /** The error for `what` was met here. */
  error(what: string): DfdbError {
    return this.rules.error(what, this.at);
  }

  #skipString(major: number): void {
    const length = this.#length(major);
    this.at += length;
  }

  #skipSimple(first: number): void {
    const bytes = simpleBytes.get(first);
    if (bytes === undefined) throw this.error("CBOR tag, or form that is never written");
    if (this.at + bytes > this.bytes.length) throw this.error("cut short");
    this.at += bytes;
  }

  #slice(from: number, end: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + from, end - from);
  }

  #length(major: number): number {
    const length = this.#head(major);
    if (length > this.bytes.length - this.at) throw this.error("length beyond what is left");
    return length;
  }

  #float64(): number {
    if (this.at + 9 > this.bytes.length) throw this.error("cut short");
    const value = this.#viewed().getFloat64(this.at + 1);
    const least = this.rules.canonical ? 2 ** 32 : 0;
    if (!Number.isSafeInteger(value) || value < least) throw this.error("not a whole number");
    this.at += 9;
    return value;
  }

  /** The number in the head that begins here. */
  #head(major: number): number {
    const first = this.bytes[this.at];
    if (first === undefined) throw this.error("cut short");
    if (first >> 5 !== major) throw this.error(`CBOR type ${first >> 5} instead of ${major}`);
    const info = first & 31;
    if (info >= 24) return this.#longHead(info);
    this.at += 1;
    return info;
  }

  /** Exact below 2^53, and never brought below 2^53 by rounding. */
  #longHead(info: number): number {
    const { canonical } = this.rules, bytes = this.bytes, at = this.at + 1;
    if (info > (canonical ? 26 : 27)) throw this.error("CBOR head that is never written");
    const size = 1 << (info - 24);
    if (at + size > bytes.length) throw this.error("cut short");
    const value = size === 8 ? this.#uint64(at) : this.#unsigned(at, size);
    if (canonical && value < (size === 1 ? 24 : size === 2 ? 256 : 65536)) {
      throw this.error("CBOR head longer than needed");
    }
    this.at = at + size;
    return value;
  }

  /** Of 1, 2 or 4 bytes. */
  #unsigned(at: number, size: number): number {
    let value = 0;
    for (let i = at; i < at + size; i++) value = value << 8 | (this.bytes[i] as number);
    return value >>> 0;
  }

  #uint64(at: number): number {
    const view = this.#viewed();
    return view.getUint32(at) * 2 ** 32 + view.getUint32(at + 4);
  }

  #viewed(): DataView {
    return this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
  }
}

/** Bytes of false, true, null, undefined and the three floats, by their first byte. */
const simpleBytes: ReadonlyMap<number, number> = new Map([
  [0xf4, 1],
  [0xf5, 1],
  [0xf6, 1],
  [0xf7, 1],
  [0xf9, 3],
  [0xfa, 5],
  [0xfb, 9],
]);
