/** `dfdb accept-loss`: a leader gives up what its followers hold more than it does. */
import { Command } from "commander";
import type { Runtime } from "../runtime/runtime.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";

/** As given on the command line. */
export interface AcceptLossFlags {
  readonly apiKey?: string;
  readonly yes?: true;
}

export function acceptLossCommand(run: (url: string, flags: AcceptLossFlags) => Promise<void>): Command {
  return new Command("accept-loss")
    .description("let a leader that lacks entries of its followers (behind_followers) take writes again")
    .argument("<url>", "HTTP address of the leader")
    .helpOption("-h, --help", "print this help")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .option("--yes", "do it: on a terminal it is only shown without this")
    .addHelpText(
      "after",
      "\nA new epoch begins; followers that hold more write it to their rescued/ folder and are filled anew.\n" +
        "To keep those entries instead, lead on the follower that has them.",
    )
    .action((url: string, flags: AcceptLossFlags) => run(url, flags));
}

interface Status {
  readonly node: string;
  readonly position: string;
  readonly readOnlyReason: string | null;
  readonly leader: {
    readonly refused?: readonly {
      readonly nodeName: string;
      readonly code: string;
      readonly position: string;
    }[];
  };
}

/** Answers the exit code. */
export async function acceptLoss(runtime: Runtime, url: string, flags: AcceptLossFlags): Promise<number> {
  const { process } = runtime;
  const client = httpClient(runtime, { url, apiKey: apiKeyOf(runtime, flags.apiKey) });
  if (flags.yes !== true && process.stdoutIsTerminal) {
    const status = await client.json<Status>("GET", "/replication/status");
    process.stdout(whatIsLost(status));
    process.stderr("Nothing was changed. Add --yes to give these entries up.\n");
    return 1;
  }
  const { term } = await client.json<{ readonly term: { readonly epoch: number } }>(
    "POST",
    "/replication/accept-loss",
  );
  process.stdout(`${client.url} takes writes again, in epoch ${term.epoch}\n`);
  return 0;
}

function whatIsLost({ node, position, readOnlyReason, leader }: Status): string {
  const reason = readOnlyReason === null ? "" : ` (read-only: ${readOnlyReason})`;
  const ahead = (leader.refused ?? []).filter(({ code }) => code === "ahead");
  const lines = ahead.map(({ nodeName, position }) => `  ${nodeName} is at ${position}\n`).join("");
  return `${node} is at ${position}${reason}\n${lines || "  no follower has said yet that it holds more\n"}`;
}
