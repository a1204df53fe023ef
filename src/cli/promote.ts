/** `dfdb promote`: makes a leader out of a follower. */
import { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { fieldsOf, numberIn, textIn } from "./fields.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { commonAdvice, isRefusal, printRefusal } from "./refusals.ts";

/** As given on the command line. */
export interface PromoteFlags {
  readonly apiKey?: string;
  readonly port?: string;
  readonly force?: true;
}

/** Beside a leader that is read-only a promotion is a handover. */
const answerMs = 60_000;

export function promoteCommand(run: (url: string, flags: PromoteFlags) => Promise<void>): Command {
  return new Command("promote")
    .description("make a follower the leader; beside a leader that runs use handover")
    .argument("<url>", "HTTP address of the follower")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--port <port>", "replication port to lead on (default: as its settings say, else the leader's)")
    .option("--force", "also while its leader takes writes, or when it lacks entries of its leader")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText("after", `\n${forceRisks}\n`)
    .action((url: string, flags: PromoteFlags) => run(url, flags));
}

const forceRisks =
  "Force risks that two nodes take writes until they meet. The old leader then follows, and what it alone has,\n" +
  "writes that it answered too, goes to its rescued/ folder (dfdb rescued). Force does not go round an authority's lease.";

/** Answers the exit code. */
export async function promote(runtime: Runtime, url: string, flags: PromoteFlags): Promise<number> {
  const { process } = runtime, force = flags.force === true;
  const port = portOf("--port", flags.port);
  const client = httpClient(runtime, { url, apiKey: apiKeyOf(runtime, flags.apiKey), timeoutMs: answerMs });
  const body = { ...(port === null ? {} : { port }), ...(force ? { force } : {}) };
  try {
    const answer = fieldsOf(await client.json("POST", "/replication/promote", body));
    const term = fieldsOf(answer["term"]), epoch = numberIn(term, "epoch"), run = textIn(term, "run");
    const under = epoch === null ? "" : `, term ${epoch}${run === null ? "" : `.${run.slice(0, 8)}`}`;
    process.stdout(`${client.url} leads now on port ${numberIn(answer, "port") ?? "?"}${under}\n`);
    if (force) process.stdout(`${forceRisks}\n`);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    printRefusal(runtime, thrown, promoteAdvice(thrown, client.url));
    if (mayForce.has(thrown.code) && !force) {
      process.stderr(`  ${forceRisks.replaceAll("\n", "\n  ")}\n`);
    }
    return 1;
  }
}

/** Refusals that --force goes round. */
const mayForce: ReadonlySet<string> = new Set(["leader_active", "behind_final_position"]);

function promoteAdvice(error: DfdbError, url: string): string | null {
  switch (error.code) {
    case "leader_active":
      return `Nothing is lost by a handover: dfdb handover --from LEADER-URL --to ${url}. Or --force, when the leader is to be left alone.`;
    case "behind_final_position":
      return `Let it catch up (dfdb status --watch ${url}). Or --force, when its leader will not come back.`;
    case "not_found":
    case "method_not_allowed":
      return "The node is older and cannot be promoted.";
    case "conflict":
    case "internal":
      return `dfdb status ${url} shows what the node is doing.`;
    case "outcome_unknown":
    case "timeout":
    case "unreachable":
      return isRefusal(error) || error.code === "timeout"
        ? `It is not known whether it was promoted: dfdb status ${url} tells.`
        : commonAdvice(error, url);
    default:
      return commonAdvice(error, url);
  }
}

/** A port given on the command line; throws `bad_request`. */
export function portOf(flag: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new DfdbError("bad_request", `${flag}: expected a port from 1 to 65535, not "${text}"`);
}
