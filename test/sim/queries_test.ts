/** Queries in virtual time: the same threads' code, without threads. */
import assert from "node:assert/strict";
import test from "node:test";
import { documentIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { queries } from "../../src/engine/queries.ts";
import { QueryThreads } from "../../src/engine/query_threads.ts";
import type { Queries } from "../../src/engine/query_types.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { coded, inFolder, put, start, testOptions, wall } from "../suites/storage_fixture.ts";
import { loneProcess } from "./lone_process.ts";
import { World } from "./world.ts";

/** Runs `run` over 3,000 documents; returns what it came to, and when. */
async function inWorld(run: (made: Queries) => Promise<unknown>): Promise<readonly [unknown, number]> {
  let outcome: readonly [unknown, number] | null = null;
  await inFolder(async (folder) => {
    const path = `${folder}/data.dfdb`, storage = await openStorage(testOptions(path));
    const collection = start(storage);
    storage.write((tx) => {
      const body = (i: number): string => `{"n":${i},"kind":${i % 3},"text":"${"x".repeat(100)}"}`;
      tx.append(Array.from({ length: 3_000 }, (_, i) => put(collection, `${i}`, 0, body(i))), wall);
    });
    const world = new World(7), { runtime: { clock, workers } } = loneProcess(world);
    const threads = new QueryThreads({ workers, clock, path, storage });
    const made = queries({
      storage,
      clock,
      threads,
      newId: () => documentIdOf("new"),
      write: () => Promise.reject(new Error("nobody writes here")),
    });
    let result: { readonly value: unknown; readonly at: number } | null = null;
    void run(made).then(
      (value) => result = { value, at: world.now },
      (thrown) => result = { value: thrown, at: world.now },
    );
    assert.ok(await world.until(() => result !== null, 120_000));
    let closed = false;
    void made.close().then(() => closed = true);
    assert.ok(await world.until(() => closed, 10_000));
    assert.equal(threads.size, 0);
    storage.close();
    const { value, at } = result!;
    outcome = [value, at];
  });
  return outcome!;
}

test("a query is read in a thread's place, and takes the same time for the same seed", async () => {
  const grouped = async (made: Queries): Promise<unknown> => {
    const rows: string[] = [];
    const answer = await made.run("SELECT kind, COUNT(*) AS n FROM orders GROUP BY kind ORDER BY kind");
    for await (const chunk of answer.rows) rows.push(...chunk);
    for await (const chunk of (await made.run("SELECT n FROM orders")).rows) rows.push(`${chunk.length}`);
    return rows;
  };
  const [value, at] = await inWorld(grouped);
  assert.deepEqual(value, [0, 1, 2].map((kind) => `{"kind":${kind},"n":1000}`).concat("2000", "1000"));
  assert.ok(at > 0 && at < 1_000, `${at}`);
  assert.deepEqual(await inWorld(grouped), [value, at]);
});

test("a deadline comes in virtual time", async () => {
  const [thrown, at] = await inWorld(async (made) => {
    const { rows } = await made.run("SELECT * FROM orders WHERE n >= 0", { timeoutMs: 5_000 });
    const reader = rows[Symbol.asyncIterator]();
    await reader.next();
    const others: Promise<unknown>[] = [];
    for (let i = 0; i < 3; i++) others.push(made.run("SELECT * FROM orders WHERE n >= 0"));
    await Promise.all(others);
    return await reader.next();
  });
  assert.ok(coded("query_timeout")(thrown), `${thrown}`);
  assert.ok(at >= limits.queryMsDefault, `${at}`);
});
