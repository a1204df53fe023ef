/** `dfdb handover`: a leader gives its role to a follower, and nothing is lost. */
import { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { progressView } from "./handover_progress.ts";
import { reportHandover } from "./handover_report.ts";
import { watchHandover } from "./handover_watch.ts";
import type { HttpClient } from "./http_client.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import type { NodeStatus } from "./node_status.ts";
import { isNodeStatus } from "./node_status.ts";
import { commonAdvice, printRefusal } from "./refusals.ts";
import { plain } from "./table.ts";

/** As given on the command line. */
export interface HandoverFlags {
  readonly from: string;
  readonly to: string;
  readonly timeout?: string;
  readonly apiKey?: string;
}

/** What the node waits when nothing is said. */
const timeoutMsDefault = 30_000;
/** Beyond the time limit of the node itself. */
const answerMsMore = 15_000;
const lookAnswerMs = 2_000;

export function handoverCommand(run: (flags: HandoverFlags) => Promise<void>): Command {
  return new Command("handover")
    .description("move the leadership to a follower: writes pause, nothing is lost")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .requiredOption("--from <url>", "HTTP address of the leader")
    .requiredOption("--to <node>", "connected follower: node id, name when no other has it, or HTTP URL")
    .option("--timeout <seconds>", "give up when it is not done by then (default: 30)")
    .option("--api-key <key>", "key that the nodes want (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      "\nSIGINT stops it while that is possible: until the follower was told to lead. Writes are on again then.\n" +
        "Once it was told, the old leader stays read-only until it knows the outcome.\n" +
        "Exit code: 0 the follower leads, 1 it does not, or that is not known.",
    )
    .action((flags: HandoverFlags) => run(flags));
}

/** Answers the exit code. */
export async function handover(runtime: Runtime, flags: HandoverFlags): Promise<number> {
  const { process } = runtime, to = flags.to.trim();
  const timeoutMs = timeoutOf(flags.timeout), apiKey = apiKeyOf(runtime, flags.apiKey);
  const clientOf = (url: string, limitMs = lookAnswerMs): HttpClient =>
    httpClient(runtime, { url, apiKey, timeoutMs: limitMs });
  const giveUpMs = (timeoutMs ?? timeoutMsDefault) + answerMsMore;
  const client = clientOf(flags.from), slow = clientOf(flags.from, giveUpMs);
  const status = await firstLook(runtime, client);
  if (status === null) return 1;
  process.stdout(`handover from ${plain(status.node)} (${client.url}) to ${plain(to)}\n`);
  const end = await watchHandover(runtime, {
    client,
    slow,
    body: timeoutMs === null ? { to } : { to, timeoutSeconds: timeoutMs / 1000 },
    giveUpMs,
    target: to,
    view: progressView(process, to),
  });
  return await reportHandover(runtime, { client, to, clientOf }, end);
}

function timeoutOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seconds = text.trim() === "" ? NaN : Number(text);
  if (seconds >= 0.1 && seconds <= 3_600) return seconds * 1000;
  throw new DfdbError("bad_request", `--timeout: expected 0.1 to 3600 seconds, not "${text}"`);
}

/** Null, and that is told, when there is no node, or none that talks to us. */
async function firstLook(runtime: Runtime, client: HttpClient): Promise<NodeStatus | null> {
  try {
    const status = await client.json("GET", "/replication/status");
    if (isNodeStatus(status)) return status;
    throw new DfdbError("bad_frame", `${client.url} does not answer as a dfdb node does`);
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    printRefusal(runtime, thrown, commonAdvice(thrown, client.url));
    return null;
  }
}
