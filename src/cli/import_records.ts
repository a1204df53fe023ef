/** The documents in a file or a stream, one by one: memory holds one of them and a chunk of bytes, however long the input is. */
import { concat, utf8Text } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import { csvRecords } from "./import_csv.ts";
import type { ImportRecord } from "./import_record.ts";

export type Format = "ndjson" | "json" | "csv";

/** What a place is a number of. */
export const placeWord = { ndjson: "line", json: "element", csv: "line" } as const;

const recordBytesMax = 64 * 1024 * 1024;

export interface RecordOptions {
  /** Null: CSV where `name` ends so, a JSON array where the first character is a `[`, else NDJSON. */
  readonly format: Format | null;
  /** Of the file; null: there is none. */
  readonly name: string | null;
  /** CSV: every value stays text. */
  readonly asText: boolean;
}

/** Throws `bad_request` where the input as a whole cannot be read on, `payload_too_large` for a record that no node takes. */
export async function readRecords(
  input: AsyncIterable<Uint8Array>,
  { format: given, name, asText }: RecordOptions,
): Promise<{ readonly format: Format; readonly records: AsyncIterable<ImportRecord> }> {
  const chunks = input[Symbol.asyncIterator](), first = await firstChunk(chunks);
  const format = given ??
    (name !== null && /\.csv$/i.test(name) ? "csv" : looksLikeArray(first) ? "json" : "ndjson");
  const bytes = again(first, chunks);
  const records = format === "csv"
    ? csvRecords(bytes, asText)
    : format === "json"
    ? arrayRecords(bytes)
    : lineRecords(bytes);
  return { format, records };
}

/** Enough to see what it is; without the byte order mark. */
async function firstChunk(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let first = new Uint8Array();
  for (;;) {
    const start = first[0] === 0xef && first[1] === 0xbb && first[2] === 0xbf ? 3 : 0;
    if (first.length >= 3 && first.subarray(start).some((byte) => !isSpace(byte))) {
      return first.subarray(start);
    }
    const { done, value } = await chunks.next();
    if (done === true) return first.subarray(start);
    first = concat([first, value]) as Uint8Array<ArrayBuffer>;
  }
}

function looksLikeArray(bytes: Uint8Array): boolean {
  return bytes.find((byte) => !isSpace(byte)) === openArray;
}

async function* again(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (first.length > 0) yield first;
  for (;;) {
    const { done, value } = await rest.next();
    if (done === true) return;
    yield value;
  }
}

const newline = 0x0a, quote = 0x22, comma = 0x2c, openArray = 0x5b, backslash = 0x5c, closeArray = 0x5d;
const openObject = 0x7b, closeObject = 0x7d;

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

/** Collects the bytes of one record over the ends of chunks. */
class Collected {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  add(part: Uint8Array, place: number): void {
    if (part.length === 0) return;
    // A chunk may be filled anew by whoever gave it.
    this.#parts.push(part.slice());
    this.#bytes += part.length;
    if (this.#bytes > recordBytesMax) {
      throw new DfdbError("payload_too_large", `document ${place} is larger than any node takes`);
    }
  }

  /** The record with `last` at its end. */
  take(last: Uint8Array, place: number): ImportRecord {
    const whole = this.#bytes === 0 ? last : concat([...this.#parts, last]);
    this.#parts = [];
    this.#bytes = 0;
    try {
      return { place, text: utf8Text(whole).trim() };
    } catch {
      return { place, error: "it is not UTF-8" };
    }
  }
}

async function* lineRecords(input: AsyncIterable<Uint8Array>): AsyncGenerator<ImportRecord> {
  const line = new Collected();
  let place = 1;
  const isBlank = (record: ImportRecord): boolean => "text" in record && record.text === "";
  for await (const chunk of input) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      const record = line.take(chunk.subarray(from, end), place++);
      if (!isBlank(record)) yield record;
      from = end + 1;
    }
    line.add(chunk.subarray(from), place);
  }
  const last = line.take(new Uint8Array(), place);
  if (!isBlank(last)) yield last;
}

/** Elements are separated, not checked: each is parsed later. */
async function* arrayRecords(input: AsyncIterable<Uint8Array>): AsyncGenerator<ImportRecord> {
  const element = new Collected();
  let state = "before" as "before" | "inside" | "after",
    place = 1,
    depth = 0,
    inString = false,
    escaped = false;
  let wantsElement = false;
  for await (const chunk of input) {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
      } else if (state === "inside") {
        if (byte === quote) inString = true;
        else if (byte === openArray || byte === openObject) depth++;
        else if (depth === 0 && (byte === comma || byte === closeArray)) {
          const record = element.take(chunk.subarray(from, at), place);
          const blank = "text" in record && record.text === "";
          from = at + 1;
          if (blank && (byte === comma || wantsElement)) throw malformed(`element ${place} is missing`);
          if (!blank) {
            place++;
            yield record;
          }
          wantsElement = byte === comma;
          if (byte === closeArray) state = "after";
        } else if (byte === closeArray || byte === closeObject) depth--;
      } else if (!isSpace(byte)) {
        if (state === "after") throw malformed("something follows it");
        if (byte !== openArray) throw malformed("it does not begin with [");
        state = "inside";
        from = at + 1;
      }
    }
    if (state === "inside") element.add(chunk.subarray(from), place);
  }
  if (state !== "after") throw malformed(state === "before" ? "it is empty" : `it ends in element ${place}`);
}

const malformed = (what: string): DfdbError =>
  new DfdbError("bad_request", `the JSON array is broken: ${what}`);
