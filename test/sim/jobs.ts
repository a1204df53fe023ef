/** Runs ranges of seeds in processes of their own, some side by side, and gathers what came of them. */
import { type ChildProcess, spawn } from "node:child_process";
import { projectFolder, runtimeBinary, type RuntimeName } from "../tool/runtime_binary.ts";
import type { SeedResult } from "./result.ts";

export interface JobOptions {
  readonly runtime: RuntimeName;
  readonly jobs: number;
  /** First seed, and how many; null: until the time is over. */
  readonly seed: number;
  readonly runs: number | null;
  readonly untilMs: number | null;
  /** Handed on to the processes. */
  readonly flags: readonly string[];
  /** A violation does not end it. */
  readonly goOn: boolean;
  /** Ends it early: the processes, too. */
  readonly signal: AbortSignal;
  readonly onResult: (result: SeedResult) => void;
}

/** So long no seed takes, on the busiest machine: something goes round in a circle, in one event. */
const stuckMs = 300_000;

/** Seeds of one process: what a process leaks ends with it. */
const chunkSeeds = 250;

/** Resolves with null, or with why it ended before: the first violation, or what a process printed before it died. */
export async function runJobs(options: JobOptions): Promise<SeedResult | string | null> {
  const { jobs, signal } = options, children = new Set<ChildProcess>();
  let next = options.seed, failure: SeedResult | string | null = null;
  const end = options.runs === null ? Number.POSITIVE_INFINITY : options.seed + options.runs;
  const more = (): boolean =>
    !signal.aborted && failure === null && next < end &&
    (options.untilMs === null || performance.now() < options.untilMs);
  const fail = (why: SeedResult | string): void => {
    failure ??= why;
    for (const child of children) child.kill();
  };
  signal.addEventListener("abort", () => {
    for (const child of children) child.kill();
  });
  const worker = async (): Promise<void> => {
    while (more()) {
      const from = next, runs = Math.min(chunkSeeds, Math.ceil((end - options.seed) / jobs), end - from);
      next += runs;
      const problem = await runChunk(options, from, runs, children, (result) => {
        options.onResult(result);
        if (result.violation !== null && !options.goOn) fail(result);
      });
      if (problem !== null && !signal.aborted) fail(problem);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return failure;
}

function runChunk(
  { runtime, flags }: JobOptions,
  seed: number,
  runs: number,
  children: Set<ChildProcess>,
  onResult: (result: SeedResult) => void,
): Promise<string | null> {
  const own = runtime === "deno" ? ["run", "-A", "--no-check", "--quiet"] : [];
  const args = [...own, "test/sim/main.ts", "--child", "--seed", `${seed}`, "--runs", `${runs}`, ...flags];
  const child = spawn(runtimeBinary(runtime), args, {
    cwd: projectFolder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  return new Promise((resolve) => {
    let rest = "", errors = "", seen = 0, stuck = false;
    const watch = setTimeout(() => {
      stuck = true;
      child.kill("SIGKILL");
    }, stuckMs);
    child.stdout.on("data", (chunk: Uint8Array) => {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        // What somebody prints who looks for a mistake.
        if (!line.startsWith("{")) {
          console.error(line);
          continue;
        }
        seen++;
        watch.refresh();
        onResult(JSON.parse(line) as SeedResult);
      }
    });
    child.stderr.on("data", (chunk: Uint8Array) => errors = (errors + String(chunk)).slice(-20_000));
    child.on("close", (code, signal) => {
      children.delete(child);
      clearTimeout(watch);
      if (stuck) return resolve(`seed ${seed + seen}: it does not end: nothing came in ${stuckMs / 1_000} s`);
      // Those that are ended because another one failed change nothing about that.
      const whole = seen === runs;
      resolve(whole ? null : `seed ${seed + seen}: the process ended with ${code ?? signal}\n${errors}`);
    });
  });
}
