/** `dfdb masters`: to whom a master sends, how far that is, and what it waits for. */
import type { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import { withDestination, withoutDestination } from "../node/destinations_edit.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { fieldsOf } from "./fields.ts";
import type { HttpClient } from "./http_client.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { mastersText } from "./masters_text.ts";
import { orRefusal } from "./refusals.ts";
import { plain, screenOf } from "./table.ts";

interface Common {
  readonly apiKey?: string;
}

interface StatusFlags extends Common {
  readonly json?: true;
}

interface AddFlags extends Common {
  readonly destinationKey?: string;
  readonly collections?: string;
  readonly transitive?: true;
}

interface ForgetFlags extends Common {
  readonly yes?: true;
}

const path = "/docs/Raven/Replication/Destinations";

/** Adds the subcommand to `program`; `end` takes the exit code. */
export function addMastersCommand(program: Command, runtime: Runtime, end: (exitCode: number) => void): void {
  const masters = program.command("masters").description(
    "show and change to which other masters a database sends",
  );
  const sub = (name: string, description: string): Command =>
    masters.command(name).description(description).allowExcessArguments(false)
      .argument("<url>", "HTTP address of the node")
      .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)");
  const run = async (
    url: string,
    { apiKey }: Common,
    work: (client: HttpClient) => Promise<void>,
  ): Promise<void> =>
    end(
      await orRefusal(runtime, url, async () => {
        await work(httpClient(runtime, { url, apiKey: apiKeyOf(runtime, apiKey) }));
        return 0;
      }),
    );
  sub("status", "destinations, failures, who sends to it, conflicts, tombstones")
    .option("--json", "print the node's answer")
    .action((url: string, flags: StatusFlags) =>
      run(url, flags, (client) => status(runtime, client, flags.json === true))
    );
  sub("add", "send to another master, everything first")
    .argument("<destination>", "URL of its database, like https://berlin.example:5000/db/shop")
    .option("--destination-key <key>", "key of an administrator there (env: DFDB_DESTINATION_KEY)")
    .option("--collections <names>", "only these, separated by commas")
    .option("--transitive", "also what others wrote")
    .action((url: string, destination: string, flags: AddFlags) =>
      run(url, flags, (client) => add(runtime, client, destination, flags))
    );
  sub("remove", "send to another master no more")
    .argument("<destination>", "as it was added")
    .action((url: string, destination: string, flags: Common) =>
      run(url, flags, async (client) => {
        await edit(client, (text) => withoutDestination(text, destination));
        runtime.process.stdout(`${client.url} sends to ${plain(destination)} no more\n`);
      })
    );
  sub("forget", "wait no more for a master that will not come back")
    .argument("<id>", "id of its database, 32 hex digits: dfdb masters status has it")
    .option("--yes", "do it: it may not send any more, and comes back with an empty data folder only")
    .action((url: string, id: string, flags: ForgetFlags) =>
      run(url, flags, (client) => forget(runtime, client, id, flags))
    );
}

async function status({ process }: Runtime, client: HttpClient, json: boolean): Promise<void> {
  const info = fieldsOf(await client.json("GET", "/replication/info"));
  process.stdout(
    json ? `${JSON.stringify(info, null, 2)}\n` : mastersText(client.url, info, screenOf(process)),
  );
}

async function add(
  { process }: Runtime,
  client: HttpClient,
  destination: string,
  { destinationKey, collections, transitive }: AddFlags,
): Promise<void> {
  const apiKey = destinationKey ?? (process.env["DFDB_DESTINATION_KEY"] || null);
  await edit(client, (text) =>
    withDestination(text, {
      url: destination,
      apiKey,
      collections: collections?.split(",").map((name) => name.trim()) ?? null,
      transitive: transitive === true,
    }));
  process.stdout(`${client.url} sends to ${plain(destination)}\n`);
}

/** Writes the document only if it is still the one that was read. */
async function edit(client: HttpClient, change: (text: string | null) => string): Promise<void> {
  const { text, etag, error } = await client.answer("GET", path);
  if (error !== null && error.code !== "not_found") throw error;
  const condition: Record<string, string> = error === null
    ? { "if-match": `"${etag}"` }
    : { "if-none-match": "*" };
  const changed = change(error === null ? text : null);
  const { error: refused } = await client.answer("PUT", path, changed, undefined, condition);
  if (refused?.code === "precondition_failed") {
    throw new DfdbError(refused.code, "somebody else changed the destinations just now; nothing was written");
  }
  if (refused !== null) throw refused;
}

async function forget(
  { process }: Runtime,
  client: HttpClient,
  id: string,
  { yes }: ForgetFlags,
): Promise<void> {
  if (yes !== true) {
    throw new DfdbError(
      "bad_request",
      `${client.url} would wait for the database ${id} no more, and refuse what it sends; it may come back with an empty data folder: say so with --yes`,
    );
  }
  await client.json("DELETE", `/replication/peers/${encodeURIComponent(id)}`);
  process.stdout(`${client.url} waits for ${plain(id)} no more\n`);
}
