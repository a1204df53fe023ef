/** The same seed is the same world on every runtime: each step of each machine, at the same time, with the same effects. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import test from "node:test";
import { promisify } from "node:util";
import { projectFolder, runtimeNames } from "../tool/runtime_binary.ts";

const run = promisify(execFile), seeds = 16;

test("the machines' traces are equal on Deno, Bun and Node", async () => {
  const [first, ...others] = await Promise.all(runtimeNames.map(async (runtime) => {
    const args = ["test/sim/main.ts", "--seed", "100", "--runs", `${seeds}`, "--hash", "--jobs", "1"];
    const { stdout } = await run(process.execPath, [...args, "--runtime", runtime], { cwd: projectFolder });
    return stdout.split("\n").filter((line) => /^\d+ [0-9a-f]{16} \d+$/.test(line)).sort();
  }));
  assert.equal(first?.length, seeds);
  assert.equal(new Set(first).size, seeds);
  for (const other of others) assert.deepEqual(other, first);
});
