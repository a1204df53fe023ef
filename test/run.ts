/**
 * `npm test`: types, format, lint, then the same test files under Node, Deno and Bun, simulated worlds on each, and the
 * clusters of real processes. Prints each part's own output only when it fails, and one closing line with the sum.
 * `npm test -- --runtime node --only unit` runs a part.
 */
import { spawn } from "node:child_process";
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const cores = Math.min(4, availableParallelism());

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: "all" },
    only: { type: "string" },
    /** Parts side by side; two more than cores, as the nodes' tests wait more than they work. */
    jobs: { type: "string", default: String(cores + 2) },
    verbose: { type: "boolean", default: false },
  },
});

const runtimes = ["node", "deno", "bun"] as const;
type RuntimeName = typeof runtimes[number];

/** Folders whose files run on every runtime, as parts of their own. */
const everywhere: Readonly<Record<string, readonly string[]>> = {
  crash: ["crash"],
  sim: ["sim"],
  unit: ["unit", "runtime", "scenario", "golden", "fuzz"],
};
/** Folders whose files Node runs each in a process of its own: they start processes and end them, or change what all share. */
const apart = ["cluster", "crash", "sim", "tidy"];
/** Measures how long threads are held: nothing runs beside it. */
const alone = "stall_test.ts";
/** Parts that the other files in `cluster` make, which start processes of every runtime themselves and wait more than they work. */
const clusterParts = 3;

interface Part {
  readonly name: string;
  readonly command: readonly string[];
  /** Reads the counts from the output; null when the runner never got so far. */
  readonly counts: ((output: string) => { passed: number; failed: number } | null) | null;
}

function files(folders: readonly string[]): string[] {
  const wanted = values.only === undefined ? folders : folders.filter((folder) => folder === values.only);
  return wanted.flatMap((folder) => globSync(`test/${folder}/**/*_test.ts`)).sort();
}

const last = (output: string, pattern: RegExp): number => {
  const all = [...output.matchAll(pattern)];
  return all.length === 0 ? NaN : Number(all.at(-1)?.[1]);
};

const counted = (passed: number, failed: number): { passed: number; failed: number } | null =>
  Number.isNaN(passed) ? null : { passed, failed: Number.isNaN(failed) ? 0 : failed };

const readers = {
  node: (output: string) => counted(last(output, /^ℹ pass (\d+)$/gm), last(output, /^ℹ fail (\d+)$/gm)),
  deno: (output: string) =>
    counted(last(output, /\| (\d+) passed/g), last(output, /passed[^|]*\| (\d+) failed/g)),
  bun: (output: string) => counted(last(output, /^\s*(\d+) pass$/gm), last(output, /^\s*(\d+) fail$/gm)),
};

const seeds = (output: string) => counted(last(output, /: (\d+) seeds, /g), 0);

/**
 * One file after the other: the parts are what runs side by side. Bun takes all files into one process, and so does Node what needs none of its own: a
 * process for each file costs twice what the tests cost.
 */
const runners: Record<RuntimeName, (files: readonly string[]) => readonly string[]> = {
  node: (list) => {
    const together = list.every((file) => !apart.some((folder) => file.startsWith(`test/${folder}/`)));
    const how = together ? "--test-isolation=none" : "--test-concurrency=1";
    return ["node", "--test", "--test-reporter=spec", how, ...list];
  },
  deno: (list) => ["deno", "test", "-A", "--no-check", "--quiet", ...list],
  bun: (list) => ["bun", "test", "--timeout", "120000", ...list.map((file) => `./${file}`)],
};

const wanted = (runtime: RuntimeName): boolean => values.runtime === "all" || values.runtime === runtime;

/** What needs all cores for a moment. */
function checks(): Part[] {
  if (values.only !== undefined || values.runtime !== "all") return [];
  return [
    { name: "types", command: ["tsc", "-p", "."], counts: null },
    { name: "format", command: ["deno", "fmt", "--check", "--quiet"], counts: null },
    { name: "lint", command: ["deno", "lint", "--quiet"], counts: null },
  ];
}

