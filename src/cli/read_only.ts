/** `dfdb read-only`: closes a node for writes, and opens it again. */
import { Argument, Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { isNodeStatus } from "./node_status.ts";
import { readOnlyText } from "./read_only_words.ts";
import { commonAdvice, printRefusal } from "./refusals.ts";
import { plain } from "./table.ts";

/** As given on the command line. */
export interface ReadOnlyFlags {
  readonly apiKey?: string;
  readonly force?: true;
}

export type OnOff = "on" | "off";

export function readOnlyCommand(
  run: (url: string, wanted: OnOff, flags: ReadOnlyFlags) => Promise<void>,
): Command {
  return new Command("read-only")
    .description("close a node for writes (on) or open it again (off); outlives a restart")
    .argument("<url>", "HTTP address of the node")
    .addArgument(new Argument("<on|off>").choices(["on", "off"]))
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--force", "with off: also when another node may lead by now; begins a higher epoch here")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText("after", `\n${forceRisks}\n`)
    .action((url: string, wanted: OnOff, flags: ReadOnlyFlags) => run(url, wanted, flags));
}

const forceRisks =
  "Force is for a node whose successor is gone for good: two nodes may take writes until they meet. The one with the\n" +
  "lower epoch then follows, and what it alone has goes to its rescued/ folder.";

/** Answers the exit code. */
export async function setReadOnly(
  runtime: Runtime,
  url: string,
  wanted: OnOff,
  flags: ReadOnlyFlags,
): Promise<number> {
  const { process } = runtime, force = flags.force === true;
  if (force && wanted === "on") throw new DfdbError("bad_request", "--force goes with off only");
  const client = httpClient(runtime, { url, apiKey: apiKeyOf(runtime, flags.apiKey) });
  try {
    const path = `/replication/read-${wanted === "on" ? "only" : "write"}`;
    await client.json("POST", path, force ? { force } : undefined);
    if (wanted === "on") {
      process.stdout(`${client.url} is read-only\n`);
      return 0;
    }
    const status = await client.json("GET", "/replication/status");
    process.stdout(`${client.url} ${openText(status)}\n`);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    printRefusal(runtime, thrown, commonAdvice(thrown, client.url));
    if (thrown.code === "stale_epoch" && !force) {
      process.stderr(`  ${forceRisks.replaceAll("\n", "\n  ")}\n`);
    }
    return 1;
  }
}

/** A command ends one cause of several. */
function openText(status: unknown): string {
  if (!isNodeStatus(status)) return "is not read-only by command any more";
  if (status.readOnly) return `is still read-only: ${plain(readOnlyText(status.readOnlyReason))}`;
  return status.role === "follower"
    ? "is a follower, and will not be read-only when it leads"
    : `takes writes, in epoch ${status.term.epoch}`;
}
