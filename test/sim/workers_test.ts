/** The simulator's workers keep the order that threads keep, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { Residents, TaskContext, Tasks, Workers } from "../../src/runtime/workers.ts";
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

const residents = {
  echo: (greeting: string, post) => {
    post(greeting);
    return {
      receive(message) {
        if (message === "refuse") throw new DfdbError("disk_full", "no room");
        post(message);
      },
      close: () => post("closed"),
    };
  },
} satisfies Residents;

test("a resident of the simulator: messages in order, each a moment of virtual time; its end", async () => {
  const seen = (name: string, ...messages: readonly unknown[]): Promise<unknown[]> => {
    const world = new World(1), process = loneProcess(world), said: unknown[] = [];
    const workers = simWorkers({ world, process, crashPoint: () => {}, residents });
    let over = false;
    const thread = workers.open(name, "hello", {
      onMessage: (message) => void said.push(message),
      onEnd(error) {
        said.push(error === null ? "end" : error.code);
        over = true;
      },
    });
    for (const message of messages) {
      if (message === "end") thread.end();
      else thread.post(message);
    }
    return world.until(() => over, 1_000).then(() => [...said, world.now > 0]);
  };
  assert.deepEqual(await seen("echo", 1, 2, "end", 3), ["hello", 1, 2, "closed", "end", true]);
  assert.deepEqual(await seen("echo", 1, "refuse", 2), ["hello", 1, "closed", "disk_full", true]);
  assert.deepEqual(await seen("nobody", 1), ["internal", true]);
});

test("a resident of a process that dies is gone without a word", async () => {
  const world = new World(1), process = loneProcess(world), said: unknown[] = [];
  const workers = simWorkers({ world, process, crashPoint: () => {}, residents });
  const tell = (message: unknown): void => void said.push(message);
  workers.open("echo", "hello", { onMessage: tell, onEnd: tell }).post(1);
  process.die("kill");
  assert.equal(await world.until(() => said.length > 0, 1_000), false);
});
