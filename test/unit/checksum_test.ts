import assert from "node:assert/strict";
import test from "node:test";
import { DatabaseSync } from "node:sqlite";
import { prng } from "../../src/base/prng.ts";
import { ContentSum } from "../../src/document/content_hash.ts";
import { runTask } from "../../src/node/tasks.ts";
import type { TaskContext } from "../../src/runtime/workers.ts";
import type { ChecksumInput, ChecksumProgress, ContentChecksum } from "../../src/storage/sqlite/checksum.ts";
import { checksum } from "../../src/storage/sqlite/checksum.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  coded,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

type Pair = readonly [id: string, body: string];

function sumOf(documents: readonly Pair[]): ContentSum {
  const sum = new ContentSum();
  for (const [id, body] of documents) sum.add(id, body);
  return sum;
}

function hashOf(id: string, body: string): string {
  return sumOf([[id, body]]).checksum;
}

test("the hash is the same on every runtime and in every version", () => {
  assert.equal(hashOf("a", "{}"), "7a0816b6a85df5d1");
  assert.equal(hashOf("ü€😀", '{"text":"ü€😀"}'), "04df89aabee046df");
  const many = Array.from({ length: 1_000 }, (_, i): Pair => [`id-${i}`, `{"n":${i}}`]);
  assert.equal(sumOf(many).checksum, "2a55f5fdea564b5c");
});

test("a sum does not depend on the order of documents, and is one of all of them", () => {
  const documents = Array.from({ length: 500 }, (_, i): Pair => [`id-${i}`, `{"n":${i % 7}}`]);
  const all = sumOf(documents).checksum;
  assert.equal(sumOf([...documents].reverse()).checksum, all);
  assert.notEqual(sumOf(documents.slice(1)).checksum, all);
  assert.notEqual(sumOf([...documents, documents[0] as Pair]).checksum, all);
  const swapped = documents.map((
    [id, body],
    i,
  ): Pair => [id, i === 3 ? '{"n":4}' : i === 4 ? '{"n":3}' : body]);
  assert.notEqual(sumOf(swapped).checksum, all, "two bodies that changed places");
});

test("any change of id or body changes the hash, also one that moves text between them", () => {
  const random = prng(7), seen = new Map<string, string>();
  const note = (id: string, body: string): void => {
    const hash = hashOf(id, body), key = JSON.stringify([id, body]);
    assert.ok(!seen.has(hash) || seen.get(hash) === key, `${key} and ${seen.get(hash)} share a hash`);
    seen.set(hash, key);
  };
  const body = '{"name":"Ada","balance":1234.50,"tags":["a","b"],"text":"ü€ 😀"}';
  for (let i = 0; i < body.length; i++) {
    note("id", body.slice(0, i));
    for (const unit of ["\u0000", "0", "é", "\uffff"]) {
      note("id", body.slice(0, i) + unit + body.slice(i + 1));
    }
    note("id" + body.slice(0, i), body.slice(i));
  }
  for (let i = 0; i < 20_000; i++) note(`user-${i}`, `{"balance":${Math.floor(random.float() * 1e6)}}`);
  assert.ok(seen.size > 20_000);
});

test("one changed bit changes about half of the hash's bits", () => {
  const bits = (text: string): bigint => BigInt(`0x${text}`);
  let flipped = 0, trials = 0;
  for (let i = 0; i < 2_000; i++) {
    const a = bits(hashOf("id", `{"n":${i}00000}`)), b = bits(hashOf("id", `{"n":${i}00001}`));
    flipped += (a ^ b).toString(2).replaceAll("0", "").length;
    trials++;
  }
  const mean = flipped / trials;
  assert.ok(mean > 31 && mean < 33, `${mean} of 64 bits`);
});

interface Told {
  readonly progress: readonly ChecksumProgress[];
  readonly sum: ContentChecksum;
}

