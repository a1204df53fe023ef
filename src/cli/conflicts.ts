/** `dfdb conflicts`: which keys of a master are in conflict, their versions, and what they are to be. */
import type { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { resolveAll, resolveKey } from "./conflict_resolve.ts";
import type { ResolveFlags } from "./conflict_resolve.ts";
import { versionsText } from "./conflict_text.ts";
import type { KeyVersions } from "./conflict_versions.ts";
import { shortId, versionsOfKey } from "./conflict_versions.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf, listIn, numberIn, textIn } from "./fields.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { orRefusal } from "./refusals.ts";
import { colour, number, painted, plain, screenOf, table } from "./table.ts";

interface Common {
  readonly apiKey?: string;
}

interface ListFlags extends Common {
  readonly collection?: string;
  readonly limit?: string;
  readonly json?: true;
}

interface ShowFlags extends Common {
  readonly json?: true;
}

/** A page is as large as one table: it is printed when the next one is asked for. */
const pageKeys = 500;
/** All conflicts may be many. */
const answerMs = 600_000;

/** Adds the subcommand to `program`; `end` takes the exit code. */
export function addConflictsCommand(
  program: Command,
  runtime: Runtime,
  end: (exitCode: number) => void,
): void {
  const conflicts = program.command("conflicts").description(
    "list, show and settle keys that masters wrote apart",
  );
  const sub = (name: string, description: string): Command =>
    conflicts.command(name).description(description).allowExcessArguments(false)
      .argument("<url>", "HTTP address of the node")
      .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)");
  const run = async (url: string, work: () => Promise<number>): Promise<void> =>
    end(await orRefusal(runtime, url, work));
  sub("list", "keys in conflict")
    .option("--collection <name>", "of this collection alone")
    .option("--limit <n>", "at most so many")
    .option("--json", "print a JSON object a line")
    .action((url: string, flags: ListFlags) => run(url, () => list(runtime, url, flags)));
  sub("show", "the versions of a key, and in what they differ")
    .argument("<key>", "collection/id, as the list has it")
    .option("--json", "print one JSON object")
    .action((url: string, key: string, flags: ShowFlags) => run(url, () => show(runtime, url, key, flags)));
  sub("resolve", "say what a key is to be, or apply the policy to all")
    .argument("[key]", "collection/id; none with --all")
    .option("--take <version>", "this version, by its id or the short form of it")
    .option("--file <file>", "the document in this file; - is standard input")
    .option("--delete", "no document")
    .option("--etag <etag>", "only if the conflict still is as it was shown")
    .option("--all", "apply the policy of the database to all open conflicts")
    .option("--policy <policy>", "with --all: only if this is the policy: latest, prefer or function")
    .addHelpText(
      "after",
      "\nWhat is said settles the conflict on all masters. Without --etag it is said of the versions that are there when the command looks.\n" +
        "\nExit code: 0, 1 when it was refused, 2 with --all when conflicts are left.",
    )
    .action((url: string, key: string | undefined, flags: ResolveFlags) =>
      run(url, () => {
        const client = httpClient(runtime, {
          url,
          apiKey: apiKeyOf(runtime, flags.apiKey),
          timeoutMs: answerMs,
        });
        return key === undefined
          ? resolveAll(runtime, client, flags)
          : resolveKey(runtime, client, key, flags);
      })
    );
}

async function list(runtime: Runtime, url: string, flags: ListFlags): Promise<number> {
  const { process } = runtime, most = limitOf(flags.limit), { collection } = flags;
  const only = collection === undefined ? "" : `&collection=${encodeURIComponent(collection)}`;
  const client = httpClient(runtime, { url, apiKey: apiKeyOf(runtime, flags.apiKey) });
  let shown = 0, total = 0, after: string | null = null, whole = false;
  while (!whole && shown < most && process.terminal.stdoutIsOpen) {
    const from: string = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    const limit = Math.min(pageKeys, most - shown);
    const page = fieldsOf(await client.json("GET", `/conflicts?limit=${limit}${only}${from}`));
    const found = listIn(page, "conflicts");
    total = numberIn(page, "total") ?? total;
    shown += found.length;
    after = textIn(page, "next");
    whole = after === null;
    if (flags.json === true) { for (const each of found) process.stdout(`${JSON.stringify(each)}\n`); }
    else if (found.length > 0) process.stdout(table(columns, found.map(row), screenOf(process)));
  }
  const of = shown === total ? "" : `${number(shown)} of `;
  const where = collection === undefined ? "" : ` in ${plain(collection)}`;
  process.stderr(`${of}${number(total)} in conflict${where}\n`);
  return 0;
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new DfdbError("bad_request", `--limit: expected a whole number, not ${text}`);
}

const columns = [
  { title: "key", flexible: true },
  { title: "versions", right: true },
  { title: "etag" },
];

function row(each: Fields): readonly string[] {
  const { Conflicts: ids } = each, text = (name: string): string => plain(textIn(each, name) ?? "");
  return [text("key"), String(Array.isArray(ids) ? ids.length : "-"), text("etag")];
}

async function show(runtime: Runtime, url: string, key: string, flags: ShowFlags): Promise<number> {
  const { process } = runtime;
  const client = httpClient(runtime, { url, apiKey: apiKeyOf(runtime, flags.apiKey) });
  const found = await versionsOfKey(client, key);
  if (flags.json === true) {
    process.stdout(`${jsonText(found)}\n`);
    return 0;
  }
  const screen = screenOf(process);
  process.stdout(versionsText(found, screen));
  const { state, etag, versions: [first] } = found;
  if (state === "conflict" && etag !== null && first !== undefined) {
    const take = shortId(first.id, found.versions);
    const command = `dfdb conflicts resolve ${quoted(url)} ${quoted(key)} --etag ${etag} --take ${take}`;
    process.stderr(`${painted(screen, colour.dim, plain(`settle it: ${command}`))}\n`);
  }
  return 0;
}

/** Documents to the letter. */
function jsonText({ key, state, etag, shown, versions }: KeyVersions): string {
  const head = JSON.stringify({ key, state, etag, shown });
  const texts = versions.map(({ id, text, deleted, metadata }) =>
    `${JSON.stringify({ id, deleted }).slice(0, -1)},"document":${text},"@metadata":${metadata}}`
  );
  return `${head.slice(0, -1)},"versions":[${texts.join(",")}]}`;
}

/** As a shell takes it for one word. */
function quoted(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