function aloneParts(): Part[] {
  const own = files(["cluster"]).filter((file) => file.endsWith(alone));
  if (own.length === 0 || !wanted("node")) return [];
  return [{ name: "stalls", command: runners.node(own), counts: readers.node }];
}

/** The long ones first: so no core waits at the end. */
function parts(): Part[] {
  const list: Part[] = [];
  const add = (runtime: RuntimeName, name: string, own: readonly string[]): void => {
    if (own.length === 0 || !wanted(runtime)) return;
    list.push({ name, command: runners[runtime](own), counts: readers[runtime] });
  };
  const clusters = files(["cluster"]).filter((file) => !file.endsWith(alone));
  for (let turn = 0; turn < clusterParts; turn++) {
    add("node", `cluster ${turn + 1}`, clusters.filter((_, i) => i % clusterParts === turn));
  }
  for (const [what, folders] of Object.entries(everywhere)) {
    for (const runtime of runtimes) add(runtime, `${runtime} ${what}`, files(folders));
  }
  add("node", "tidy", files(["tidy"]));
  return list;
}

/** The same worlds each time, and new ones. */
function seedParts(): Part[] {
  if (values.only !== undefined && values.only !== "seeds") return [];
  return runtimes.filter(wanted).flatMap((runtime) =>
    [["--seed", "1"], []].map((which) => ({
      name: `${runtime} ${which.length === 0 ? "new" : "fixed"} seeds`,
      command: [
        ...["node", "test/sim/main.ts", "--runtime", runtime, "--runs", "200", "--jobs", "1"],
        ...which,
      ],
      counts: seeds,
    }))
  );
}

/** Which third of what is shared out over the days is run (`test/tool/shared_out.ts`). */
const turn = process.env["DFDB_TURN"] ?? String(Math.floor(Date.now() / 86_400_000) % 3);

/** What Node made of the sources, so that not each of some hundred processes makes it again: half of such a process's time. */
const compiled = mkdtempSync(join(tmpdir(), "dfdb-compiled-"));

function run(command: readonly string[], ports: string): Promise<{ code: number; output: string }> {
  const [program, ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program as string, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        NO_COLOR: "1",
        FORCE_COLOR: "0",
        NODE_COMPILE_CACHE: compiled,
        TEST_PORTS: ports,
        DFDB_TURN: turn,
      },
    });
    let output = "";
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
      if (values.verbose) process.stdout.write(chunk);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => resolve({ code: 1, output: `${output}${error.message}\n` }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

let passed = 0, failed = 0;

/** Ports for each part, so that none takes what another's node leads on again in a moment (`tool/ports.ts`). */
const firstPort = 10_000, portsEach = 1_000;
let partsRun = 0;

async function runPart(part: Part): Promise<void> {
  const startedAt = performance.now(), from = firstPort + portsEach * (partsRun++ % 22);
  const { code, output } = await run(part.command, `${from}-${from + portsEach - 1}`);
  const counts = part.counts === null
    ? { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1 }
    : part.counts(output);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  // A runner that dies after its tests, or counts none, has failed too.
  const broken = counts === null || counts.passed + counts.failed === 0 ||
    (code !== 0 && counts.failed === 0);
  passed += counts?.passed ?? 0;
  failed += (counts?.failed ?? 0) + (broken ? 1 : 0);
  const bad = broken || (counts?.failed ?? 0) > 0;
  if (bad && !values.verbose) console.log(output);
  console.log(
    `${bad ? "FAIL" : "ok  "} ${part.name.padEnd(17)} ${counts?.passed ?? 0} passed, ${
      counts?.failed ?? 0
    } failed` +
      `${broken ? ` (the runner ended with ${code})` : ""} in ${seconds} s`,
  );
}

/** `jobs` parts at a time. */
async function runSideBySide(list: readonly Part[], jobs: number): Promise<void> {
  const waiting = [...list];
  const worker = async (): Promise<void> => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) await runPart(part);
  };
  await Promise.all(Array.from({ length: jobs }, worker));
}

try {
  await runSideBySide([...checks(), ...aloneParts()], 1);
  await runSideBySide(seedParts(), cores);
  await runSideBySide(parts(), Math.max(1, Number(values.jobs) || cores));
} finally {
  rmSync(compiled, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