/** Runs the task here, with a context that never stops. */
function check(path: string, more: Partial<ChecksumInput> = {}, context: Partial<TaskContext> = {}): Told {
  const progress: ChecksumProgress[] = [];
  const input = { path, collection: null, documents: false, taken: new SharedArrayBuffer(4), ...more };
  const sum = checksum(input, {
    progress: context.progress ?? ((value) => void progress.push(value as ChecksumProgress)),
    hold: (run) => run(),
    get stopped() {
      return context.stopped ?? false;
    },
  });
  return { progress, sum };
}

function withStorage(run: (storage: Storage, path: string) => Promise<void> | void): Promise<void> {
  return inFolder(async (folder) => {
    const path = `${folder}/data.dfdb`, storage = await openStorage(testOptions(path));
    try {
      await run(storage, path);
    } finally {
      storage.close();
    }
  });
}

/** Creates `orders` and puts the documents, one entry each, in this order. */
function fill(storage: Storage, documents: readonly Pair[]): void {
  const collection = start(storage);
  storage.write((tx) => {
    for (const [id, body] of documents) tx.append([put(collection, id, 0, body)], wall);
  });
}

const documents = Array.from({ length: 1_234 }, (_, i): Pair => [`id-${i}`, `{"n":${i},"text":"ü€"}`]);

test("checksum: equal content in another order gives equal checksums, other content others", async () => {
  const sums: string[] = [];
  for (const list of [documents, [...documents].reverse(), documents.slice(1)]) {
    await withStorage((storage, path) => {
      fill(storage, list);
      const { progress, sum } = check(path);
      assert.deepEqual(progress[0], { type: "pinned", position: storage.log.last });
      assert.deepEqual(progress.slice(1), [{
        type: "collection",
        name: "orders",
        count: list.length,
        keptCount: list.length,
        checksum: sumOf(list).checksum,
        indexes: [],
      }]);
      assert.deepEqual({ ...sum, checksum: "" }, {
        collections: 1,
        documents: list.length,
        checksum: "",
        wrongCounts: 0,
      });
      sums.push(sum.checksum);
    });
  }
  assert.equal(sums[0], sums[1]);
  assert.notEqual(sums[0], sums[2]);
});

test("checksum: collections are apart, by name without regard to case; dropped ones do not count", async () => {
  await withStorage((storage, path) => {
    const orders = start(storage);
    const [people, gone] = storage.write((tx) => {
      const numbers = [tx.newCollectionNumber(), tx.newCollectionNumber()] as const;
      tx.append([{ kind: "createCollection", collection: numbers[0], name: "People" }], wall);
      tx.append([{ kind: "createCollection", collection: numbers[1], name: "gone" }], wall);
      return numbers;
    });
    storage.write((tx) => {
      tx.append([put(orders, "a", 0), put(people, "a", 0), put(people, "b", 0), put(gone, "z", 0)], wall);
    });
    storage.write((tx) => void tx.append([{ kind: "dropCollection", collection: gone }], wall));
    const { progress, sum } = check(path);
    const found = progress.flatMap((each) => each.type === "collection" ? [[each.name, each.count]] : []);
    assert.deepEqual(found, [["People", 2], ["orders", 1]]);
    assert.equal(sum.collections, 2);
    const one = check(path, { collection: "PEOPLE" });
    assert.deepEqual(one.progress.map(({ type }) => type), ["pinned", "collection"]);
    assert.equal(one.sum.documents, 2);
    assert.throws(() => check(path, { collection: "gone" }), coded("collection_not_found"));
    // A document that moves from one to the other changes both, and the whole.
    storage.write((tx) =>
      void tx.append([remove(people, "b", tx.documentSeq(people, put(people, "b", 0).id))], wall)
    );
    assert.notEqual(check(path).sum.checksum, sum.checksum);
  });
});

test("checksum: a kept count that is not the real one is told", async () => {
  await withStorage((storage, path) => {
    fill(storage, documents);
    const other = new DatabaseSync(path);
    other.prepare("UPDATE collections SET documents = documents + 3").run();
    other.close();
    const { progress, sum } = check(path);
    assert.equal(sum.wrongCounts, 1);
    const told = progress.at(-1);
    assert.ok(told?.type === "collection");
    assert.deepEqual([told.count, told.keptCount], [documents.length, documents.length + 3]);
  });
});

