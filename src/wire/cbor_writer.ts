import { utf8 } from "../base/bytes.ts";

/** Short texts (keys, run ids) that come again and again. */
const texts = new Map<string, Uint8Array>();
const textsMax = 64;

/** Writes CBOR items into one buffer that the caller has sized; never grows. */
export class CborWriter {
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  #at: number;

  /** `roomBytes` for everything; writing starts at `offset`, and the bytes before it are the caller's. */
  constructor(roomBytes: number, offset: number) {
    this.#buffer = new Uint8Array(roomBytes);
    this.#view = new DataView(this.#buffer.buffer);
    this.#at = offset;
  }

  /** Everything up to here, the caller's bytes in front included. */
  written(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }

  map(pairs: number): void {
    this.#head(0xa0, pairs);
  }

  array(items: number): void {
    this.#head(0x80, items);
  }

  unsigned(value: number): void {
    this.#head(0x00, value);
  }

  bytes(value: Uint8Array): void {
    this.#head(0x40, value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  text(value: string): void {
    const bytes = encodedText(value);
    this.#head(0x60, bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #head(kind: number, value: number): void {
    if (value < 24) {
      this.#buffer[this.#at++] = kind | value;
    } else if (value < 2 ** 8) {
      this.#buffer[this.#at] = kind | 24;
      this.#buffer[this.#at + 1] = value;
      this.#at += 2;
    } else if (value < 2 ** 16) {
      this.#buffer[this.#at] = kind | 25;
      this.#view.setUint16(this.#at + 1, value);
      this.#at += 3;
    } else if (value < 2 ** 32) {
      this.#buffer[this.#at] = kind | 26;
      this.#view.setUint32(this.#at + 1, value);
      this.#at += 5;
    } else {
      this.#buffer[this.#at] = kind | 27;
      this.#view.setUint32(this.#at + 1, Math.floor(value / 2 ** 32));
      this.#view.setUint32(this.#at + 5, value >>> 0);
      this.#at += 9;
    }
  }
}

function encodedText(value: string): Uint8Array {
  const known = texts.get(value);
  if (known !== undefined) return known;
  if (texts.size >= textsMax) texts.clear();
  const bytes = utf8(value);
  texts.set(value, bytes);
  return bytes;
}
