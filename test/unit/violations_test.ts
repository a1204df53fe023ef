/** Counting what breaks unique indexes: against a model, and what ends it early. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import { prng } from "../../src/base/prng.ts";
import { countSchemaViolations } from "../../src/node/schema_task.ts";
import { violations } from "../../src/node/violations.ts";
import type { RunOptions, TaskContext, Workers } from "../../src/runtime/workers.ts";
import type { SharedKeys } from "../../src/storage/sqlite/shared_keys.ts";
import { sharedKeys } from "../../src/storage/sqlite/shared_keys.ts";
import type { TestNode } from "../suites/http_fixture.ts";
import { directTransport, withNode } from "../suites/http_fixture.ts";
import { coded } from "../suites/storage_fixture.ts";
import { receive } from "../suites/version_writes.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { ManualClock } from "../tool/manual_clock.ts";

function context(found: SharedKeys[] = [], stopped = false): TaskContext {
  return { progress: (value) => void found.push(value as SharedKeys), hold: (run) => run(), stopped };
}

const withMaster = (run: (node: TestNode) => Promise<void>): Promise<void> =>
  withNode(currentRuntime(), directTransport(), { bundle: true }, run);

interface Person {
  readonly k?: number | string | null;
  readonly m?: number | null;
  readonly tags?: readonly (number | null)[];
}

/** The keys of a document as JSON, of which no part is null. */
const indexes: Readonly<Record<string, { readonly path: string; keys(person: Person): readonly string[] }>> =
  {
    one: { path: "k", keys: ({ k }) => whole([[k]]) },
    two: { path: "k, m", keys: ({ k, m }) => whole([[k, m]]) },
    many: { path: "tags[*]", keys: ({ tags = [] }) => whole(tags.map((tag) => [tag])) },
    both: { path: "tags[*], k", keys: ({ tags = [], k }) => whole(tags.map((tag) => [tag, k])) },
  };

function whole(keys: readonly (readonly unknown[])[]): readonly string[] {
  return keys.filter((key) => key.every((part) => part !== null && part !== undefined))
    .map((key) => JSON.stringify(key));
}

/** In the order of their creation. */
function expected(people: Iterable<Person>, keysOf: (person: Person) => readonly string[]): number {
  const seen = new Set<string>();
  let shared = 0;
  for (const person of people) {
    const keys = keysOf(person);
    if (keys.some((key) => seen.has(key))) shared++;
    for (const key of keys) seen.add(key);
  }
  return shared;
}

test("documents that share keys, as a model counts them", async () => {
  await withMaster(async (node) => {
    for (const [name, { path }] of Object.entries(indexes)) {
      const body = JSON.stringify({ collection: "c", name, path, unique: true });
      assert.equal((await node.request("POST", "/index", { body })).status, 200);
    }
    const random = prng(11), people = new Map<string, Person>(), { path } = node.storage.stats();
    const some = (most: number) => random.below(most + 1);
    const texts = ["1", "a", "\u0000", "a\u0000b", "\ufffd", "\ue000", "😀", ""];
    for (let seq = 1; seq <= 160; seq++) {
      const id = `p${some(59)}`;
      const k = [null, some(12), some(12) + 0.5, texts[some(texts.length - 1)]][some(3)] ?? null;
      const m = some(3) === 0 ? null : some(2);
      const tags = Array.from({ length: some(3) }, () => some(9) === 0 ? null : some(40));
      const person: Person = { ...(some(5) === 0 ? {} : { k }), m, tags };
      const gone = people.has(id) && some(7) === 0;
      await receive(node, ["c", id], [{ digit: "5", seq, text: gone ? null : JSON.stringify(person) }]);
      if (gone) people.delete(id);
      else people.set(id, person);
      if (seq % 20 !== 0) continue;
      const found: SharedKeys[] = [];
      sharedKeys({ path, collection: "C" }, context(found));
      const wanted = Object.entries(indexes).map(([index, { keys }]) => ({
        index,
        documents: expected(people.values(), keys),
      }));
      assert.deepEqual(found, wanted, `after ${seq}`);
    }
    assert.ok(people.size > 20);
  });
});

