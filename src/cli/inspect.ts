/** `dfdb inspect`: what a database file holds, without opening it for writing. */
import { Command } from "commander";
import { inspect } from "../node/inspect.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { inspectText } from "./inspect_text.ts";
import { screenOf } from "./table.ts";

/** As given on the command line. */
export interface InspectFlags {
  readonly json?: true;
  readonly all?: true;
}

export function inspectCommand(run: (file: string, flags: InspectFlags) => Promise<void>): Command {
  return new Command("inspect")
    .description("show what a database file holds: position, log, collections, indexes, its node")
    .argument("<file>", "data.dfdb of a node, or an embedded database")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--all", "collections and indexes of dfdb itself, too")
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Works while a node has the file open: it is read over a connection that cannot write, and shows what was committed last.

Example:
  dfdb inspect ./data/data.dfdb`,
    )
    .action((file: string, flags: InspectFlags) => run(file, flags));
}

/** Answers the exit code. */
export async function inspectFile(runtime: Runtime, file: string, flags: InspectFlags): Promise<number> {
  const { process } = runtime, found = await inspect(runtime, file);
  process.stdout(
    flags.json === true
      ? `${JSON.stringify(found, null, 2)}\n`
      : inspectText(found, screenOf(process), flags.all === true),
  );
  return 0;
}
