/** The rescue files in a node's `rescued/` folder, as `dfdb rescued` reads them. */
import * as v from "valibot";
import { concat } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, NodeId, RunId, Seq } from "../base/ids.ts";
import { isHexId } from "../base/ids.ts";
import type { Files, ReadableFile } from "../runtime/files.ts";
import type { Position } from "../storage/log.ts";

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const run = v.custom<RunId>(isHexId);
const position = v.object({ seq: whole, epoch: whole, run, chain: whole });

const headerSchema = v.object({
  kind: v.literal("dfdb-rescue"),
  version: v.literal(1),
  form: v.picklist(["tail", "database"]),
  databaseId: v.custom<DatabaseId>(isHexId),
  nodeId: v.custom<NodeId>(isHexId),
  from: v.custom<Seq>((value) => v.is(whole, value)),
  to: v.custom<Seq>((value) => v.is(whole, value)),
  common: v.nullable(v.custom<Seq>((value) => v.is(whole, value))),
  positions: v.object({ common: v.nullable(position), last: position }),
  made: v.string(),
});

/** First line of a `.jsonl`, or the `.json` beside a `.dfdb`. */
export interface RescueHeader {
  readonly kind: "dfdb-rescue";
  readonly version: 1;
  /** `tail`: the operations of some entries; `database`: a whole data file. */
  readonly form: "tail" | "database";
  readonly databaseId: DatabaseId;
  readonly nodeId: NodeId;
  /** First and last entry. */
  readonly from: Seq;
  readonly to: Seq;
  /** Last entry that the new leader had too; null: not known. */
  readonly common: Seq | null;
  readonly positions: { readonly common: Position | null; readonly last: Position };
  /** UTC, ISO 8601. */
  readonly made: string;
}

const endSchema = v.object({
  op: v.literal("end"),
  entries: whole,
  operations: whole,
  /** Null: more than a million. */
  documents: v.nullable(whole),
});

const dot = v.object({ run, seq: whole });

/** One operation. */
const operationSchema = v.object({
  seq: whole,
  term: v.object({ epoch: whole, run }),
  op: v.picklist([
    "put",
    "delete",
    "createCollection",
    "dropCollection",
    "term",
    "createIndex",
    "dropIndex",
    "activateBundle",
    "learnRuns",
    "setVersions",
    "purgeTombstones",
  ]),
  /** Null: it was dropped later in the tail, and its name is not known. */
  collection: v.optional(v.nullable(v.string())),
  number: v.optional(whole),
  id: v.optional(v.string()),
  /** Etag of the document before; null: there was none. */
  previous: v.optional(v.nullable(v.string())),
  etag: v.string(),
  wallMs: whole,
  group: v.optional(whole),
  /** Of `setVersions`: versions that were there and stay, those that came, and what the key shows. */
  kept: v.optional(v.array(dot)),
  added: v.optional(v.array(dot)),
  shown: v.optional(v.union([v.picklist(["deleted", "conflict", "made"]), dot])),
});

export type RescuedOperation = v.InferOutput<typeof operationSchema> & {
  /** JSON text of the document of a `put`, to the letter; null: the operation is of another kind. */
  readonly doc: string | null;
  /** As it is in the file. */
  readonly line: string;
  /** Place of the line in the file. */
  readonly offset: number;
  readonly length: number;
};

export interface RescuedFile {
  readonly name: string;
  readonly path: string;
  /** Null when the file is not one of ours, or not of this version. */
  readonly header: RescueHeader | null;
  /** Null for whole databases, and when the file was cut; of documents, null above a million. */
  readonly counts:
    | { readonly entries: number; readonly operations: number; readonly documents: number | null }
    | null;
}

/** The files in `folder`, by name, which begins with their time. */
export async function rescuedFiles(files: Files, folder: string): Promise<readonly RescuedFile[]> {
  const found: RescuedFile[] = [];
  for (const name of await files.list(folder)) {
    if (/\.(jsonl|dfdb)$/.test(name)) found.push(await rescuedFile(files, files.join(folder, name)));
  }
  return found;
}

