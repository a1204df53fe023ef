/** `dfdb databases`: which a node has; making and dropping one. */
import type { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { fieldsOf, textIn } from "./fields.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { plain, screenOf, table } from "./table.ts";

interface Common {
  readonly apiKey?: string;
  readonly json?: true;
}

interface CreateFlags extends Common {
  readonly path?: string;
  readonly bundle?: string;
  readonly adoptExisting?: true;
}

interface DropFlags extends Common {
  readonly keepFiles?: true;
  readonly yes?: true;
}

/** Dropping waits for what runs. */
const answerMs = 60_000;

/** Adds the subcommand to `program`. */
export function addDatabasesCommand(program: Command, runtime: Runtime): void {
  const databases = program.command("databases").description("list, create and drop the databases of a node");
  const sub = (usage: string, description: string): Command =>
    databases.command(usage).description(description).allowExcessArguments(false)
      .argument("<url>", "HTTP address of the node")
      .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)");
  sub("list", "names, roles and files")
    .option("--json", "print the node's answer")
    .action((url: string, flags: Common) => list(runtime, url, flags));
  sub("create", "make a database, or attach the file that is there")
    .argument("<name>", "letter first, then letters, digits, _, - and .")
    .option("--path <file>", "file in the data folder of the node (default: databases/<name>/data.dfdb)")
    .option("--bundle <name>", "replication: it may replicate with other masters")
    .option("--adopt-existing", "with a bundle: also where the file has documents")
    .action((url: string, name: string, flags: CreateFlags) => create(runtime, url, name, flags));
  sub("drop", "end a database and delete its files")
    .argument("<name>", "the database")
    .option("--keep-files", "only detach it: the files stay, and can be attached again")
    .option("--yes", "delete its files")
    .action((url: string, name: string, flags: DropFlags) => drop(runtime, url, name, flags));
}

function clientOf(runtime: Runtime, url: string, { apiKey }: Common) {
  return httpClient(runtime, { url, apiKey: apiKeyOf(runtime, apiKey), timeoutMs: answerMs });
}

async function list(runtime: Runtime, url: string, flags: Common): Promise<void> {
  const { process } = runtime, client = clientOf(runtime, url, flags);
  const answer = fieldsOf(await client.json("GET", "/databases")), { databases } = answer;
  if (flags.json === true) return process.stdout(`${JSON.stringify(answer, null, 2)}\n`);
  if (!Array.isArray(databases)) {
    throw new DfdbError("bad_frame", `${client.url} does not answer as a dfdb node does`);
  }
  const rows = databases.map((each) => {
    const fields = fieldsOf(each), error = fieldsOf(fields["error"]);
    const text = (name: string): string => plain(textIn(fields, name) ?? "");
    const status = textIn(error, "message");
    return [
      text("name"),
      fields["isDefault"] === true ? "yes" : "",
      text("role"),
      status === null ? text("status") : `${text("status")}: ${plain(status)}`,
      text("filePath"),
    ];
  });
  const columns = [
    { title: "name" },
    { title: "default" },
    { title: "role" },
    { title: "status", flexible: true },
    { title: "file", flexible: true },
  ];
  process.stdout(table(columns, rows, screenOf(process)));
}

async function create(runtime: Runtime, url: string, name: string, flags: CreateFlags): Promise<void> {
  const client = clientOf(runtime, url, flags);
  const body = {
    name,
    ...(flags.path === undefined ? {} : { path: flags.path }),
    ...(flags.bundle === undefined ? {} : { bundles: [flags.bundle] }),
    ...(flags.adoptExisting === true ? { adoptExisting: true } : {}),
  };
  const made = fieldsOf(await client.json("POST", "/databases", body));
  runtime.process.stdout(`${client.url}/db/${plain(name)}: ${plain(textIn(made, "filePath") ?? "")}\n`);
}

async function drop(runtime: Runtime, url: string, name: string, flags: DropFlags): Promise<void> {
  const { process } = runtime, client = clientOf(runtime, url, flags), keep = flags.keepFiles === true;
  if (!keep && flags.yes !== true) {
    throw new DfdbError(
      "bad_request",
      `this deletes the database "${name}" of ${client.url} with all of its files: say so with --yes, or keep them with --keep-files`,
    );
  }
  const path = `/databases/${encodeURIComponent(name)}${keep ? "" : "?deleteFiles=true"}`;
  const answer = fieldsOf(await client.json("DELETE", path));
  process.stdout(`${client.url}: "${plain(name)}" is ${textIn(answer, "action") ?? "gone"}\n`);
}
