import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { runTask } from "../../src/node/tasks.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Workers } from "../../src/runtime/workers.ts";
import { testWorkerMain } from "../tool/worker_tasks.ts";
import { gate, rejection, within } from "./runtime_tools.ts";

type MakeRuntime = (options?: { readonly workerMain?: string }) => Runtime;

/** Runs a test with a database in WAL mode, table t of 1,000 rows, and its path. */
async function withDatabase(run: (db: DatabaseSync, path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), "dfdb-worker-"));
  const file = path.join(folder, "a.db");
  const db = new DatabaseSync(file);
  try {
    db.exec("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)");
    db.exec(
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000)" +
        " INSERT INTO t SELECT hex(randomblob(100)) FROM c",
    );
    await run(db, file);
  } finally {
    db.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function failureOf(promise: Promise<unknown>): Promise<DfdbError> {
  const error = await rejection(promise);
  assert.ok(error instanceof DfdbError, String(error));
  return error;
}

/** What {@linkcode runtimeSuite} asks of worker threads. */
export function workerSuite(name: string, makeRuntime: MakeRuntime): void {
  const it = (what: string, run: (workers: Workers, runtime: Runtime) => Promise<void>): void =>
    void test(`${name}: workers: ${what}`, () => {
      const runtime = makeRuntime({ workerMain: testWorkerMain });
      return within(runtime, what, run(runtime.workers, runtime));
    });

  it("a result, at once or later", async (workers) => {
    const input = { text: "ä", list: [1, null], bytes: new Uint8Array([1, 2]), map: new Map([[1, 2n]]) };
    assert.deepEqual(await workers.run("echo", input), input);
    assert.deepEqual(await workers.run("later", input), input);
    assert.equal(await workers.run("echo", undefined), undefined);
  });

  it("bytes are moved in on demand, and out", async (workers) => {
    const bytes = new Uint8Array(100_000).fill(9), part = new Uint8Array(new ArrayBuffer(100), 10, 5);
    const back = await workers.run<Uint8Array>("echo", bytes, { transfer: [bytes.buffer] });
    assert.equal(bytes.byteLength, 0);
    assert.deepEqual(back, new Uint8Array(100_000).fill(9));
    assert.equal((await workers.run<Uint8Array>("echo", part)).byteLength, 5);
    const { bytes: made } = await workers.run<{ bytes: Uint8Array }>("bytes", { length: 5_000_000 });
    assert.deepEqual([made.byteLength, made[4_999_999]], [5_000_000, 7]);
  });

  it("what the task throws arrives with its code", async (workers) => {
    const refused = await failureOf(workers.run("refuse", null));
    assert.deepEqual([refused.code, refused.message, refused.details], ["disk_full", "no room", {
      missing: 4096,
    }]);
    assert.match((refused.cause as Error).stack ?? "", /worker_tasks/);
    const bug = await failureOf(workers.run("bug", null));
    assert.deepEqual([bug.code, bug.message], ["internal", "task bug failed: a bug"]);
    for (const task of ["uncloneable", "toString", "unknown"]) {
      assert.equal((await failureOf(workers.run(task, null))).code, "internal");
    }
    assert.equal((await failureOf(workers.run("echo", () => {}))).code, "internal");
  });

  it("a thread that dies rejects", async (workers, runtime) => {
    const exit = await failureOf(workers.run("exit", null));
    assert.deepEqual([exit.code, /exit code 3/.test(exit.message)], ["internal", true]);
    const missing = makeRuntime({ workerMain: new URL("./no_such_file.ts", testWorkerMain).href });
    const promise = failureOf(missing.workers.run("echo", 1));
    assert.equal((await within(runtime, "a missing file", promise)).code, "internal");
  });

  it("an uncaught error in the thread rejects", async (workers) => {
    const uncaught = await failureOf(workers.run("uncaught", null));
    assert.deepEqual([uncaught.code, /nobody catches this/.test(uncaught.message)], ["internal", true]);
  });

  it("progress in order, all before the result", async (workers) => {
    const seen: unknown[] = [];
    assert.equal(await workers.run("count", { to: 1_000 }, { onProgress: (i) => void seen.push(i) }), 1_000);
    assert.deepEqual(seen, Array.from({ length: 1_000 }, (_, i) => i + 1));
    const thrown = new Error("no more");
    const onProgress = () => {
      throw thrown;
    };
    assert.equal(await rejection(workers.run("count", { to: 3 }, { onProgress })), thrown);
  });

  it("an abort ends a task that waits or works, or that has not begun", async (workers) => {
    const reason = new Error("enough");
    for (const task of ["idle", "loop"]) {
      const control = new AbortController();
      const { signal } = control;
      const run = workers.run(task, null, { signal, onProgress: () => control.abort(reason) });
      assert.equal(await rejection(run), reason);
      assert.equal(await rejection(workers.run("echo", 1, { signal })), reason);
    }
    const early = new AbortController();
    const starting = workers.run("idle", null, { signal: early.signal });
    early.abort(reason);
    assert.equal(await rejection(starting), reason);
  });

  it("an abort lets the task close what it holds: no read transaction stays", () =>
    withDatabase(async (db, path) => {
      const { workers } = makeRuntime({ workerMain: testWorkerMain });
      const control = new AbortController(), reason = new Error("enough");
      const run = workers.run("readUntilStopped", { path }, {
        signal: control.signal,
        onProgress: () => {
          db.exec("INSERT INTO t VALUES (1)");
          assert.equal(db.prepare("PRAGMA wal_checkpoint(truncate)").get()?.["busy"], 1);
          control.abort(reason);
        },
      });
      assert.equal(await rejection(run), reason);
      assert.equal(db.prepare("PRAGMA wal_checkpoint(truncate)").get()?.["busy"], 0);
    }));

  it("twenty at once", async (workers) => {
    const all = Array.from({ length: 20 }, (_, i) => workers.run("later", i));
    assert.deepEqual(await Promise.all(all), Array.from({ length: 20 }, (_, i) => i));
  });

  it("the main thread answers while a worker blocks", async (workers, runtime) => {
    const control = new AbortController(), { signal } = control, enough = new Error("enough");
    let ticks = 0;
    // Only what runs here meanwhile ends it.
    const tick = (): void => {
      if (++ticks === 20) control.abort(enough);
      else runtime.clock.timer(5, tick);
    };
    assert.equal(await rejection(workers.run("loop", null, { signal, onProgress: tick })), enough);
    assert.equal(ticks, 20);
  });

  it("its connection sees what was committed", () =>
    withDatabase(async (db, path) => {
      const { workers } = makeRuntime({ workerMain: testWorkerMain });
      db.exec("BEGIN; INSERT INTO t VALUES (1)");
      assert.equal(await workers.run("rows", { path }), 1_000);
      db.exec("COMMIT");
      assert.equal(await workers.run("rows", { path }), 1_001);
    }));

  it("a resident: messages in order, both ways; it ends when it is told to", async (workers) => {
    const said: unknown[] = [], ended = gate<DfdbError | null>();
    const talker = workers.open("talker", { path: null, greeting: "hello" }, {
      onMessage: (message) => void said.push(message),
      onEnd: (error) => ended.open(error),
    });
    for (let i = 1; i <= 100; i++) talker.post({ i });
    talker.post("spin");
    talker.end();
    talker.post("after the end");
    talker.end();
    assert.equal(await ended.promise, null);
    const expected = Array.from({ length: 100 }, (_, i) => ({ message: { i: i + 1 }, count: i + 1 }));
    assert.deepEqual(said, ["hello", ...expected, { message: "spin", count: 101 }]);
    talker.post("too late");
    talker.end();
  });

  it("a resident that fails, dies, or cannot begin", async (workers) => {
    const outcome = async (resident: string, input: unknown, message: unknown): Promise<DfdbError> => {
      const said: unknown[] = [], ended = gate<DfdbError | null>();
      const thread = workers.open(resident, input, {
        onMessage: (value) => void said.push(value),
        onEnd: (error) => ended.open(error),
      });
      thread.post("first");
      thread.post(message);
      thread.post("never seen");
      const error = await ended.promise;
      assert.ok(error !== null);
      if (resident === "talker" && message === "refuse") assert.equal(said.length, 2);
      assert.ok(!JSON.stringify(said).includes("never"));
      return error;
    };
    const input = { path: null, greeting: "" };
    const refused = await outcome("talker", input, "refuse");
    assert.deepEqual([refused.code, refused.message, refused.details], ["disk_full", "no room", {
      count: 1,
    }]);
    const exit = await outcome("talker", input, "exit");
    assert.deepEqual([exit.code, /exit code 3/.test(exit.message)], ["internal", true]);
    assert.match((await outcome("broken", input, "")).message, /a bug/);
    assert.match((await outcome("unknown", input, "")).message, /no such resident/);
    assert.equal((await outcome("talker", () => {}, "")).code, "internal");
  });

  it("a resident closes what it has open, also when it fails", () =>
    withDatabase(async (db, path) => {
      const { workers } = makeRuntime({ workerMain: testWorkerMain });
      for (const message of ["end", "refuse"]) {
        const ended = gate<unknown>(), reading = gate<unknown>();
        const thread = workers.open("talker", { path, greeting: "reading" }, {
          onMessage: reading.open,
          onEnd: ended.open,
        });
        await reading.promise;
        db.exec("INSERT INTO t VALUES (1)");
        assert.equal(db.prepare("PRAGMA wal_checkpoint(truncate)").get()?.["busy"], 1);
        if (message === "end") thread.end();
        else thread.post(message);
        await ended.promise;
        assert.equal(db.prepare("PRAGMA wal_checkpoint(truncate)").get()?.["busy"], 0);
      }
    }));

  it("sqlite.quickCheck of the program's own table", () =>
    withDatabase(async (db, path) => {
      const { workers } = makeRuntime();
      assert.deepEqual(await runTask(workers, "sqlite.quickCheck", { path }), { ok: true, message: "ok" });
      const missing = runTask(workers, "sqlite.quickCheck", { path: `${path}.missing` });
      assert.equal((await failureOf(missing)).code, "io_error");
      db.exec("PRAGMA wal_checkpoint(truncate)");
      const bytes = readFileSync(path).fill(0xff, 4096 * 5, 4096 * 6);
      writeFileSync(`${path}.damaged`, bytes);
      const damaged = await runTask(workers, "sqlite.quickCheck", { path: `${path}.damaged` });
      assert.equal(damaged.ok, false);
      assert.ok(damaged.message.length > 10, damaged.message);
    }));
}
