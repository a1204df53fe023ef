import { Command, InvalidArgumentError, Option } from "commander";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames } from "../tool/node_process.ts";

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
    .option("--only <parts>", `of ${soakParts.join(",")}`, partList, [...soakParts])
    .addOption(
      new Option("--leader <name>", "runtime of the first leader").choices(runtimeNames).default("node"),
    )
    .option("--seed <number>", "of what is drawn by chance", whole, Date.now() % 1_000_000)
    .option("--kills <number>", "kills: how many", whole, 20)
    .option("--documents <number>", "frozen: documents written meanwhile", whole, 100_000)
    .option("--minutes <number>", "chaos: how long", above, 5)
    .option("--gigabytes <number>", "away: size of the data that a new follower gets", above, 1)
    .option("--handovers <number>", "handovers: how many", whole, 200)
    .option("--failovers <number>", "failovers, failovers-async: how many", whole, 100)
    .option("--partitions <number>", "partitions: how many", whole, 60)
    .option("--masters <numbers>", "masters: how many in each run", mastersList, [2, 5])
    .option("--writes <number>", "masters: writes spread over all of them", whole, 100_000)
    .option("--changes <number>", "away-master: changes that it misses", whole, 50_000);
  program.parse([...argv]);
  const { only, ...rest } = program.opts<Parsed>();
  return { ...rest, parts: only };
}

function partList(text: string): SoakPart[] {
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !soakParts.some((known) => known === name));
  if (unknown !== undefined) throw new InvalidArgumentError(`There is no part "${unknown}".`);
  return soakParts.filter((name) => names.includes(name));
}

function mastersList(text: string): number[] {
  const counts = text.split(",").map(whole);
  if (counts.some((count) => count < 2)) throw new InvalidArgumentError("Two masters are the least.");
  return counts;
}

function above(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("A number above 0 is expected.");
  return value;
}

function whole(text: string): number {
  const value = above(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError("A whole number is expected.");
  return value;
}
