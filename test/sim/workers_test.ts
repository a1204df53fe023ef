/** The simulator's workers keep the order that threads keep, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { TaskContext, Tasks, Workers } from "../../src/runtime/workers.ts";
import { loneProcess } from "./lone_process.ts";
import { simWorkers } from "./sim_workers.ts";
import { World } from "./world.ts";

const table = {
  count: ({ to }: { readonly to: number }, { progress, hold }: TaskContext) =>
    hold(() => {
      for (let i = 0; i < to; i++) progress(i);
      return { to };
    }),
  refuse: () => {
    throw new DfdbError("disk_full", "no room");
  },
  thread: () => new Promise((resolve) => setImmediate(() => setImmediate(() => resolve("done")))),
} satisfies Tasks;

async function outcome(run: (workers: Workers, program: Workers) => Promise<unknown>): Promise<unknown> {
  const world = new World(1), process = loneProcess(world);
  const workers = simWorkers({ world, process, crashPoint: () => {}, table });
  let over = false;
  const result = run(workers, process.runtime.workers)
    .catch((error) => error.code ?? error.message).finally(() => over = true);
  assert.ok(await world.until(() => over, 1_000));
  return await result;
}

test("a task of the simulator: progress in order, then the result; the input is a copy", async () => {
  const seen: unknown[] = [], input = { to: 3 };
  const result = await outcome((workers) => {
    const run = workers.run("count", input, { onProgress: (i) => void seen.push(i) });
    input.to = 9;
    return run;
  });
  assert.deepEqual([result, seen], [{ to: 3 }, [0, 1, 2]]);
});

test("a task of the simulator: failures, abort", async () => {
  assert.equal(await outcome((workers) => workers.run("refuse", null)), "disk_full");
  assert.equal(await outcome((workers) => workers.run("unknown", null)), "internal");
  const missing = { path: "/no/such/file" };
  assert.equal(await outcome((_, program) => program.run("sqlite.quickCheck", missing)), "io_error");
  const control = new AbortController();
  const aborted = await outcome((workers) => {
    const onProgress = (): void => control.abort(new Error("enough"));
    return workers.run("count", { to: 3 }, { signal: control.signal, onProgress });
  });
  assert.equal(aborted, "enough");
});

test("virtual time stands still while a task works in a real thread", async () => {
  const world = new World(1), process = loneProcess(world);
  const workers = simWorkers({ world, process, crashPoint: () => {}, table, taskMs: 2 });
  let result: unknown = null;
  workers.run("thread", null).then((value) => result = value);
  assert.ok(await world.until(() => result !== null, 5));
  assert.equal(result, "done");
});
