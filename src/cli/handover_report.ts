/** What came of a handover: the figures, a look at both nodes, or what to do next. */
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeFacts } from "./cluster_status.ts";
import { handoverOf, leaderEndpointOf, leaderUrlOf, nodeFacts } from "./cluster_status.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf, numberIn } from "./fields.ts";
import type { HandoverEnd } from "./handover_watch.ts";
import { statusOf } from "./handover_watch.ts";
import type { HttpClient } from "./http_client.ts";
import type { NodeStatus } from "./node_status.ts";
import { readOnlyText } from "./read_only_words.ts";
import { handoverAdvice, printRefusal } from "./refusals.ts";
import { duration, number, plain } from "./table.ts";

export interface ReportOptions {
  /** Of the old leader. */
  readonly client: HttpClient;
  /** As given on the command line. */
  readonly to: string;
  readonly clientOf: (url: string) => HttpClient;
}

/** How long the nodes may take to settle in their new roles. */
const settleMs = 5_000, lookMs = 200;

/** Answers the exit code. */
export async function reportHandover(
  runtime: Runtime,
  options: ReportOptions,
  end: HandoverEnd,
): Promise<number> {
  const { client: { url } } = options, { process } = runtime;
  switch (end.kind) {
    case "done":
      return await done(runtime, options, end.answer);
    case "answerLost":
      if (end.stopped) return stopped(runtime, end.status);
      process.stderr(`The answer of ${url} was lost; this is what it says since.\n`);
      return await became(runtime, options, end.status);
    case "silent":
      printRefusal(
        runtime,
        end.error,
        "It is not known whether the handover was made. Look at both nodes with dfdb status.",
      );
      return 1;
    case "left":
      process.stdout(`Left to itself; dfdb status ${url} shows how it goes on.\n`);
      return 1;
    case "refused":
      return await refused(runtime, options, end);
  }
}

async function refused(
  runtime: Runtime,
  options: ReportOptions,
  end: Extract<HandoverEnd, { kind: "refused" }>,
): Promise<number> {
  const { client, to } = options, status = await statusOf(client), { error } = end;
  if (end.stopped) return stopped(runtime, status);
  printRefusal(runtime, error, handoverAdvice(error, { url: client.url, to, status }));
  if (status === null) return 1;
  if (error.code === "outcome_unknown") return await became(runtime, options, status);
  runtime.process.stderr(`  ${writesText(status)}\n`);
  return 1;
}

function stopped({ process }: Runtime, status: NodeStatus | null): number {
  process.stdout("stopped: nothing was handed over\n");
  if (status !== null) process.stdout(`${writesText(status)}\n`);
  return 1;
}

/** Whether the node takes writes now. */
function writesText(status: NodeStatus): string {
  const node = plain(status.node);
  if (status.role === "follower") {
    const leader = leaderUrlOf(status) ?? leaderEndpointOf(status);
    return `${node} is a follower${leader === null ? "" : ` of ${plain(leader)}`}`;
  }
  return status.readOnly
    ? `${node} is read-only: ${plain(readOnlyText(status.readOnlyReason))}`
    : `writes are on: ${node} leads on, in epoch ${status.term.epoch}`;
}

/** What the old leader became, when its answer does not tell. */
async function became(runtime: Runtime, options: ReportOptions, status: NodeStatus): Promise<number> {
  const { process } = runtime, { client: { url }, to } = options;
  const inDoubt = handoverOf(status) !== null || status.readOnlyReason === "handover_in_doubt";
  if (status.role !== "follower") {
    process.stderr(`  ${writesText(status)}\n`);
    if (inDoubt) process.stderr(doubtText(plain(status.node), url, plain(to)));
    return 1;
  }
  const leaderUrl = leaderUrlOf(status);
  const leader = leaderUrl === null ? null : await statusOf(options.clientOf(leaderUrl));
  const name = leader === null ? leaderUrl ?? leaderEndpointOf(status) : leader.node;
  process.stdout(
    `${plain(status.node)} follows ${plain(name ?? "another node")} now, in epoch ${status.term.epoch}\n`,
  );
  const asWanted = leader !== null && leader.role === "leader" &&
    [leader.nodeId, leader.node, leaderUrl, fieldsOf(leader)["httpEndpoint"]].includes(
      to.replace(/\/+$/, ""),
    );
  if (!asWanted) process.stdout(`whether that is ${plain(to)} is not confirmed: look with dfdb status\n`);
  return asWanted ? 0 : 1;
}