test("checksum: documents come in the order of ids, each with seq and hash", async () => {
  await withStorage((storage, path) => {
    fill(storage, documents);
    const { progress, sum } = check(path, { collection: "orders", documents: true });
    const lines = progress.flatMap((each) => each.type === "documents" ? each.lines.split("\n") : [])
      .filter((line) => line !== "").map((line) =>
        JSON.parse(line) as { id: string; seq: number; hash: string }
      );
    const sorted = documents.map(([id, body], i) => ({ id, seq: i + 3, hash: hashOf(id, body) }))
      .sort((a, b) => a.id < b.id ? -1 : 1);
    assert.deepEqual(lines, sorted);
    assert.equal(progress.at(-1)?.type, "collection");
    assert.equal(sum.documents, documents.length);
  });
});

test("checksum: slices of large and small bodies leave nothing out", async () => {
  await withStorage((storage, path) => {
    const mixed = Array.from(
      { length: 1_100 },
      (_, i): Pair => [`id-${i}`, `{"n":"${"x".repeat(i % 100 === 7 ? 900_000 : 5)}"}`],
    );
    fill(storage, mixed);
    const wanted = sumOf(mixed).checksum;
    for (const documents of [false, true]) {
      const told = check(path, { collection: "orders", documents }).progress.at(-1);
      assert.ok(told?.type === "collection");
      assert.deepEqual([told.count, told.checksum], [mixed.length, wanted]);
    }
  });
});

test("checksum: what is written meanwhile is not in it", async () => {
  await withStorage((storage, path) => {
    fill(storage, documents);
    const before = check(path).sum;
    const during = check(path, {}, {
      progress(value) {
        if ((value as ChecksumProgress).type !== "pinned") return;
        storage.write((tx) => {
          const { number } = tx.collections()[0] as { number: Parameters<typeof put>[0] };
          tx.append([put(number, "later", 0), put(number, "id-7", 10)], wall);
        });
      },
    });
    assert.deepEqual(during.sum, before);
    assert.equal(check(path).sum.documents, before.documents + 1);
  });
});

test("checksum: ends early when it was stopped, and its transaction with it", async () => {
  await withStorage((storage, path) => {
    fill(storage, documents);
    const seen: string[] = [];
    const stopping = {
      progress: (value: unknown) => void seen.push((value as ChecksumProgress).type),
      get stopped() {
        return seen.length > 0;
      },
    };
    assert.throws(() => check(path, {}, stopping), coded("closing"));
    assert.deepEqual(seen, ["pinned"]);
    const other = new DatabaseSync(path);
    const result = other.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get() as { busy: number };
    other.close();
    assert.equal(result.busy, 0, "nobody reads any more");
  });
});

test("checksum: runs in a thread, and waits for a reader that is slow", patient, async () => {
  const { workers, clock } = currentRuntime();
  await withStorage(async (storage, path) => {
    const many = Array.from({ length: 40_000 }, (_, i): Pair => [`id-${i}`, "{}"]);
    fill(storage, many);
    const taken = new SharedArrayBuffer(4), cell = new Int32Array(taken);
    const types: string[] = [];
    let batches = 0;
    const input = { path, collection: "orders", documents: true, indexes: false, taken };
    const run = runTask(workers, "sqlite.verifyContent", input, {
      onProgress(value) {
        const { type } = value as ChecksumProgress;
        if (type !== types.at(-1)) types.push(type);
        if (type === "documents") batches++;
      },
    });
    // Its own wait is the sign that it stopped; what is woken here looks again and goes on waiting.
    while (batches < 64 || Atomics.notify(cell, 0) === 0) {
      await new Promise<void>((resolve) => clock.macrotask(resolve));
    }
    assert.equal(batches, 64, "no further than the reader allows");
    Atomics.store(cell, 0, 1_000);
    Atomics.notify(cell, 0);
    const sum = await run;
    assert.equal(batches, 80);
    assert.equal(sum.documents, 40_000);
    assert.deepEqual(types, ["pinned", "documents", "collection"]);
  });
});
