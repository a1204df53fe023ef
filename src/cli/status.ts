/** `dfdb status`: who leads, who follows, how far behind; once, or again and again. */
import { Command } from "commander";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { HttpClient } from "./http_client.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import type { NodeStatus } from "./node_status.ts";
import { isNodeStatus } from "./node_status.ts";
import type { Asked } from "./status_table.ts";
import { statusTable } from "./status_table.ts";
import { screenOf } from "./table.ts";

/** As given on the command line. */
export interface StatusFlags {
  readonly apiKey?: string;
  readonly watch?: true;
  readonly interval?: string;
  readonly json?: true;
}

const answerMs = 3_000;

export function statusCommand(run: (urls: readonly string[], flags: StatusFlags) => Promise<void>): Command {
  return new Command("status")
    .description("show roles, positions and lag of nodes")
    .argument("<url...>", "HTTP address of each node")
    .helpOption("-h, --help", "print this help")
    .option("--api-key <key>", "key that the nodes want (env: DFDB_API_KEY)")
    .option("--watch", "show it again and again until SIGINT")
    .option("--interval <seconds>", "time between two looks with --watch (default: 1)")
    .option("--json", "print the nodes' answers as one JSON array, on one line with --watch")
    .addHelpText("after", "\nExit code: 0; 1 when a node gave no status (not with --watch).")
    .action((urls: string[], flags: StatusFlags) => run(urls, flags));
}

/** Answers the exit code. */
export async function showStatus(
  runtime: Runtime,
  urls: readonly string[],
  flags: StatusFlags,
): Promise<number> {
  const apiKey = apiKeyOf(runtime, flags.apiKey), intervalMs = intervalOf(flags.interval);
  const clients = urls.map((url) => httpClient(runtime, { url, apiKey, timeoutMs: answerMs }));
  if (flags.watch === true) return await watch(runtime, clients, { intervalMs, json: flags.json === true });
  const asked = await Promise.all(clients.map((client) => ask(client)));
  const { process } = runtime;
  process.stdout(
    flags.json === true
      ? `${JSON.stringify(asked.map(forPrograms), null, 2)}\n`
      : statusTable(asked, screenOf(process)),
  );
  return asked.every(({ status }) => status !== null) ? 0 : 1;
}

function intervalOf(text: string | undefined): number {
  const seconds = text === undefined ? 1 : Number(text);
  if (seconds >= 0.1 && seconds <= 3600) return seconds * 1000;
  throw new DfdbError("bad_request", `--interval: expected 0.1 to 3600 seconds, not "${text}"`);
}

async function ask(client: HttpClient, signal?: AbortSignal): Promise<Asked> {
  try {
    const status = await client.json<NodeStatus>("GET", "/replication/status", undefined, signal);
    if (isNodeStatus(status)) return { url: client.url, status, error: null };
    return { url: client.url, status: null, error: `${client.url} does not answer as a dfdb node does` };
  } catch (thrown) {
    return { url: client.url, status: null, error: messageOf(thrown) };
  }
}

const forPrograms = ({ url, status, error }: Asked): unknown =>
  status === null ? { url, error } : { url, ...status };

/** A terminal is drawn over in place; a file or a pipe gets one block after the other. */
async function watch(
  { process, clock }: Runtime,
  clients: readonly HttpClient[],
  { intervalMs, json }: { readonly intervalMs: number; readonly json: boolean },
): Promise<number> {
  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
  const unlisten = process.onStopSignal(() => stop.abort());
  const inPlace = process.stdoutIsTerminal && !json;
  if (inPlace) process.stdout("\u001b[2J");
  while (!stop.signal.aborted) {
    const due = clock.monotonic() + intervalMs;
    const asked = await Promise.all(clients.map((client) => ask(client, stop.signal)));
    if (stop.signal.aborted) break;
    if (json) process.stdout(`${JSON.stringify(asked.map(forPrograms))}\n`);
    else {
      const time = new Date(clock.wall()).toISOString();
      const text = `${time}\n${statusTable(asked, screenOf(process))}`;
      process.stdout(inPlace ? drawnOver(text) : `${text}\n`);
    }
    let timer = { cancel: () => {} };
    const next = new Promise<void>((resolve) => {
      timer = clock.timer(Math.max(0, due - clock.monotonic()), resolve);
    });
    await Promise.race([next, stopped]);
    timer.cancel();
  }
  unlisten();
  return 0;
}

/** From the upper left corner, each line up to its end, then whatever was below: nothing flickers. */
function drawnOver(text: string): string {
  return `\u001b[H${text.replaceAll("\n", "\u001b[K\n")}\u001b[J`;
}