/** Header and counts of one file. Rejects with `not_found`, `io_error`. */
export async function rescuedFile(files: Files, path: string): Promise<RescuedFile> {
  const name = path.slice(files.directory(path).length).replace(/^[/\\]/, "");
  const isDatabase = path.endsWith(".dfdb");
  const file = await files.openRead(path);
  if (file === null) throw new DfdbError("not_found", `There is no file ${path}`);
  try {
    if (isDatabase) {
      const text = decode(await files.read(`${path}.json`) ?? new Uint8Array());
      return { name, path, header: parsed(headerSchema, text) as RescueHeader | null, counts: null };
    }
    const first = await file.read(0, Math.min(headBytes, file.size));
    const lastAt = Math.max(0, file.size - headBytes), last = await file.read(lastAt, headBytes);
    const header = parsed(headerSchema, decode(first).split("\n", 1)[0] ?? "") as RescueHeader | null;
    const end = decode(last).endsWith("\n") ? decode(last).trimEnd().split("\n").at(-1) ?? "" : "";
    const counts = header === null ? null : parsed(endSchema, end);
    if (counts === null) return { name, path, header, counts };
    const { entries, operations, documents } = counts;
    return { name, path, header, counts: { entries, operations, documents } };
  } finally {
    await file.close();
  }
}

/** First and last lines are shorter. */
const headBytes = 4096;
const readBytes = 1024 * 1024;

/** The operations of a `.jsonl`, in order. Rejects with `data_corrupt` for a line that is not one, or when the end is missing. */
export async function* rescuedOperations(files: Files, path: string): AsyncGenerator<RescuedOperation> {
  const file = await files.openRead(path);
  if (file === null) throw new DfdbError("not_found", `There is no file ${path}`);
  try {
    let first = true, ended = false;
    for await (const { text, offset, length } of lines(file)) {
      if (ended) throw corrupt(path, offset, "a line after the end");
      if (first) {
        first = false;
        if (parsed(headerSchema, text) === null) throw corrupt(path, 0, "no header of a rescue file");
      } else if (text.startsWith(endMark) && parsed(endSchema, text) !== null) ended = true;
      else yield operation(path, text, offset, length);
    }
    if (!ended) throw corrupt(path, file.size, "the end is missing: the file was cut");
  } finally {
    await file.close();
  }
}

/** The document of an operation, from where its line is. */
export async function rescuedDocument(
  file: ReadableFile,
  path: string,
  { offset, length }: Pick<RescuedOperation, "offset" | "length">,
): Promise<string | null> {
  return operation(path, decode(await file.read(offset, length)), offset, length).doc;
}

function operation(path: string, text: string, offset: number, length: number): RescuedOperation {
  const found = parsed(operationSchema, text);
  if (found === null) throw corrupt(path, offset, "not an operation");
  return { ...found, doc: found.op === "put" ? documentText(text) : null, line: text, offset, length };
}

/** The text after `,"doc":`, which no string can hold: its quotes would be escaped. */
function documentText(line: string): string | null {
  const mark = ',"doc":', at = line.indexOf(mark);
  return at < 0 ? null : line.slice(at + mark.length, -1);
}

function corrupt(path: string, offset: number, what: string): DfdbError {
  return new DfdbError("data_corrupt", `${path}, byte ${offset}: ${what}`);
}

function parsed<Schema extends v.GenericSchema>(schema: Schema, text: string): v.InferOutput<Schema> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const checked = v.safeParse(schema, value);
  return checked.success ? checked.output : null;
}

const endMark = '{"op":"end"';
const decode = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** Lines with their places in the file; what follows the last line feed is one, too. */
async function* lines(
  file: ReadableFile,
): AsyncGenerator<{ readonly text: string; readonly offset: number; readonly length: number }> {
  let begun: Uint8Array[] = [], start = 0, at = 0;
  const line = (end: number): { text: string; offset: number; length: number } => {
    const bytes = begun.length === 1 ? begun[0] as Uint8Array : joined(begun);
    const made = { text: decode(bytes), offset: start, length: bytes.length };
    begun = [];
    start = end;
    return made;
  };
  while (at < file.size) {
    const bytes = await file.read(at, readBytes);
    if (bytes.length === 0) break;
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      begun.push(bytes.subarray(from, end));
      from = end + 1;
      yield line(at + from);
    }
    if (from < bytes.length) begun.push(bytes.subarray(from));
    at += bytes.length;
  }
  if (begun.length > 0) yield line(at);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 0 ? new Uint8Array() : concat(parts);
}
