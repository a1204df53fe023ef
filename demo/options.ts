import { Command, InvalidArgumentError, Option } from "commander";
import type { RuntimeName } from "../test/tool/node_process.ts";

export interface DemoOptions {
  readonly leaderRuntime: RuntimeName;
  readonly followerRuntime: RuntimeName;
  readonly port: number;
  readonly replicationPort: number;
  readonly followerPort: number;
  /** End by itself when everything was seen. */
  readonly once: boolean;
  /** Leave the data where it is. */
  readonly keep: boolean;
}

const description =
  "Starts a dfdb leader and a follower as two processes, loads open data into the leader, " +
  "shows how the follower gets it, and stays up until Ctrl-C.";

const examples = `
Examples:
  npm start                                both nodes on Node
  npm start -- --runtime mixed             the leader on Deno, the follower on Bun
  npm start -- --once                      end when everything was seen (exit code 0; 1 when it was not)
  npm start -- --port 5001                 when another program has port 5000`;

/** Options from the command line; ends the process after --help or a wrong option, as commander does. */
export function readOptions(argv: readonly string[]): DemoOptions {
  const program = new Command("npm start --").description(description).allowExcessArguments(false)
    .addOption(
      new Option("--runtime <name>", "what the nodes run on; mixed: leader on deno, follower on bun")
        .choices(["deno", "bun", "node", "mixed"]).default("node"),
    )
    .option("--port <number>", "HTTP port of the leader", portNumber, 5000)
    .option("--replication-port <number>", "port of the leader's replication wire", portNumber, 5500)
    .option("--follower-port <number>", "HTTP port of the follower", portNumber, 5010)
    .option("--once", "end by itself when everything was seen", false)
    .option("--keep", "keep the data directory", false)
    .addHelpText("after", examples);
  program.parse([...argv]);
  const { runtime, ...rest } = program.opts<Parsed>();
  const mixed = runtime === "mixed";
  return { ...rest, leaderRuntime: mixed ? "deno" : runtime, followerRuntime: mixed ? "bun" : runtime };
}

interface Parsed extends Omit<DemoOptions, "leaderRuntime" | "followerRuntime"> {
  readonly runtime: RuntimeName | "mixed";
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new InvalidArgumentError("A port is 1 to 65535.");
  }
  return port;
}
