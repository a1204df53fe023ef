import { utf8Text } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";

/**
 * Reads the part of CBOR (RFC 8949) that payloads are made of: definite arrays, unsigned numbers, text, bytes; each
 * head in its shortest form. Every length is compared with what is left before it is used, so nothing is allocated,
 * read or waited for on the word of the input. All failures are DfdbError `corrupt`.
 */
export class EntryReader {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  /** Number of elements of the array that begins here; each takes at least one byte, so it is at most what is left. */
  array(): number {
    const count = this.#head(4);
    if (count > this.bytes.length - this.at) throw this.corrupt("array longer than the payload");
    return count;
  }

  /** A whole number from 0 to 2^53 - 1. From 2^32 on it is written as a 64-bit float. */
  number(): number {
    if (this.bytes[this.at] !== 0xfb) return this.#head(0);
    if (this.at + 9 > this.bytes.length) throw this.corrupt("number cut short");
    const value = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.at + 1, 8).getFloat64(0);
    if (!Number.isSafeInteger(value) || value < 2 ** 32) throw this.corrupt("not a whole number");
    this.at += 9;
    return value;
  }

  /** Valid UTF-8 of `bytesMin` to `bytesMax` bytes. */
  text(bytesMin: number, bytesMax: number): string {
    const length = this.#length(3);
    if (length < bytesMin || length > bytesMax) throw this.corrupt(`text of ${length} bytes`);
    const from = this.at, end = from + length;
    this.at = end;
    // Nearly all ids are short ASCII: much cheaper than a call of TextDecoder.
    let text = "", all = 0;
    for (let i = from; length <= 64 && i < end; i++) {
      const code = this.bytes[i] as number;
      all |= code;
      text += String.fromCharCode(code);
    }
    if (length <= 64 && all < 0x80) return text;
    try {
      return utf8Text(this.#slice(from, end));
    } catch (thrown) {
      throw this.corrupt(messageOf(thrown));
    }
  }

  /** A view of the bytes, not a copy. */
  binary(): Uint8Array {
    const length = this.#length(2), from = this.at;
    this.at += length;
    return this.#slice(from, this.at);
  }

  end(): void {
    if (this.at !== this.bytes.length) throw this.corrupt("bytes after the end");
  }

  corrupt(what: string): DfdbError {
    return new DfdbError("corrupt", `log entry: ${what} at byte ${this.at}`, {
      details: { offset: this.at },
    });
  }

  #slice(from: number, end: number): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + from, end - from);
  }

  #length(major: number): number {
    const length = this.#head(major);
    if (length > this.bytes.length - this.at) throw this.corrupt("length beyond the payload");
    return length;
  }

  #head(major: number): number {
    const bytes = this.bytes, first = bytes[this.at];
    if (first === undefined) throw this.corrupt("payload cut short");
    if (first >> 5 !== major) throw this.corrupt(`CBOR type ${first >> 5} instead of ${major}`);
    const info = first & 31;
    if (info < 24) {
      this.at += 1;
      return info;
    }
    if (info > 26) throw this.corrupt("CBOR head that is never written");
    const size = 1 << (info - 24);
    if (this.at + 1 + size > bytes.length) throw this.corrupt("payload cut short");
    let value = 0;
    for (let i = 1; i <= size; i++) value = value * 256 + (bytes[this.at + i] as number);
    const shorter = size === 1 ? 24 : size === 2 ? 256 : 65536;
    if (value < shorter) throw this.corrupt("CBOR head longer than needed");
    this.at += 1 + size;
    return value;
  }
}
