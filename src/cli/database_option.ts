/** `--database NAME` of every subcommand that asks a node: the one place that knows where a database's paths are. */
import type { Command } from "commander";
import { Option } from "commander";
import { DfdbError } from "../base/errors.ts";
import { isUrl } from "./target.ts";

/** Options that take a node. */
const nodeOptions: readonly string[] = ["from", "to"];

/** Adds the option to all subcommands that take the key of a node, and to theirs. */
export function addDatabaseOption(program: Command): void {
  for (const command of program.commands) {
    addDatabaseOption(command);
    if (!command.options.some(({ long }) => long === "--api-key") || command.name() === "databases") continue;
    command.addOption(
      new Option(
        "--database <name>",
        "the database of the node (default: the one that it shows without a name)",
      ),
    );
    command.hook("preAction", (_, action) => name(action));
  }
}

/** Addresses of nodes become those of the database on them. */
function name(action: Command): void {
  const database: unknown = action.getOptionValue("database");
  if (typeof database !== "string") return;
  action.processedArgs = action.processedArgs.map((given: unknown, i) => {
    if (action.registeredArguments[i]?.name().includes("url") !== true) return given;
    return Array.isArray(given) ? given.map((each) => on(database, each)) : on(database, String(given));
  });
  for (const option of nodeOptions) {
    const given: unknown = action.getOptionValue(option);
    // A follower may be meant by its name.
    if (typeof given === "string" && isUrl(given)) action.setOptionValue(option, on(database, given));
  }
}

/** Throws `bad_request` for what is no address. */
function on(database: string, given: string): string {
  if (!isUrl(given)) {
    throw new DfdbError("bad_request", `--database goes with the address of a node; ${given} is a file`);
  }
  const url = /^https?:\/\//i.test(given) ? given : `http://${given}`;
  return `${url.replace(/\/+$/, "")}/db/${encodeURIComponent(database)}`;
}
