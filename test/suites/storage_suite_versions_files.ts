import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { databaseIdOf, documentIdOf, epochOf, runIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Operation } from "../../src/document/operation.ts";
import { checkSnapshot } from "../../src/storage/sqlite/check_snapshot.ts";
import type { ChecksumProgress } from "../../src/storage/sqlite/checksum.ts";
import { checksum } from "../../src/storage/sqlite/checksum.ts";
import { copyDatabase } from "../../src/storage/sqlite/copy_database.ts";
import { inspectData } from "../../src/storage/sqlite/inspect_file.ts";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import { versionCrashPoints } from "../../src/storage/sqlite/crash_points.ts";
import {
  coded,
  everything,
  inFolder,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";
import { snapshotOf } from "./storage_suite_snapshot.ts";
import type { Master } from "./storage_suite_versions_fixture.ts";
import {
  append,
  follow,
  key,
  master,
  rowsOf,
  settle,
  told,
  versionsOf,
} from "./storage_suite_versions_fixture.ts";

const runB = runIdOf("b".repeat(32)), database = databaseIdOf("e".repeat(32));
/** More rows than one slice of tombstones. */
const many = limits.reclaimRows + 300;

/** A document, a tombstone, a conflict, and a dropped collection of which a part of the tombstones is written. */
async function filled(openers: StorageOpeners, folder: string): Promise<Master> {
  const a = await master(openers, folder, "a"), { storage, orders } = a;
  append(storage, [{
    kind: "learnRuns",
    runs: [{ database, run: runB, epoch: epochOf(1), firstSeq: seqOf(1), parent: null }],
  }]);
  append(storage, ["x", "gone", "split"].map((id) => put(orders, id, 0))); // 5
  const dot = { run: runB, seq: seqOf(8) };
  const theirs: Operation = {
    ...{ kind: "setVersions", name: "orders", id: documentIdOf("split"), previous: seqOf(5) },
    kept: [{ run: runIdOf("a".repeat(32)), seq: seqOf(5) }],
    added: [{ dot, vector: [dot], modifiedMs: wallMsOf(wall + 1), body: utf8('{"b":1}') }],
    shown: { kind: "conflict" },
  };
  append(storage, [theirs, remove(orders, "gone", 5)]);
  const items = storage.write((tx) => {
    const collection = tx.newCollectionNumber();
    const puts = Array.from({ length: many }, (_, i) => put(collection, `i${i}`, 0));
    tx.append([{ kind: "createCollection", collection, name: "Items" }, ...puts], wall);
    return collection;
  });
  append(storage, [{ kind: "dropCollection", collection: items }]);
  assert.ok(storage.reclaim());
  const [, { drops }] = rowsOf(a.path) as [1, { drops: { after_id: string }[] }];
  assert.notEqual(drops[0]?.after_id, "");
  return a;
}

/** What must be the same in a copy. */
function content(storage: Master["storage"]): unknown {
  const { entries: _, ...rest } = everything(storage) as { entries: unknown };
  const all = { keysMax: 1e6, bytesMax: 1e9 };
  return versionsOf(storage, (versions) => ({
    ...rest,
    keys: ["x", "gone", "split"].map((id) => told(key(storage, id))),
    items: [0, many - 1].map((i) => told(key(storage, `i${i}`, "items"))),
    changed: versions.changedSince(seqOf(0), all),
    conflicts: versions.conflicts(null, all),
    counts: [versions.counts("orders"), versions.counts("items")],
    runs: [...versions.tree.nodes()],
  }));
}

/** Versions in snapshots, copies, checksums and what is told of a file. */
export function versionsFilesSuite(openers: StorageOpeners): void {
  const { openStorage } = openers;
  const it = (name: string, run: (a: Master, folder: string) => Promise<void>): void =>
    void test(`versions: ${name}`, patient, () =>
      inFolder(async (folder) => {
        const a = await filled(openers, folder);
        try {
          await run(a, folder);
        } finally {
          a.storage.close();
        }
      }));

  it("snapshots and copies carry them, and go on alike", async ({ storage, path, orders }, folder) => {
    const expected = content(storage), target = join(folder, "s.dfdb"), whole = join(folder, "c.dfdb");
    snapshotOf(path, target, { logEntriesMax: 1 });
    copyDatabase({ path, target: whole });
    for (const file of [target, whole]) {
      checkSnapshot({ path: file, databaseId: storage.databaseId });
      const copy = await openStorage(testOptions(file, { known: () => false }));
      assert.deepEqual(content(copy), expected);
      copy.close();
    }
    // Installed into a database that never had the bundle.
    const source = join(folder, "s2.dfdb"), live = join(folder, "live.dfdb");
    snapshotOf(path, source);
    const follower = await openStorage(testOptions(live));
    assert.equal(follower.read((view) => view.versions), null);
    await follower.exchange(async () => void await installSnapshot({ source, target: live }));
    assert.deepEqual(content(follower), expected);
    append(storage, [put(orders, "x", 5, '{"n":2}'), put(orders, "split", 0), put(orders, "new", 0)]);
    follow(storage, follower);
    for (const one of [storage, follower]) settle(one);
    assert.deepEqual(content(follower), content(storage));
    assert.deepEqual(rowsOf(live), rowsOf(path));
    follower.close();
  });

  it("a snapshot whose versions are damaged is refused", async ({ path }, folder) => {
    const wrong = [
      "DROP TABLE drops",
      "UPDATE meta SET replication = 0",
      "UPDATE runs SET parent = run",
      "UPDATE runs SET run = 'x'",
      "UPDATE spaces SET number = 9 WHERE number = 1",
      "UPDATE drops SET collection = 9",
      "UPDATE drops SET run = 9",
      "CREATE TRIGGER t AFTER INSERT ON versions BEGIN DELETE FROM runs; END",
    ];
    for (const [i, sql] of wrong.entries()) {
      const target = join(folder, `s${i}.dfdb`);
      snapshotOf(path, target);
      const db = new DatabaseSync(target);
      db.exec(sql);
      db.close();
      assert.throws(() => checkSnapshot({ path: target, databaseId: null }), coded("corrupt"), sql);
    }
  });

  it("trimming the log takes nothing of them", async ({ storage, path }) => {
    const expected = content(storage);
    while (storage.trimLog({ bytesMax: 0, age: null }));
    assert.equal(storage.log.first, storage.log.last.seq);
    assert.deepEqual(content(storage), expected);
    storage.close();
    const again = await openStorage(testOptions(path));
    assert.deepEqual(content(again), expected);
    settle(again);
    assert.equal((rowsOf(path) as [1, { drops: [] }])[1].drops.length, 0);
    again.close();
  });

  it(
    "checksums compare them, whether a drop is written already or not",
    async ({ storage, path }, folder) => {
      const other = join(folder, "other.dfdb");
      snapshotOf(path, other);
      const copy = await openStorage(testOptions(other));
      const names = ["Orders", "Orders (versions)", "items (versions)"];
      const before = sums(path);
      assert.deepEqual(before.told.map(({ name }) => name), names);
      assert.deepEqual(before.told.map(({ count, keptCount }) => [count, keptCount]), [[1, 1], [3, 3], [
        many,
        many,
      ]]);
      assert.deepEqual([before.sum.collections, before.sum.documents, before.sum.wrongCounts], [1, 1, 0]);
      settle(copy);
      assert.deepEqual(sums(other), before);
      assert.deepEqual(sums(path, "orders").told.map(({ name }) => name), names.slice(0, 2));
      const lines = documentsOf(path, "orders (VERSIONS)");
      assert.deepEqual(lines.map(({ id, seq }) => [id, seq]), [["gone", 6], ["split", 6], ["x", 5]]);
      assert.equal(documentsOf(path, "items (versions)").length, many);
      assert.deepEqual(documentsOf(path, "orders").map(({ id }) => id), ["x"]);
      assert.throws(() => sums(path, "none (versions)"), coded("collection_not_found"));
      copy.close();
      for (const change of ["modified_ms = modified_ms + 1", "body = '{}'", "seq = seq + 1"]) {
        const db = new DatabaseSync(other);
        db.exec(`BEGIN; UPDATE versions SET ${change} WHERE id = 'split' AND run < 0; COMMIT`);
        const found = sums(other).told, differ = documentsOf(other, "orders (versions)");
        assert.deepEqual(found.map((one, i) => one.checksum === before.told[i]?.checksum), [
          true,
          false,
          true,
        ], change);
        assert.deepEqual(differ.map(({ hash }, i) => hash === lines[i]?.hash), [true, false, true]);
        db.close();
      }
      assert.ok(storage.log.last.seq > 0);
    },
  );

  test(
    "versions: interrupted at any point nothing is kept, and it goes on",
    patient,
    () =>
      inFolder(async (folder) => {
        let armed: string | null = null;
        const crashPoint = (label: string): void => {
          if (label !== armed) return;
          armed = null;
          throw new Error(`interrupted at ${label}`);
        };
        const path = join(folder, "data.dfdb"),
          storage = await openStorage(testOptions(path, { crashPoint })),
          orders = start(storage);
        const interrupted = (label: string, run: () => unknown): void => {
          const before = rowsOf(path), at = storage.log.last;
          armed = label;
          assert.throws(run, new RegExp(label), label);
          assert.equal(armed, null, `${label} was met`);
          assert.deepEqual([rowsOf(path), storage.log.last], [before, at], label);
        };
        const activate: Operation = { kind: "activateBundle", bundle: "replication" };
        interrupted("bundle:tables", () => append(storage, [activate]));
        assert.equal(storage.read((view) => view.versions), null);
        append(storage, [activate]);
        append(storage, Array.from({ length: many }, (_, i) => put(orders, `i${i}`, 0))); // 4
        for (const label of ["apply:entry", "commit:before"]) {
          interrupted(
            label,
            () => append(storage, [remove(orders, "i0", 4), { kind: "dropCollection", collection: orders }]),
          );
          assert.deepEqual(versionsOf(storage, (versions) => versions.counts("orders")), {
            tombstones: 0,
            conflicts: 0,
          });
          assert.equal(key(storage, "i0")?.shown.kind, "version");
        }
        append(storage, [{ kind: "dropCollection", collection: orders }]);
        for (let slice = 0; slice < 2; slice++) {
          interrupted("drop:slice", () => storage.reclaim());
          storage.reclaim();
        }
        assert.deepEqual((rowsOf(path) as [1, { drops: [] }])[1].drops, []);
        assert.deepEqual(versionCrashPoints, ["bundle:tables", "drop:slice"], "each has its place above");
        storage.close();
      }),
  );

  it("what inspect tells", async ({ storage, path }, folder) => {
    assert.deepEqual(inspectData(path, false).replication, {
      tombstones: many + 1,
      conflicts: 1,
      runs: 2,
      drops: 1,
    });
    settle(storage);
    assert.deepEqual(inspectData(path, false).replication, {
      tombstones: many + 1,
      conflicts: 1,
      runs: 2,
      drops: 0,
    });
    const plain = join(folder, "plain.dfdb");
    (await openStorage(testOptions(plain))).close();
    assert.equal(inspectData(plain, true).replication, null);
  });
}

function run(path: string, collection: string | null, documents: boolean) {
  const progress: ChecksumProgress[] = [], taken = new SharedArrayBuffer(4);
  const sum = checksum({ path, collection, documents, taken }, {
    ...{ stopped: false, hold: <Result>(of: () => Result) => of() },
    progress: (one: unknown) => void progress.push(one as ChecksumProgress),
  } as never);
  return { sum, progress };
}

function sums(path: string, collection: string | null = null) {
  const { sum, progress } = run(path, collection, false);
  return { sum, told: progress.filter((one) => one.type === "collection") };
}

function documentsOf(path: string, collection: string) {
  return run(path, collection, true).progress.flatMap((one) =>
    one.type === "documents" ? one.lines.trim().split("\n") : []
  )
    .filter((line) => line !== "").map((line) =>
      JSON.parse(line) as { id: string; seq: number; hash: string }
    );
}
