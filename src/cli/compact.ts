/** `dfdb compact`: gives the space that is free inside a data file back to the disk. */
import { Command } from "commander";
import { DfdbError } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { fieldsOf, numberIn } from "./fields.ts";
import { bytesText } from "./inspect_text.ts";
import { duration } from "./table.ts";
import { withTarget } from "./target.ts";

/** As given on the command line. */
export interface CompactFlags {
  readonly apiKey?: string;
}

const answerMs = 3_600_000;

export function compactCommand(run: (target: string, flags: CompactFlags) => Promise<void>): Command {
  return new Command("compact")
    .description("write a data file anew without the space that is free in it")
    .argument("<url|file>", "HTTP address of a node, or a database file that no node has open")
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      "\nThe whole file is compacted, of this node alone; its writes wait meanwhile. Wants as much free space as the file has.\n\n" +
        "Example:\n  dfdb compact shop.dfdb",
    )
    .action((target: string, flags: CompactFlags) => run(target, flags));
}

/** Answers the exit code. */
export async function compact(runtime: Runtime, given: string, flags: CompactFlags): Promise<number> {
  const { process } = runtime;
  return await withTarget(runtime, given, { apiKey: flags.apiKey, timeoutMs: answerMs }, async (target) => {
    const { client, name } = target;
    const { collections } = await client.json<{ readonly collections?: unknown }>("GET", "/collections");
    if (!Array.isArray(collections)) {
      throw new DfdbError("bad_frame", `${name} does not answer as a dfdb node does`);
    }
    const [first] = collections;
    if (first === undefined) {
      process.stdout(`${name} has no collections: there is nothing to compact\n`);
      return 0;
    }
    // The route names a collection; the file is one, and so is the work.
    const done = fieldsOf(await client.json("POST", `/admin/compact/${encodeURIComponent(String(first))}`));
    const ms = numberIn(done, "timeMs");
    process.stdout(
      `${name}: ${bytesText(numberIn(done, "bytesReclaimed") ?? 0)} given back` +
        `${ms === null ? "" : ` in ${duration(ms)}`}\n`,
    );
    return 0;
  });
}
