/** `dfdb seed`: sample data, the same ones everywhere. */
import { Command } from "commander";
import type { Runtime } from "../runtime/runtime.ts";
import { fieldsOf, numberIn } from "./fields.ts";
import { wholeNumber } from "./import.ts";
import { duration, number } from "./table.ts";
import { withTarget } from "./target.ts";

/** As given on the command line. */
export interface SeedFlags {
  readonly apiKey?: string;
  readonly orders?: string;
}

const ordersMax = 1_000_000, answerMs = 300_000;

export function seedCommand(run: (target: string, flags: SeedFlags) => Promise<void>): Command {
  return new Command("seed")
    .description("write sample data: orders and flights with their indexes")
    .argument(
      "<url|file>",
      "HTTP address of a node, or a database file that no node has open (made where there is none)",
    )
    .allowExcessArguments(false)
    .helpOption("-h, --help", "print this help")
    .option("--orders <number>", "how many orders (default: the node's)")
    .option("--api-key <key>", "key that the node wants (env: DFDB_API_KEY)")
    .addHelpText(
      "after",
      "\nRepeatable: what is there already stays.\n\nExample:\n  dfdb seed localhost:5000 --orders 10000",
    )
    .action((target: string, flags: SeedFlags) => run(target, flags));
}

/** Answers the exit code. */
export async function seed(runtime: Runtime, given: string, flags: SeedFlags): Promise<number> {
  const orders = flags.orders === undefined ? null : wholeNumber("--orders", flags.orders, 0, ordersMax);
  const options = { apiKey: flags.apiKey, create: true, timeoutMs: answerMs };
  return await withTarget(runtime, given, options, async ({ client, name }) => {
    const made = fieldsOf(await client.json("POST", "/seed", orders === null ? {} : { orders }));
    const told = (field: string): string => number(numberIn(made, field));
    const seconds = numberIn(made, "timeSeconds");
    runtime.process.stdout(
      `${name}: ${told("ordersSeeded")} orders, ${told("flightsSeeded")} flights, ${
        told("indexesCreated")
      } indexes` +
        `${seconds === null ? "" : ` in ${duration(seconds * 1_000)}`}\n`,
    );
    return 0;
  });
}
