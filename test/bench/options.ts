import { Command, Option } from "commander";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames } from "../tool/node_process.ts";
import { positive, someOf } from "../tool/option_values.ts";

export const rowNames = [
  "P1",
  "P1b",
  "P2",
  "P3",
  "P4",
  "P5",
  "P6",
  "P7",
  "P8",
  "P11",
  "equality",
  "range",
  "group",
  "P12",
  "P13",
] as const;
export type RowName = typeof rowNames[number];

export interface BenchOptions {
  readonly runtimes: readonly RuntimeName[];
  readonly rows: readonly RowName[];
  readonly seconds: number;
  readonly runs: number;
  /** Documents of the bulk load, the catch-up, the snapshot and the memory row. */
  readonly documents: number;
  /** Documents of the row "group". */
  readonly orders: number;
  /** Compare with PostgreSQL when it is installed. */
  readonly peers: boolean;
  /** Seconds to wait before each run for a machine that does nothing else. */
  readonly patience: number;
  readonly json: string | null;
}

export function readOptions(argv: readonly string[]): BenchOptions {
  const program = new Command("npm run bench --").allowExcessArguments(false)
    .description("Measures real dfdb processes: server and load on a core each. See test/bench/README.md.")
    .addOption(
      new Option("--runtime <name>", "what to measure").choices(["all", ...runtimeNames]).default("all"),
    )
    .option(
      "--rows <names>",
      `of ${rowNames.join(",")}`,
      someOf(rowNames, "row"),
      rowNames.filter((name) => name !== "P1b"),
    )
    .option("--seconds <number>", "length of each timed run", positive, 5)
    .option("--runs <number>", "runs of each row; the median counts", positive, 3)
    .option("--documents <number>", "documents of P4, P5, P6 and P13", positive, 200_000)
    .option("--orders <number>", "documents of the row group", positive, 250_000)
    .option("--patience <seconds>", "wait so long before each run for a quiet machine", positive, 5)
    .option("--no-peers", "leave PostgreSQL out")
    .option("--json <file>", "also write everything as JSON");
  program.parse([...argv]);
  const { runtime, json, ...rest } = program.opts<Parsed>();
  return { ...rest, json: json ?? null, runtimes: runtime === "all" ? runtimeNames : [runtime] };
}

interface Parsed extends Omit<BenchOptions, "runtimes" | "json"> {
  readonly runtime: "all" | RuntimeName;
  readonly json?: string;
}
