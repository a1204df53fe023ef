/** CSV (RFC 4180) as documents: the first record names the fields. */
import type { CsvError, InfoRecord } from "csv-parse/stream";
import { parse } from "csv-parse/stream";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { ImportRecord } from "./import_record.ts";

interface Parsed {
  readonly record: readonly string[];
  readonly info: InfoRecord;
}

/** Digits that a double holds for certain. */
const digitsMax = 15;
const numberText = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;

/**
 * An empty field is a member that is not there. A value that is written as JSON writes numbers (`01` is not), `true`, `false` and
 * `null` are these, with the number's digits kept; `asText`: all are text.
 */
export async function* csvRecords(
  input: AsyncIterable<Uint8Array>,
  asText: boolean,
): AsyncGenerator<ImportRecord> {
  const { readable, writable } = parse({
    bom: true,
    info: true,
    record_delimiter: ["\r\n", "\n"],
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: 64 * 1024 * 1024,
  });
  const fed = feed(input, writable as WritableStream<Uint8Array>);
  let names: readonly string[] | null = null, next = 1, blank = 0;
  try {
    for await (const { record, info } of readable as unknown as AsyncIterable<Parsed>) {
      // The parser counts a line break in quotes twice when it is \r\n.
      const place = next + info.empty_lines - blank;
      blank = info.empty_lines;
      next = place + record.reduce((sum, field) => sum + field.split("\n").length - 1, 1);
      if (names === null) names = checkedNames(record);
      else yield document(place, names, record, asText);
    }
    await fed;
  } catch (error) {
    // What ended the reading of the input is said in place of what that meant for the parser.
    await fed;
    throw malformed(error);
  }
}

/** Resolves at the end, also where the parser has given up; rejects with why the input could not be read. */
async function feed(input: AsyncIterable<Uint8Array>, writable: WritableStream<Uint8Array>): Promise<void> {
  const writer = writable.getWriter();
  writer.closed.catch(() => {});
  let given = true;
  const taken = async (written: Promise<void>): Promise<void> => {
    await written.catch(() => given = false);
  };
  try {
    // One chunk at a time: the stream itself would hold a thousand.
    for await (const chunk of input) {
      await taken(writer.write(chunk));
      if (!given) return;
    }
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  }
  await taken(writer.close());
}

function checkedNames(names: readonly string[]): readonly string[] {
  names.forEach((name, i) => {
    if (name === "") throw new DfdbError("bad_request", `the CSV's column ${i + 1} has no name`);
    if (names.indexOf(name) !== i) throw new DfdbError("bad_request", `the CSV has two columns ${name}`);
  });
  return names;
}

function document(
  place: number,
  names: readonly string[],
  fields: readonly string[],
  asText: boolean,
): ImportRecord {
  if (fields.length !== names.length) {
    return { place, error: `it has ${fields.length} fields, and there are ${names.length} columns` };
  }
  const members: string[] = [];
  fields.forEach((field, i) => {
    if (field === "") return;
    const name = names[i] as string;
    // An id is text whatever it looks like.
    const value = asText || name === "_id" ? JSON.stringify(field) : valueText(field);
    members.push(`${JSON.stringify(name)}:${value}`);
  });
  return { place, text: `{${members.join(",")}}` };
}

function valueText(field: string): string {
  if (field === "true" || field === "false" || field === "null") return field;
  return numberText.test(field) && field.replace(/\D/g, "").length <= digitsMax
    ? field
    : JSON.stringify(field);
}

function malformed(error: unknown): unknown {
  if (error instanceof DfdbError) return error;
  const { lines } = error as Partial<CsvError> & { readonly lines?: number };
  const where = lines === undefined ? "" : ` at line ${lines}`;
  return new DfdbError("bad_request", `the CSV is broken${where}: ${messageOf(error)}`, { cause: error });
}
