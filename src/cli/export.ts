/** `dfdb export`: the documents of a collection, in the order of their creation, to a file or standard output. */
import { Command, Option } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { csvWriter } from "./csv_rows.ts";
import { fieldsOf, listIn, numberIn, textIn } from "./fields.ts";
import { documentTexts } from "./list_page.ts";
import type { OutputText } from "./output_text.ts";
import { outputText } from "./output_text.ts";
import { progress, rate } from "./progress.ts";
import { leftOut } from "./rows.ts";
import { duration, number, plain } from "./table.ts";
import type { Target } from "./target.ts";
import { stopSignal, withTarget } from "./target.ts";

export type ExportFormat = "ndjson" | "json" | "csv";

/** As given on the command line. */
export interface ExportFlags {
  readonly apiKey?: string;
  readonly collection: string;
  readonly format?: ExportFormat;
  readonly columns?: string;
  readonly output?: string;
  readonly force?: true;
}

/** Documents in a request: about a second of a slow line. */
const pageDocuments = 1_000;
const answerMs = 60_000;

export function exportCommand(run: (target: string, flags: ExportFlags) => Promise<void>): Command {
  return new Command("export")
    .description("write the documents of a collection to a file or standard output, oldest first")
    .argument("<url|file>", "HTTP address of a node, or a database file that no node has open")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .requiredOption("--collection <name>", "what to export")
    .addOption(
      new Option("--format <format>", "default: as the output's name ends, else ndjson").choices([
        "ndjson",
        "json",
        "csv",
      ]),
    )
    .option(
      "--columns <names>",
      "CSV: fields or paths with dots, separated by commas (default: those of the first 1000 documents)",
    )
    .option("--output <file>", "file to write (default: -, standard output)")
    .option("--force", "write a file anew that is there already")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      `
Documents have their _id and are otherwise as they were sent; in CSV arrays and objects are JSON. Each page of ${pageDocuments} is one
consistent state, the whole is not while others write: of a document that changes meanwhile one version is there.

Examples:
  dfdb export localhost:5000 --collection orders --output orders.ndjson
  dfdb export shop.dfdb --collection orders --format csv --columns _id,total,passenger.lastName > orders.csv

Exit code: 0, 1 when it ended early.`,
    )
    .action((target: string, flags: ExportFlags) => run(target, flags));
}

/** Answers the exit code. */
export async function exportDocuments(runtime: Runtime, given: string, flags: ExportFlags): Promise<number> {
  const { output: to = "-" } = flags,
    format = flags.format ?? formatOf(to),
    columns = columnsOf(flags, format);
  return await withTarget(runtime, given, { apiKey: flags.apiKey, timeoutMs: answerMs }, async (target) => {
    const total = await documentsOf(target, flags.collection);
    const output = await outputText(runtime, to, flags.force === true);
    try {
      return await write(runtime, target, { ...flags, output, format, columns, total });
    } catch (error) {
      await output.close();
      throw error;
    }
  });
}

function formatOf(output: string): ExportFormat {
  if (/\.csv$/i.test(output)) return "csv";
  return /\.json$/i.test(output) ? "json" : "ndjson";
}

function columnsOf({ columns }: ExportFlags, format: ExportFormat): readonly string[] | null {
  if (columns === undefined) return null;
  if (format !== "csv") throw new DfdbError("bad_request", "--columns goes with CSV only");
  const names = columns.split(",").map((name) => name.trim());
  if (names.some((name) => name === "")) throw new DfdbError("bad_request", "--columns: a name is missing");
  return names;
}

/** How many there are now; null: it is not told. Rejects with `collection_not_found`. */
async function documentsOf({ client, name }: Target, collection: string): Promise<number | null> {
  const { collections } = await client.json<{ readonly collections?: unknown }>("GET", "/collections");
  const wanted = collection.toLowerCase();
  if (Array.isArray(collections) && !collections.some((each) => String(each).toLowerCase() === wanted)) {
    throw new DfdbError("collection_not_found", `${name}: there is no collection ${plain(collection)}`);
  }
  const stats = fieldsOf(await client.json("GET", "/stats"));
  const told = listIn(stats, "collections").find((each) => textIn(each, "name")?.toLowerCase() === wanted);
  return told === undefined ? null : numberIn(told, "documentCount");
}

interface Work {
  readonly collection: string;
  readonly output: OutputText;
  readonly format: ExportFormat;
  readonly columns: readonly string[] | null;
  readonly total: number | null;
}

async function write(
  runtime: Runtime,
  { client }: Target,
  { collection, output, format, columns, total }: Work,
): Promise<number> {
  const { clock, process } = runtime, begunMs = clock.monotonic();
  const shown = progress(runtime), stop = stopSignal(runtime), writer = writerOf(format, columns);
  let documents = 0, inConflict = 0, after: string | null = "0";
  try {
    let wanted = await output.write(writer.head);
    while (after !== null && wanted) {
      const path = `/collections/${encodeURIComponent(collection)}?limit=${pageDocuments}&after=${after}`;
      const page: string = await client.text(path, stop.signal);
      const { texts, next, conflicts } = documentTexts(page);
      inConflict = conflicts;
      let text = "";
      for (const each of texts) text += writer.row(each, documents++);
      wanted = await output.write(text);
      shown.at(documents, total === null ? null : Math.min(1, documents / Math.max(1, total)));
      after = next;
    }
    if (wanted) await output.write(writer.tail());
    await output.end();
  } finally {
    shown.end();
    stop.end();
  }
  const ms = clock.monotonic() - begunMs;
  if (writer.without().length > 0) process.stderr(leftOut(writer.without()));
  if (inConflict > 0) {
    process.stderr(`not in it: ${number(inConflict)} in conflict (see GET /conflicts)\n`);
  }
  process.stderr(
    `${number(documents)} documents of ${plain(collection)} in ${duration(ms)} (${rate(documents, ms)})\n`,
  );
  return 0;
}

interface Writer {
  readonly head: string;
  row(text: string, index: number): string;
  tail(): string;
  /** Fields for which there was no column. */
  without(): readonly string[];
}

function writerOf(format: ExportFormat, columns: readonly string[] | null): Writer {
  if (format === "ndjson") return { head: "", row: (text) => `${text}\n`, tail: () => "", without: () => [] };
  if (format === "json") {
    return {
      head: "[",
      row: (text, index) => `${index === 0 ? "" : ","}\n${text}`,
      tail: () => "\n]\n",
      without: () => [],
    };
  }
  let made = "", without: readonly string[] = [];
  const taken = (): string => {
    const text = made;
    made = "";
    return text;
  };
  const csv = csvWriter(columns, (text) => made += text);
  return {
    head: taken(),
    row(text) {
      csv.row(text);
      return taken();
    },
    tail() {
      without = csv.end();
      return taken();
    },
    without: () => without,
  };
}
