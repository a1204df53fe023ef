/**
 * `npm run sim -- --seed N --runs K`: worlds with the seeds N, N+1, ...; stops at the first that breaks a promise and prints
 * the command that repeats it.
 */
import { randomInt } from "node:crypto";
import process from "node:process";
import { parseArgs } from "node:util";
import type { RuntimeName } from "../tool/runtime_binary.ts";
import { runtimeNames } from "../tool/runtime_binary.ts";
import { runJobs } from "./jobs.ts";
import { runMasters } from "./masters_run.ts";
import { plantNames, plants } from "./plants.ts";
import { plantsTable } from "./plants_table.ts";
import { type SeedResult, Sums } from "./result.ts";
import { runSeed } from "./run_seed.ts";
import { withStallsChecked } from "./stalls.ts";

const help = `npm run sim -- [options]

  --seed N         first seed (default: by chance)
  --runs K         how many seeds (default 100)
  --minutes M      as many seeds as fit in, instead of --runs
  --jobs J         processes side by side (default 2)
  --runtime R      node, deno or bun (default node)
  --masters        worlds of several masters, which have seeds of their own
  --trace          prints what happens in one seed
  --hash           prints a checksum of all steps of the machines, for each seed
  --plant NAME     with a planted fault: ${plantNames.join(", ")}
  --plants         how many seeds it takes until each planted fault is caught, at most 1,000 each; takes minutes
  --go-on          does not stop at the first seed that fails
  --keep           leaves the data files of a seed that failed
  --help           prints this`;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    runs: { type: "string" },
    minutes: { type: "string" },
    jobs: { type: "string", default: "2" },
    runtime: { type: "string", default: "node" },
    plant: { type: "string" },
    plants: { type: "boolean", default: false },
    masters: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
    hash: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    "go-on": { type: "boolean", default: false },
    child: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

function whole(name: string, text: string, min: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= min) return value;
  console.error(`--${name}: expected a whole number from ${min} on, not ${text}`);
  process.exit(2);
}

const seed = values.seed === undefined ? randomInt(1_000_000_000) : whole("seed", values.seed, 0);
const runs = values.runs === undefined ? null : whole("runs", values.runs, 1);
const options = {
  plant: values.plant ?? null,
  hash: values.hash,
  keep: values.keep,
  // As it is looked for (`plants_table.ts`).
  plain: values.plant !== undefined && plants[values.plant]?.features !== true,
};

const masters = values.masters || plants[values.plant ?? ""]?.masters === true;
const run = masters ? runMasters : runSeed;

/** In this process, one JSON line a seed. */
async function child(): Promise<number> {
  for (let own = seed; own < seed + (runs ?? 1); own++) {
    const result = await withStallsChecked(() => run(own, { ...options, trace: null }));
    process.stdout.write(`${JSON.stringify(result)}\n`);
    if (result.violation !== null && !values["go-on"]) return 1;
  }
  return 0;
}

/** One seed in this process, with everything that happens. */
async function trace(): Promise<number> {
  const result = await run(seed, { ...options, trace: (line) => console.log(line) });
  const sums = new Sums();
  sums.add(result);
  console.log(sums.text(result.wallMs));
  if (result.violation !== null) console.log(`\n${result.violation.stack}`);
  return result.violation === null ? 0 : 1;
}

/** In this process: a world with a mistake ends early. */
async function table(): Promise<number> {
  return await plantsTable(1_000, (line) => console.log(line)) ? 0 : 1;
}

async function many(): Promise<number> {
  const startedAt = performance.now(), sums = new Sums(), terminal = process.stdout.isTTY === true;
  const failed: SeedResult[] = [], interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => interrupted.abort());
  const minutes = values.minutes === undefined ? null : whole("minutes", values.minutes, 1);
  const failure = await runJobs({
    runtime: values.runtime as RuntimeName,
    jobs: whole("jobs", values.jobs, 1),
    seed,
    runs: minutes === null ? runs ?? 100 : null,
    untilMs: minutes === null ? null : startedAt + minutes * 60_000,
    flags: [
      ...(values.plant === undefined ? [] : ["--plant", values.plant]),
      ...(masters ? ["--masters"] : []),
      ...(values.hash ? ["--hash"] : []),
      ...(values.keep ? ["--keep"] : []),
      ...(values["go-on"] ? ["--go-on"] : []),
    ],
    goOn: values["go-on"],
    signal: interrupted.signal,
    onResult(result) {
      sums.add(result);
      if (result.violation !== null) {
        failed.push(result);
        console.log(`${terminal ? "\r" : ""}seed ${result.seed}: ${result.violation.message}`);
      }
      if (result.hash !== null) console.log(`${result.seed} ${result.hash}`);
      if (terminal && sums.seeds % 10 === 0) process.stdout.write(`\r${sums.seeds} seeds `);
    },
  });
  console.log(
    `${terminal ? "\r" : ""}from seed ${seed} on ${values.runtime}: ${
      sums.text(performance.now() - startedAt)
    }`,
  );
  for (const each of failed) console.log(`\n${describe(each)}`);
  if (typeof failure === "string") console.log(`\n${failure}`);
  if (interrupted.signal.aborted) console.log("\ninterrupted: not all seeds were run");
  return failed.length === 0 && failure === null && !interrupted.signal.aborted ? 0 : 1;
}

function describe(failure: SeedResult): string {
  const plant = values.plant === undefined ? "" : ` --plant ${values.plant}`;
  return `seed ${failure.seed}: ${failure.violation?.stack}\n\n` +
    `again: npm run sim -- --seed ${failure.seed} --runs 1 --trace --runtime ${values.runtime}${plant}${
      masters ? " --masters" : ""
    }`;
}

if (values.help) console.log(help);
else {
  if (!runtimeNames.includes(values.runtime as RuntimeName)) {
    console.error(`--runtime: expected one of ${runtimeNames.join(", ")}, not ${values.runtime}`);
    process.exit(2);
  }
  if (values.plant !== undefined && !plantNames.includes(values.plant)) {
    console.error(`--plant: expected one of ${plantNames.join(", ")}, not ${values.plant}`);
    process.exit(2);
  }
  const code = await (values.child ? child() : values.plants ? table() : values.trace ? trace() : many());
  // What a failed world left behind must not keep the process; what was printed must be out before.
  process.stdout.write("", () => process.exit(code));
}