test("keys and documents of which there are many are looked at piece by piece, and counting ends when it is stopped", async () => {
  await withMaster(async (node) => {
    const body = JSON.stringify({ collection: "c", name: "one", path: "k", unique: true });
    await node.request("POST", "/index", { body });
    const many = Array.from({ length: 1_500 }, (_, k) => ({ _id: `d${k}`, k }));
    await node.request("POST", "/collections/c/bulk", { body: JSON.stringify(many) });
    await receive(node, ["c", "x"], [{ digit: "5", seq: 1, text: '{"k":1499}' }]);
    const { path } = node.storage.stats(), found: SharedKeys[] = [];
    sharedKeys({ path, collection: "c" }, context(found));
    assert.deepEqual(found, [{ index: "one", documents: 1 }]);
    const schema = { collection: "c", text: '{"checks":["k < 1000"]}' };
    assert.equal(countSchemaViolations({ path, schema }, context()), 501);
    assert.throws(() => sharedKeys({ path, collection: "c" }, context([], true)), coded("closing"));
    assert.throws(() => countSchemaViolations({ path, schema }, context([], true)), coded("closing"));
    sharedKeys({ path, collection: "none" }, context(found));
    assert.equal(found.length, 1);
  });
});

/** Threads that end when they are told to, and not before; or not even then. */
class StuckWorkers implements Pick<Workers, "run"> {
  readonly running: RunOptions[] = [];
  readonly ends: (() => void)[] = [];
  deaf = false;

  run<Output>(_task: string, _input: unknown, options: RunOptions = {}): Promise<Output> {
    const { promise, reject } = Promise.withResolvers<Output>(), { signal } = options;
    const end = (): void => reject(signal?.reason);
    this.running.push(options);
    this.ends.push(end);
    signal?.addEventListener("abort", () => this.deaf || end());
    return promise;
  }
}

function stuck() {
  const clock = new ManualClock(), workers = new StuckWorkers();
  const counts = violations({ storage: { stats: () => ({ path: "x" }) as never }, workers, clock });
  return { clock, workers, counts };
}

test("what takes too long is not known; what was counted until then is", async () => {
  const { clock, workers, counts } = stuck();
  const ofIndexes = counts.ofIndexes("c"), ofSchema = counts.ofSchema("c", "{}");
  workers.running[0]?.onProgress?.({ index: "fast", documents: 3 } satisfies SharedKeys);
  await clock.advance(limits.violationsMs - 1);
  await assert.rejects(counts.ofSchema("c", "{}"), coded("busy"));
  await clock.advance(1);
  assert.deepEqual([...await ofIndexes], [["fast", 3]]);
  assert.equal(await ofSchema, null);
  const next = counts.ofSchema("c", "{}");
  assert.equal(clock.timers, 1, "and there is room again");
  const ended = assert.rejects(next, coded("closing"));
  await counts.close();
  await ended;
  assert.equal(clock.timers, 0);
  await assert.rejects(counts.ofIndexes("c"), coded("closing"));
});

test("a thread that does not end at once holds up its own end alone", async () => {
  const { clock, workers, counts } = stuck();
  workers.deaf = true;
  const asked = [counts.ofSchema("c", "{}"), counts.ofSchema("d", "{}")];
  await clock.advance(limits.violationsMs);
  assert.deepEqual(await Promise.all(asked), [null, null], "the client has his answer");
  await assert.rejects(counts.ofIndexes("c"), coded("busy"));
  workers.ends[0]?.();
  await clock.settle();
  const third = counts.ofSchema("c", "{}");
  assert.equal(workers.running.length, 3);
  let closed = false;
  const ended = assert.rejects(third, coded("closing")), closing = counts.close().then(() => closed = true);
  workers.ends[2]?.();
  await clock.settle();
  await ended;
  assert.equal(closed, false, "one reads still");
  workers.ends[1]?.();
  await closing;
});

test("what fails is told", async () => {
  const failure = new DfdbError("io_error", "the disk failed"), clock = new ManualClock();
  const workers = { run: () => Promise.reject(failure) };
  const counts = violations({ storage: { stats: () => ({ path: "x" }) as never }, workers, clock });
  await assert.rejects(counts.ofIndexes("c"), coded("io_error"));
  await assert.rejects(counts.ofSchema("c", "{}"), coded("io_error"));
  assert.equal(clock.timers, 0);
});
