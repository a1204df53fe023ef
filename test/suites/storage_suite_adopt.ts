import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { nodeIdOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Operation } from "../../src/document/operation.ts";
import { isLarge } from "../../src/storage/entry_codec.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { Storage, WriteTransaction } from "../../src/storage/storage.ts";
import {
  beginTerm,
  coded,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";
import { allChanged, append, key, rowsOf, told, versionsOf } from "./storage_suite_versions_fixture.ts";

const adopt: Operation = { kind: "activateBundle", bundle: "replication", adoptExisting: true };
/** More than two slices. */
const many = 2 * limits.reclaimRows + 100;

/** Carries out one entry in slices; how many there were. */
function inSlices(storage: Storage, steps: (tx: WriteTransaction) => Generator<void, unknown, void>): number {
  const open = storage.begin();
  let running: Generator<void, unknown, void> | null = null, slices = 1;
  while (open.slice((tx) => (running ??= steps(tx)).next()).done !== true) slices++;
  open.commit();
  return slices;
}

function create(storage: Storage, name: string): CollectionNumber {
  return storage.write((tx) => {
    const collection = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection, name }], wall);
    return collection;
  });
}

/** Documents of two terms in two collections, some changed later, and one of settings. Returns `orders`. */
function fill(storage: Storage): CollectionNumber {
  const orders = start(storage), items = create(storage, "Items"), settings = create(storage, "_settings"); // 2 to 4
  append(storage, [put(orders, "x", 0), put(orders, "gone", 0), put(settings, "s", 0)], wall + 1); // 5
  append(storage, Array.from({ length: many }, (_, i) => put(items, `i${i}`, 0))); // 6
  append(storage, [remove(orders, "gone", 5)]); // 7
  append(storage, [beginTerm(2, "2", nodeIdOf("2".repeat(32)))]); // 8
  append(storage, [put(items, "i7", 6, '{"n":2}'), put(orders, "late", 0)], wall + 9); // 9
  return orders;
}

function followInSlices(leader: Storage, follower: Storage): number {
  const entries = leader.log.entries(follower.log.last.seq, { bytesMax: 2 ** 30, entriesMax: 1e6 });
  return (entries as readonly LogEntry[]).map((entry) => {
    if (isLarge(entry.payload)) return inSlices(follower, (tx) => tx.applyInSlices(entry));
    follower.write((tx) => tx.apply(entry));
    return 0;
  }).reduce((most, slices) => Math.max(most, slices), 0);
}

/** The bundle in a database that has documents. */
export function adoptSuite({ openStorage }: StorageOpeners): void {
  const it = (
    name: string,
    run: (storage: Storage, orders: CollectionNumber, folder: string) => Promise<void>,
  ): void =>
    void test(`adopt existing: ${name}`, patient, () =>
      inFolder(async (folder) => {
        const storage = await openStorage(testOptions(join(folder, "data.dfdb")));
        try {
          await run(storage, fill(storage), folder);
        } finally {
          storage.close();
        }
      }));

  it(
    "each document is the version of its last change; leader and followers alike, in slices or not",
    async (storage, orders, folder) => {
      const path = join(folder, "data.dfdb"),
        paths = ["f1", "f2"].map((name) => join(folder, `${name}.dfdb`));
      const [sliced, whole] = await Promise.all(paths.map((at) => openStorage(testOptions(at)))) as [
        Storage,
        Storage,
      ];
      for (const follower of [sliced, whole]) follower.adoptDatabaseId(storage.databaseId);
      const slices = inSlices(storage, (tx) => tx.appendInSlices([adopt], wall)); // 10
      assert.ok(slices > many / limits.reclaimRows, `${slices} slices`);
      assert.deepEqual(told(key(storage, "x")), {
        change: 5,
        versions: ['1@5 [1@5] +1 {"id":"x"}'],
        shown: "1@5",
      });
      assert.deepEqual(told(key(storage, "i7", "items")), {
        change: 9,
        versions: ['2@9 [2@9] +9 {"n":2}'],
        shown: "2@9",
      });
      assert.equal(key(storage, "gone"), null);
      assert.equal(key(storage, "s", "_settings"), null);
      const { keys } = allChanged(storage, 0, 50);
      assert.equal(keys.length, many + 2);
      assert.deepEqual(versionsOf(storage, (versions) => versions.counts("items")), {
        tombstones: 0,
        conflicts: 0,
      });
      // They go on as any other.
      append(storage, [put(orders, "x", 5, '{"n":2}'), remove(orders, "late", 9), put(orders, "gone", 0)]); // 11
      assert.deepEqual(told(key(storage, "x")), {
        change: 11,
        versions: ['2@11 [2@11] +2 {"n":2}'],
        shown: "2@11",
      });
      assert.equal(key(storage, "late")?.shown.kind, "deleted");
      assert.ok(followInSlices(storage, sliced) > many / limits.reclaimRows);
      whole.write((tx) => {
        const all = storage.log.entries(whole.log.last.seq, { bytesMax: 2 ** 30, entriesMax: 1e6 });
        for (const entry of all as readonly LogEntry[]) tx.apply(entry);
      });
      for (const [i, follower] of [sliced, whole].entries()) {
        assert.deepEqual(rowsOf(paths[i] as string), rowsOf(path));
        follower.close();
      }
    },
  );

  it(
    "refused without being asked for, kept as nothing where it is interrupted",
    async (storage, orders, folder) => {
      const path = join(folder, "data.dfdb"),
        before = rowsOf(path),
        plain: Operation = { kind: "activateBundle", bundle: "replication" };
      assert.throws(() => append(storage, [plain]), coded("conflict"));
      const open = storage.begin();
      let steps: Generator<void, unknown, void> | null = null;
      for (let i = 0; i < 5; i++) {
        assert.equal(
          open.slice((tx) => (steps ??= tx.appendInSlices([adopt], wall)).next()).done,
          false,
        );
      }
      open.rollback();
      assert.deepEqual(rowsOf(path), before);
      assert.equal(storage.read((view) => view.versions), null);
      append(storage, [put(orders, "x", 5, '{"n":2}')], wallMsOf(wall + 20)); // 10
      append(storage, [adopt]);
      assert.deepEqual(told(key(storage, "x")), {
        change: 10,
        versions: ['2@10 [2@10] +20 {"n":2}'],
        shown: "2@10",
      });
      assert.throws(() => append(storage, [adopt]), coded("diverged"));
    },
  );
}