function doubtText(node: string, url: string, to: string): string {
  return `  ${node} stays read-only until ${to} has answered; it goes on asking by itself (dfdb status ${url}).\n` +
    `  When ${to} is gone for good: dfdb read-only ${url} off --force begins a higher epoch on ${node}.\n` +
    `  Force risks that ${to} leads and takes writes meanwhile: it then steps down when the nodes meet, and what\n` +
    "  it alone has goes to its rescued/ folder.\n";
}

async function done(runtime: Runtime, options: ReportOptions, answer: Fields): Promise<number> {
  const { process } = runtime, leader = nodeFacts(fieldsOf(answer["newLeader"]));
  const name = plain(leader.name), epoch = numberIn(answer, "epoch"), pausedMs = numberIn(answer, "pausedMs");
  const line = (label: string, text: string): void =>
    process.stdout(`  ${label.padEnd(15)} ${plain(text)}\n`);
  process.stdout(`${name} leads now${epoch === null ? "" : `, in epoch ${epoch}`}\n`);
  line("final position", number(numberIn(answer, "finalSeq")));
  line("HTTP", leader.httpUrl ?? "-");
  line("replication", leader.wireAddress ?? "-");
  line("writes paused", pausedMs === null ? "-" : duration(pausedMs));
  const checked = await newLeaderText(runtime, options, leader);
  line("new leader", checked.text);
  line("old leader", await oldLeaderText(runtime, options.client));
  return checked.leads === false ? 1 : 0;
}

/** `leads` null: it could not be asked from here. */
async function newLeaderText(
  runtime: Runtime,
  { clientOf }: ReportOptions,
  { nodeId, name, httpUrl }: NodeFacts,
): Promise<{ readonly leads: boolean | null; readonly text: string }> {
  if (httpUrl === null) return { leads: null, text: `not looked at: ${name} tells no HTTP URL` };
  const client = httpClientOrNull(clientOf, httpUrl);
  const status = client === null ? null : await settled(runtime, client, (one) => one.role === "leader");
  if (status === null) return { leads: null, text: `could not be asked at ${httpUrl} from here` };
  if (nodeId !== null && status.nodeId !== nodeId) {
    return { leads: null, text: `not looked at: from here ${httpUrl} is another node, ${status.node}` };
  }
  if (status.role !== "leader") {
    return { leads: false, text: `${name} does not lead: its role is ${status.role}; look with dfdb status` };
  }
  const writes = status.readOnly ? `is read-only: ${readOnlyText(status.readOnlyReason)}` : "takes writes";
  return { leads: true, text: `${name} ${writes}` };
}

function httpClientOrNull(clientOf: (url: string) => HttpClient, url: string): HttpClient | null {
  try {
    return clientOf(url);
  } catch (thrown) {
    if (thrown instanceof DfdbError) return null;
    throw thrown;
  }
}

async function oldLeaderText(runtime: Runtime, client: HttpClient): Promise<string> {
  const follows = ({ role, follower }: NodeStatus): boolean =>
    role === "follower" && follower.state === "streaming";
  const status = await settled(runtime, client, follows);
  if (status === null) return `does not answer at ${client.url}`;
  if (follows(status)) return `${status.node} follows it`;
  const state = status.follower.state ?? "not connected yet";
  return status.role === "follower"
    ? `${status.node} is a follower now (${state.replaceAll("_", " ")})`
    : `${status.node} does not follow yet; ${writesText(status)}`;
}

/** The status once it is as wanted, or the last one that came in time. */
async function settled(
  { clock }: Runtime,
  client: HttpClient,
  wanted: (status: NodeStatus) => boolean,
): Promise<NodeStatus | null> {
  const until = clock.monotonic() + settleMs;
  let last: NodeStatus | null = null;
  for (;;) {
    const status = await statusOf(client);
    last = status ?? last;
    if (status !== null && wanted(status) || clock.monotonic() >= until) return last;
    await new Promise<void>((resolve) => void clock.timer(lookMs, resolve));
  }
}
