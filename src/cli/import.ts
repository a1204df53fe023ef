/** `dfdb import`: documents out of a file or standard input into a collection. */
import { Command, Option } from "commander";
import { DfdbError } from "../base/errors.ts";
import { newDocumentIds } from "../node/document_ids.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { ImportDocument } from "./import_document.ts";
import { importDocument } from "./import_document.ts";
import type { Format } from "./import_records.ts";
import { placeWord, readRecords } from "./import_records.ts";
import { ImportReport } from "./import_report.ts";
import type { OnConflict } from "./import_send.ts";
import { BatchSender } from "./import_send.ts";
import { inputBytes } from "./input_bytes.ts";
import type { Range } from "./places.ts";
import { isIn, parseRanges } from "./places.ts";
import { progress } from "./progress.ts";
import { commonAdvice } from "./refusals.ts";
import { plain } from "./table.ts";
import type { Target } from "./target.ts";
import { stopSignal, withTarget } from "./target.ts";

/** As given on the command line. */
export interface ImportFlags {
  readonly apiKey?: string;
  readonly collection: string;
  readonly format?: Format;
  readonly idField?: string;
  readonly batch?: string;
  readonly inFlight?: string;
  readonly onConflict?: OnConflict;
  readonly only?: string;
  readonly text?: true;
}

const batchDefault = 1_000, batchMax = 10_000, inFlightDefault = 3, inFlightMax = 16;
/** A batch ends at the first of its documents beyond this, UTF-16 units. */
const batchChars = 4 * 1024 * 1024;
const answerMs = 120_000;

export function importCommand(
  run: (input: string, target: string, flags: ImportFlags) => Promise<void>,
): Command {
  return new Command("import")
    .description("insert documents from a file or standard input into a collection")
    .argument("<input>", "file to read; - is standard input")
    .argument(
      "<url|file>",
      "HTTP address of a node, or a database file that no node has open (made where there is none)",
    )
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .requiredOption("--collection <name>", "where the documents go")
    .addOption(
      new Option("--format <format>", "default: csv for *.csv, else as it begins").choices([
        "ndjson",
        "json",
        "csv",
      ]),
    )
    .option("--id-field <name>", "the id is the value of this field (default: _id, else a new one)")
    .addOption(
      new Option("--on-conflict <what>", "when the id is there already (default: fail)").choices([
        "fail",
        "skip",
        "replace",
      ]),
    )
    .option("--batch <number>", `documents sent together (default: ${batchDefault})`)
    .option("--in-flight <number>", `batches on their way at a time (default: ${inFlightDefault})`)
    .option("--only <places>", "import these lines (elements of a JSON array) only: 3-7,9,12-")
    .option("--text", "CSV: every value is text (default: numbers, true, false and null are not)")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      `
NDJSON is one document a line; JSON an array of documents; CSV names the fields in its first line.
A document that is refused is reported with its line, and the others go on. Batches may overtake each other: --in-flight 1
keeps the order of the input.

Examples:
  dfdb import orders.ndjson localhost:5000 --collection orders
  dfdb import people.csv shop.dfdb --collection people --id-field email --on-conflict replace
  dfdb export localhost:5000 --collection orders | dfdb import - localhost:5010 --collection orders

Exit code: 0 all is there, 2 documents were refused, 1 it ended early (the last line says how to go on).`,
    )
    .action((input: string, target: string, flags: ImportFlags) => run(input, target, flags));
}

/** Answers the exit code. */
export async function importDocuments(
  runtime: Runtime,
  input: string,
  given: string,
  flags: ImportFlags,
): Promise<number> {
  const options: Options = {
    collection: flags.collection,
    format: flags.format ?? null,
    idField: flags.idField ?? null,
    onConflict: flags.onConflict ?? "fail",
    batch: wholeNumber("--batch", flags.batch, batchDefault, batchMax),
    inFlight: wholeNumber("--in-flight", flags.inFlight, inFlightDefault, inFlightMax),
    only: flags.only === undefined ? null : parseRanges(flags.only),
    asText: flags.text === true,
  };
  const source = await inputBytes(runtime, input);
  try {
    const opened = { apiKey: flags.apiKey, create: true, timeoutMs: answerMs };
    return await withTarget(runtime, given, opened, (target) => load(runtime, target, source, options));
  } finally {
    await source.close();
  }
}

interface Options {
  readonly collection: string;
  readonly format: Format | null;
  readonly idField: string | null;
  readonly onConflict: OnConflict;
  readonly batch: number;
  readonly inFlight: number;
  readonly only: readonly Range[] | null;
  readonly asText: boolean;
}

async function load(
  runtime: Runtime,
  target: Target,
  source: Awaited<ReturnType<typeof inputBytes>>,
  { collection, format: wanted, idField, onConflict, batch, inFlight, only, asText }: Options,
): Promise<number> {
  const { process, clock, random } = runtime, newId = newDocumentIds(random, clock);
  const begunMs = clock.monotonic(), shown = progress(runtime), stop = stopSignal(runtime);
  const { format, records } = await readRecords(source.chunks, { format: wanted, name: source.name, asText });
  const report = new ImportReport(placeWord[format]);
  const sender = new BatchSender({ target, clock, collection, onConflict, signal: stop.signal });
  const sending = new Set<Promise<void>>();
  const send = async (documents: readonly ImportDocument[]): Promise<void> => {
    const sent: Promise<void> = sender.send(documents).then((result) => {
      report.batch(result);
      shown.at(report.written, source.part());
    }).finally(() => sending.delete(sent));
    sending.add(sent);
    if (sending.size >= inFlight) await Promise.race(sending);
  };
  let documents: ImportDocument[] = [], chars = 0;
  try {
    for await (const record of records) {
      // What was read after the end is not sent: the report begins there.
      if (stop.signal.aborted || report.failure !== null) {
        report.notReached(record.place);
        break;
      }
      if (only !== null && !isIn(only, record.place)) continue;
      const document = importDocument(record, { idField, newId });
      if ("error" in document) {
        report.refuse(document);
        continue;
      }
      documents.push(document);
      chars += document.text.length;
      if (documents.length < batch && chars < batchChars) continue;
      await send(documents);
      documents = [];
      chars = 0;
    }
    if (report.failure !== null || stop.signal.aborted) report.notSent(documents);
    else if (documents.length > 0) await send(documents);
  } catch (error) {
    if (!(error instanceof DfdbError)) throw error;
    // The input cannot be read on; what was read of it is sent.
    report.broken(error);
    if (documents.length > 0) await send(documents);
  } finally {
    await Promise.all(sending);
    stop.end();
    shown.end();
  }
  if (stop.signal.aborted) report.stopped(stop.signal.reason as DfdbError);
  process.stderr(report.text({ collection, only, tookMs: clock.monotonic() - begunMs }));
  const advice = report.failure === null || target.url === null
    ? null
    : commonAdvice(report.failure, target.url);
  if (advice !== null) process.stderr(`  ${plain(advice)}\n`);
  return report.exitCode;
}

export function wholeNumber(flag: string, text: string | undefined, usual: number, most: number): number {
  if (text === undefined) return usual;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= most) return value;
  throw new DfdbError("bad_request", `${flag}: expected a number from 1 to ${most}, not "${text}"`);
}
