/**
 * `npm test`: types, format, lint, then the same test files under Node, Deno and Bun, simulated worlds on each, then the
 * clusters of real processes. Prints each part's own output only when it fails, and one closing line with the sum.
 * `npm test -- --runtime node --only unit` runs a part.
 */
import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: "all" },
    only: { type: "string" },
    verbose: { type: "boolean", default: false },
  },
});

/** Folders whose files run on every runtime. */
const everywhere = ["unit", "runtime", "scenario", "golden", "fuzz", "crash", "sim"];
/** Folders whose files start processes of every runtime themselves. */
const once = ["tidy", "cluster"];

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

const runners: Record<keyof typeof readers, (files: readonly string[]) => readonly string[]> = {
  node: (list) => ["node", "--test", "--test-reporter=spec", "--test-concurrency=2", ...list],
  deno: (list) => ["deno", "test", "-A", "--no-check", "--quiet", ...list],
  bun: (list) => ["bun", "test", "--timeout", "120000", ...list.map((file) => `./${file}`)],
};

function parts(): Part[] {
  const list: Part[] = [];
  if (values.only === undefined && values.runtime === "all") {
    list.push({ name: "types", command: ["tsc", "-p", "."], counts: null });
    list.push({ name: "format", command: ["deno", "fmt", "--check", "--quiet"], counts: null });
    list.push({ name: "lint", command: ["deno", "lint", "--quiet"], counts: null });
  }
  const shared = files(everywhere), single = files(once);
  for (const runtime of ["node", "deno", "bun"] as const) {
    if (values.runtime !== "all" && values.runtime !== runtime) continue;
    if (shared.length > 0) {
      list.push({ name: runtime, command: runners[runtime](shared), counts: readers[runtime] });
    }
  }
  if (values.only === undefined || values.only === "seeds") list.push(...seedParts());
  if (single.length > 0 && (values.runtime === "all" || values.runtime === "node")) {
    list.push({ name: "clusters", command: runners.node(single), counts: readers.node });
  }
  return list;
}

/** The same worlds each time, and new ones. */
function seedParts(): Part[] {
  const names = (["node", "deno", "bun"] as const).filter((name) =>
    values.runtime === "all" || values.runtime === name
  );
  return names.flatMap((runtime) =>
    [["--seed", "1"], []].map((which) => ({
      name: `${which.length === 0 ? "new" : "fixed"} ${runtime}`,
      command: ["node", "test/sim/main.ts", "--runtime", runtime, "--runs", "200", ...which],
      counts: seeds,
    }))
  );
}

function run(command: readonly string[]): Promise<{ code: number; output: string }> {
  const [program, ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program as string, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
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

async function runPart(part: Part): Promise<void> {
  const startedAt = performance.now();
  const { code, output } = await run(part.command);
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
    `${bad ? "FAIL" : "ok  "} ${part.name.padEnd(10)} ${counts?.passed ?? 0} passed, ${
      counts?.failed ?? 0
    } failed` +
      `${broken ? ` (the runner ended with ${code})` : ""} in ${seconds} s`,
  );
}
/** Deno and Bun run their files one after the other: side by side they use both cores, as Node does by itself. */
const all = parts(), beside = all.filter(({ name }) => name === "deno" || name === "bun");
for (const part of all) {
  if (part === beside[0]) await Promise.all(beside.map(runPart));
  else if (!beside.includes(part)) await runPart(part);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
