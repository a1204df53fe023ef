/** The words of `dfdb repl` that begin with a point. */
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf, listIn, numberIn, textIn } from "./fields.ts";
import type { RowMode } from "./rows.ts";
import type { TableRow } from "./table.ts";
import { number, plain, screenOf, table } from "./table.ts";
import type { Target } from "./target.ts";

/** What the words change. */
export interface ReplState {
  mode: RowMode;
  /** Plan and time after each statement. */
  plan: boolean;
  over: boolean;
}

const help = `Statements end with ; and may have several lines.
  .tables              collections, with how many documents
  .indexes [name]      indexes of a collection, or of all
  .schema name         the schema of a collection, and the fields of its first documents
  .mode table|json|csv how rows are printed
  .plan on|off         plan and time after each statement
  .help                this
  .quit                ends it, as ^D does; ^C drops what was typed or stops the statement that runs
`;

/** Rejects with `bad_request` for what is no word, and with what the node refuses. */
export async function replCommand(
  runtime: Runtime,
  target: Target,
  state: ReplState,
  line: string,
  signal: AbortSignal,
): Promise<void> {
  const { process } = runtime, [word = "", argument, ...more] = line.trim().replace(/;$/, "").split(/\s+/);
  if (more.length > 0) throw new DfdbError("bad_request", `${word} takes one word; .help names them`);
  switch (word.toLowerCase()) {
    case ".help":
      return process.stdout(help);
    case ".quit":
    case ".exit":
      state.over = true;
      return;
    case ".tables":
      return process.stdout(await tables(runtime, target, signal));
    case ".indexes":
      return process.stdout(await indexes(runtime, target, argument, signal));
    case ".schema":
      if (argument === undefined) {
        throw new DfdbError("bad_request", ".schema wants the name of a collection");
      }
      return process.stdout(await schema(runtime, target, argument, signal));
    case ".mode":
      state.mode = oneOf(word, argument, ["table", "json", "csv"]);
      return;
    case ".plan":
      state.plan = oneOf(word, argument, ["on", "off"]) === "on";
      return;
    default:
      throw new DfdbError("bad_request", `there is no ${plain(word)}; .help names what there is`);
  }
}

function oneOf<Word extends string>(word: string, given: string | undefined, words: readonly Word[]): Word {
  const found = words.find((each) => each === given?.toLowerCase());
  if (found === undefined) throw new DfdbError("bad_request", `${word} wants one of ${words.join(", ")}`);
  return found;
}

async function names({ client, name }: Target, signal: AbortSignal): Promise<readonly string[]> {
  const { collections } = fieldsOf(await client.json("GET", "/collections", undefined, signal));
  if (Array.isArray(collections)) return collections.map(String);
  throw new DfdbError("bad_frame", `${name} does not answer as a dfdb node does`);
}

async function tables({ process }: Runtime, target: Target, signal: AbortSignal): Promise<string> {
  const stats = fieldsOf(await target.client.json("GET", "/stats", undefined, signal));
  const rows = listIn(stats, "collections").map((each): TableRow => [
    plain(textIn(each, "name") ?? "-"),
    number(numberIn(each, "documentCount")),
  ]);
  if (rows.length === 0) return "no collections\n";
  return table(
    [{ title: "COLLECTION", flexible: true }, { title: "DOCUMENTS", right: true }],
    rows,
    screenOf(process),
  );
}

async function indexes(
  { process }: Runtime,
  target: Target,
  wanted: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const rows: TableRow[] = [];
  for (const name of wanted === undefined ? await names(target, signal) : [wanted]) {
    const path = `/indexes/${encodeURIComponent(name)}`;
    const answer = fieldsOf(await target.client.json("GET", path, undefined, signal));
    for (const index of listIn(answer, "indexes")) {
      rows.push(indexRow(textIn(answer, "collection") ?? name, index));
    }
  }
  if (rows.length === 0) return "no indexes\n";
  return table(
    [
      { title: "COLLECTION", flexible: true },
      { title: "INDEX", flexible: true },
      { title: "PATH", flexible: true },
      { title: "" },
      { title: "ENTRIES", right: true },
    ],
    rows,
    screenOf(process),
  );
}

function indexRow(collection: string, index: Fields): TableRow {
  const notes = [index["unique"] === true && "unique", index["ready"] === false && "being filled"];
  return [
    plain(collection),
    plain(textIn(index, "name") ?? "-"),
    plain(textIn(index, "path") ?? "-"),
    notes.filter(Boolean).join(", "),
    number(numberIn(index, "entries")),
  ];
}

const sampleDocuments = 100;

async function schema(
  { process }: Runtime,
  target: Target,
  name: string,
  signal: AbortSignal,
): Promise<string> {
  const path = `/collections/${encodeURIComponent(name)}`, { client } = target;
  const list = fieldsOf(await client.json("GET", `${path}?limit=${sampleDocuments}`, undefined, signal));
  const documents = listIn(list, "documents"), set = await schemaOf(target, path, signal);
  const rule = set === null ? "no schema is set\n" : `${JSON.stringify(set, null, 2)}\n`;
  if (documents.length === 0) return `${rule}no documents\n`;
  const fields = new Map<string, { readonly types: Set<string>; count: number }>();
  for (const document of documents) {
    for (const [field, value] of Object.entries(document)) {
      const known = fields.get(field) ?? { types: new Set<string>(), count: 0 };
      known.types.add(value === null ? "null" : Array.isArray(value) ? "array" : typeof value);
      known.count++;
      fields.set(field, known);
    }
  }
  const rows = [...fields].map(([field, { types, count }]): TableRow => [
    plain(field),
    [...types].join(", "),
    `${Math.round((count / documents.length) * 100)} %`,
  ]);
  const titles = [{ title: "FIELD", flexible: true }, { title: "TYPE", flexible: true }, {
    title: "IN",
    right: true,
  }];
  return rule + table(titles, rows, screenOf(process));
}

/** Null: there is none. */
async function schemaOf({ client }: Target, path: string, signal: AbortSignal): Promise<Fields | null> {
  const { body, error } = await client.answer("GET", `${path}/schema`, undefined, signal);
  if (error === null) {
    const { schema } = fieldsOf(body);
    return schema === null ? null : fieldsOf(schema ?? body);
  }
  if (["not_found", "collection_not_found", "method_not_allowed"].includes(error.code)) return null;
  throw error;
}
