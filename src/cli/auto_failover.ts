/** `dfdb auto-failover`: lets a running follower take over by itself, or not any more. */
import { Argument, Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { fieldsOf, numberIn } from "./fields.ts";
import { apiKeyOf, httpClient } from "./http_client.ts";
import { portOf } from "./promote.ts";
import type { OnOff } from "./read_only.ts";
import { commonAdvice, printRefusal } from "./refusals.ts";

/** As given on the command line. */
export interface AutoFailoverFlags {
  readonly apiKey?: string;
  readonly seconds?: string;
  readonly port?: string;
}

export function autoFailoverCommand(
  run: (url: string, wanted: OnOff, flags: AutoFailoverFlags) => Promise<void>,
): Command {
  return new Command("auto-failover")
    .description("let a running follower take over when its leader is silent (on), or not any more (off)")
    .argument("<url>", "HTTP address of the follower")
    .addArgument(new Argument("<on|off>").choices(["on", "off"]))
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--seconds <seconds>", "with on: take over when the leader was silent for so long")
    .option("--port <port>", "with on: replication port to lead on then (default: the leader's)")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      "\nWrites that the leader answered and had not sent yet are not on the new leader (they are rescued when the old\n" +
        "one returns), unless --min-sync-replicas is on. dfdb status shows whether the leader has accepted it.",
    )
    .action((url: string, wanted: OnOff, flags: AutoFailoverFlags) => run(url, wanted, flags));
}

/** Answers the exit code. */
export async function setAutoFailover(
  runtime: Runtime,
  url: string,
  wanted: OnOff,
  flags: AutoFailoverFlags,
): Promise<number> {
  const { process } = runtime, body = wanted === "on" ? bodyOf(flags) : undefined;
  if (wanted === "off" && (flags.seconds ?? flags.port) !== undefined) {
    throw new DfdbError("bad_request", "--seconds and --port go with on only");
  }
  const client = httpClient(runtime, { url, apiKey: apiKeyOf(runtime, flags.apiKey) });
  try {
    const path = `/replication/auto-failover/${wanted === "on" ? "enable" : "disable"}`;
    const answer = fieldsOf(await client.json("POST", path, body));
    const port = numberIn(answer, "newLeaderPort");
    const after = numberIn(answer, "silenceSeconds") ?? body?.silenceSeconds;
    process.stdout(
      wanted === "off"
        ? `auto-failover of ${client.url} is off\n`
        : `auto-failover of ${client.url} after ${after}s${port === null ? "" : ` (new port :${port})`}\n`,
    );
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    printRefusal(runtime, thrown, commonAdvice(thrown, client.url));
    return 1;
  }
}

function bodyOf({ seconds: text, port: portText }: AutoFailoverFlags): {
  readonly silenceSeconds: number;
  readonly newLeaderPort?: number;
} {
  if (text === undefined) throw new DfdbError("bad_request", "on wants --seconds");
  const silenceSeconds = text.trim() === "" ? NaN : Number(text), port = portOf("--port", portText);
  if (!(silenceSeconds >= 0.1 && silenceSeconds <= 86_400)) {
    throw new DfdbError("bad_request", `--seconds: expected 0.1 to 86400 seconds, not "${text}"`);
  }
  return port === null ? { silenceSeconds } : { silenceSeconds, newLeaderPort: port };
}
