/** `dfdb serve`: one node until a signal. */
import { Command, Option } from "commander";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { lineLogger } from "../node/logging.ts";
import type { RunningNode } from "../node/node.ts";
import { startNode } from "../node/node.ts";
import { readSettings } from "../node/read_settings.ts";
import type { SettingRow } from "../node/settings.ts";
import { settingsTable } from "../node/settings.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { banner, promotedLine } from "./banner.ts";

/** Flags as given: the text, or true for a switch. */
export type Flags = Readonly<Record<string, string | true>>;

/** The subcommand with one option for each row of the settings table that has a flag. */
export function serveCommand(run: (flags: Flags) => Promise<void>): Command {
  const command = new Command("serve")
    .description("serve the HTTP API and, by role, the replication port, until SIGINT or SIGTERM")
    .helpOption("-h, --help", "print this help")
    .allowExcessArguments(false);
  command.addOption(
    new Option("--config <file>", "node.json with settings; flags and environment win over it"),
  );
  const attributes = new Map<string, string>([["config", "config"]]);
  for (const row of Object.values(settingsTable) as SettingRow[]) {
    if (row.flag === null) continue;
    const option = new Option(optionSyntax(row), describe(row));
    attributes.set(option.attributeName(), row.flag);
    command.addOption(option);
  }
  command.addHelpText(
    "after",
    "\nPrecedence: flag, then environment variable, then node.json, then default.",
  );
  command.action((options: Record<string, string | true>) =>
    run(
      Object.fromEntries(
        Object.entries(options).map(([name, value]) => [attributes.get(name) ?? name, value]),
      ),
    )
  );
  return command;
}

function optionSyntax({ flag, type }: SettingRow): string {
  switch (type.kind) {
    case "switch":
      return `--${flag}`;
    case "choice":
      return `--${flag} <${type.of.join("|")}>`;
    case "seconds":
      return `--${flag} <seconds>`;
    case "port":
      return `--${flag} <port>`;
    case "number":
      return `--${flag} <number>`;
    default:
      return `--${flag} <text>`;
  }
}

function describe(row: SettingRow): string {
  const value = row.type.kind === "seconds" && typeof row.default === "number"
    ? row.default / 1000
    : row.default;
  const notes = [
    ...(value === null || value === false ? [] : [`default: ${value}`]),
    ...(row.env === null ? [] : [`env: ${row.env}`]),
    ...(row.notBuilt === undefined ? [] : ["not built yet"]),
  ];
  return notes.length === 0 ? row.help : `${row.help} (${notes.join(", ")})`;
}

/** Runs a node until SIGINT, SIGTERM or a failed disk. Answers the exit code. */
export async function serve(runtime: Runtime, flags: Flags): Promise<number> {
  const { process } = runtime;
  const settings = readSettings({
    flags,
    env: process.env,
    file: await configFile(runtime, flags["config"]),
  });
  const logger = lineLogger(settings.logLevel, (line) => process.stderr(line));
  const stopSignal = waitForSignal(runtime);
  const node = await startNode(runtime, settings, logger);
  const { autoFailover, following } = node.replication;
  process.stdout(banner(runtime, settings, node, {
    roleNote: node.roleNote,
    autoFailover: autoFailover === null
      ? null
      : { silenceMs: autoFailover.silenceMs, port: autoFailover.newLeaderPort },
    following: following?.status().endpoint ?? null,
  }));
  node.replication.onPromoted((port) => process.stdout(promotedLine(port)));
  const end = await Promise.race([stopSignal, node.failed]);
  if (end instanceof DfdbError) {
    // The outcome of a commit is unknown: nothing may be written any more, not even a clean close.
    logger.error("the disk failed in a commit; ending", { code: end.code, error: end.message });
    // Those who wait are told so first; what reads the sick disk meanwhile is not waited for.
    await within(runtime, 2 * limits.lastAnswersMs, node.hangUp());
    return 1;
  }
  process.stdout(`${end}: stopping\n`);
  return await stopInTime(runtime, node) ? 0 : 1;
}

async function stopInTime(runtime: Runtime, node: RunningNode): Promise<boolean> {
  const { process } = runtime;
  const stopped = await within(runtime, limits.shutdownMs, node.stop());
  process[stopped ? "stdout" : "stderr"](stopped ? "stopped\n" : "ERROR: could not stop in time\n");
  return stopped;
}

/** True when `done` resolved in time. */
async function within({ clock }: Runtime, ms: number, done: Promise<void>): Promise<boolean> {
  const { promise: deadline, resolve } = Promise.withResolvers<false>();
  const timer = clock.timer(ms, () => resolve(false));
  const inTime = await Promise.race([done.then(() => true), deadline]);
  timer.cancel();
  return inTime;
}

function waitForSignal({ process }: Runtime): Promise<"SIGINT" | "SIGTERM"> {
  return new Promise((resolve) => {
    process.onStopSignal(resolve);
  });
}

async function configFile(
  { files }: Runtime,
  name: string | true | undefined,
): Promise<{ name: string; bytes: Uint8Array } | null> {
  if (typeof name !== "string") return null;
  const bytes = await files.read(name);
  if (bytes === null) throw new DfdbError("setting_invalid", `--config: there is no file ${name}`);
  return { name, bytes };
}
