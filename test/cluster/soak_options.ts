import { Command, InvalidArgumentError, Option } from "commander";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames } from "../tool/node_process.ts";
import { positive, positiveWhole, someOf } from "../tool/option_values.ts";

export const soakParts = [
  "kills",
  "frozen",
  "chaos",
  "away",
  "handovers",
  "failovers",
  "failovers-async",
  "partitions",
  "masters",
  "away-master",
] as const;
export type SoakPart = typeof soakParts[number];

export interface SoakOptions {
  readonly parts: readonly SoakPart[];
  /** Of the first leader. */
  readonly leader: RuntimeName;
  readonly seed: number;
  readonly kills: number;
  /** Written while a follower is frozen. */
  readonly documents: number;
  readonly minutes: number;
  readonly gigabytes: number;
  readonly handovers: number;
  readonly failovers: number;
  readonly partitions: number;
  /** How many masters; one run for each. */
  readonly masters: readonly number[];
  readonly writes: number;
  readonly changes: number;
}

interface Parsed extends Omit<SoakOptions, "parts"> {
  readonly only: readonly SoakPart[];
}

/** Ends the process with a sentence where `argv` is wrong: a part that is not there would be a promise that nobody looked at. */
export function readSoakOptions(argv: readonly string[]): SoakOptions {
  const program = new Command("npm run soak --").allowExcessArguments(false)
    .description("Real nodes under load and under faults. Ends with 1 when a promise is broken.")
    .option("--only <parts>", `of ${soakParts.join(",")}`, someOf(soakParts, "part"), [...soakParts])
    .addOption(
      new Option("--leader <name>", "runtime of the first leader").choices(runtimeNames).default("node"),
    )
    .option("--seed <number>", "of what is drawn by chance", positiveWhole, Date.now() % 1_000_000)
    .option("--kills <number>", "kills: how many", positiveWhole, 20)
    .option("--documents <number>", "frozen: documents written meanwhile", positiveWhole, 100_000)
    .option("--minutes <number>", "chaos: how long", positive, 5)
    .option("--gigabytes <number>", "away: size of the data that a new follower gets", positive, 1)
    .option("--handovers <number>", "handovers: how many", positiveWhole, 200)
    .option("--failovers <number>", "failovers, failovers-async: how many", positiveWhole, 100)
    .option("--partitions <number>", "partitions: how many", positiveWhole, 60)
    .option("--masters <numbers>", "masters: how many in each run", mastersList, [2, 5])
    .option("--writes <number>", "masters: writes spread over all of them", positiveWhole, 100_000)
    .option("--changes <number>", "away-master: changes that it misses", positiveWhole, 50_000);
  program.parse([...argv]);
  const { only, ...rest } = program.opts<Parsed>();
  return { ...rest, parts: only };
}

function mastersList(text: string): number[] {
  const counts = text.split(",").map(positiveWhole);
  if (counts.some((count) => count < 2)) throw new InvalidArgumentError("Two masters are the least.");
  return counts;
}
