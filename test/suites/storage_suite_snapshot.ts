import assert from "node:assert/strict";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { databaseIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { checkSnapshot } from "../../src/storage/sqlite/check_snapshot.ts";
import { copyDatabase } from "../../src/storage/sqlite/copy_database.ts";
import type { SnapshotOrder } from "../../src/storage/sqlite/make_snapshot.ts";
import { makeSnapshot } from "../../src/storage/sqlite/make_snapshot.ts";
import { verifyLog } from "../../src/storage/sqlite/verify_log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  nodeB,
  patient,
  put,
  remove,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

export const all = { bytesMax: 2 ** 30, entriesMax: 1e6 };
const plain = { progress: () => {}, stopped: false, hold: <Result>(run: () => Result) => run() };

/** A snapshot made on this thread, with the whole log unless told otherwise. */
export function snapshotOf(path: string, target: string, more: Partial<SnapshotOrder> = {}) {
  return makeSnapshot({ path, target, logEntriesMax: 1e6, logBytesMax: 2 ** 40, ...more }, plain);
}

/** Puts, updates and deletes in three collections, one of them dropped and not freed; two terms. */
export function fillSample(storage: Storage, documents = 60): CollectionNumber {
  const orders = start(storage), body = (i: number) => `{"n":${i},"pad":"${"x".repeat((i * 37) % 900)}"}`;
  storage.write((tx) => {
    const dropped = tx.newCollectionNumber(), second = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection: dropped, name: "Dropped" }], wall);
    tx.append([{ kind: "createCollection", collection: second, name: "Zweite" }], wall);
    for (let i = 0; i < documents; i++) {
      const id = `d${(i * 7919) % 10_007}`;
      tx.append([put(orders, id, 0, body(i)), put(dropped, id, 0)], wallMsOf(wall + i));
      const { seq } = tx.position;
      if (i % 3 === 0) tx.append([put(orders, id, seq, body(i + 1)), put(second, `s${i}`, 0)], wall);
      if (i % 6 === 1) tx.append([remove(orders, id, seq)], wall);
    }
    tx.append([beginTerm(2, "2", nodeB)], wall);
    tx.append([{ kind: "dropCollection", collection: dropped }], wall);
    tx.append([put(second, 'Ä"?#%', 0, '{"x":"ü"}')], wall);
  });
  return orders;
}

/** What a snapshot must carry: all but the beginning of the log. */
function carried(storage: Storage): unknown {
  const { entries: _, ...rest } = everything(storage) as { entries: unknown };
  return { ...rest, id: storage.databaseId };
}

/** Making and checking snapshots, whole copies, the chain of the log. */
export function snapshotSuite(openers: StorageOpeners): void {
  making(openers);
  checking(openers);
  wholeFiles(openers);
}

function making({ openStorage }: StorageOpeners): void {
  test(
    "snapshot: everything but the dropped and the begin of the log; opens like a closed file",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "da ta?%41#.dfdb"), target = join(folder, "snap.dfdb");
        const storage = await openStorage(testOptions(path)), orders = fillSample(storage);
        const last = storage.log.last, expected = carried(storage);
        const made = snapshotOf(path, target, { logEntriesMax: 10 });
        assert.deepEqual([made.position, made.databaseId], [last, storage.databaseId]);
        assert.equal(made.bytes, readFileSync(target).length);
        assert.deepEqual(readdirSync(folder).filter((name) => name.startsWith("snap")), ["snap.dfdb"]);
        assert.deepEqual(checkSnapshot({ path: target, databaseId: null }), made);
        // The original goes on.
        const next = storage.write((tx) => tx.append([put(orders, "later", 0)], wall));
        const [entry] = storage.log.entries(last.seq, all) as readonly LogEntry[];

        let copy = await openStorage(testOptions(target, { known: () => false }));
        for (let round = 0; round < 2; round++) {
          assert.deepEqual(carried(copy), expected);
          assert.equal(copy.log.first, last.seq - 9);
          for (let seq = last.seq - 10; seq <= last.seq; seq++) {
            assert.deepEqual(copy.log.at(seqOf(seq)), storage.log.at(seqOf(seq)));
          }
          assert.equal(copy.log.at(seqOf(last.seq - 11)), "compacted");
          const after = seqOf(last.seq - 10);
          assert.deepEqual(
            copy.log.entries(after, all),
            (storage.log.entries(after, all) as []).slice(0, -1),
          );
          assert.equal(copy.stats().logBytes, copy.log.bytesAfter(seqOf(0)));
          assert.equal(copy.reclaim(), false, "nothing dropped came along");
          copy.close();
          copy = await openStorage(testOptions(target, { known: () => false }));
        }
        assert.deepEqual(copy.write((tx) => tx.apply(entry as LogEntry)), next);
        assert.equal(
          copy.write((tx) => tx.newCollectionNumber()),
          storage.write((tx) => tx.newCollectionNumber()),
        );
        assert.deepEqual(carried(copy), carried(storage), "rows are numbered on alike");
        copy.close();
        storage.close();
      }),
  );

  test("snapshot: how much of the log it carries", patient, () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb"),
        storage = await openStorage(testOptions(path)),
        c = start(storage);
      for (let i = 0; i < 8; i++) storage.write((tx) => tx.append([put(c, `d${i}`, 0, "{}")], wall)); // 3 to 10
      const sizes = (storage.log.entries(seqOf(0), all) as readonly LogEntry[]).map((e) => e.payload.length);
      const one = sizes[9] as number;
      storage.trimLog({ bytesMax: sizes.slice(2).reduce((a, b) => a + b) * 8 / 7 - 1, age: null });
      const start3 = storage.log.first as number;
      assert.ok(start3 > 1);
      let files = 0;
      const firstOf = (logEntriesMax: number, logBytesMax: number): number => {
        const target = join(folder, `${files++}.dfdb`);
        assert.deepEqual(snapshotOf(path, target, { logEntriesMax, logBytesMax }).position, storage.log.last);
        const db = new DatabaseSync(target, { readOnly: true });
        const row = db.prepare("SELECT min(seq) AS first, trimmed_seq AS trimmed FROM log, meta").get();
        db.close();
        assert.equal(Number(row?.["trimmed"]) + 1, row?.["first"]);
        return Number(row?.["first"]);
      };
      assert.equal(firstOf(1e6, 1e9), start3);
      assert.equal(firstOf(3, 1e9), 8);
      assert.equal(firstOf(1e6, 3 * one), 8);
      assert.equal(firstOf(1e6, 3 * one - 1), 9);
      for (const [entries, bytes] of [[0, 1e9], [1, 1e9], [1e6, 0], [1e6, 1]]) {
        assert.equal(firstOf(entries as number, bytes as number), 10, "always the last one");
      }
      storage.trimLog({ bytesMax: 0, age: null });
      assert.equal(firstOf(1e6, 1e9), 10, "of a log with a single entry");
      storage.close();
    }));

  test(
    "snapshot: of an empty database; into a file that is there; given up; reports",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), target = join(folder, "s.dfdb");
        const storage = await openStorage(testOptions(path));
        const made = snapshotOf(path, target);
        assert.equal(made.position.seq, 0);
        const copy = await openStorage(testOptions(join(folder, "s.dfdb"), { known: () => false }));
        assert.deepEqual(carried(copy), carried(storage));
        copy.close();
        assert.throws(() => snapshotOf(path, target), coded("io_error"));
        const c = start(storage), pad = `"${"y".repeat(50_000)}"`;
        storage.write((tx) => {
          for (let i = 0; i < 400; i++) tx.append([put(c, `b${i}`, 0, `{"p":${pad}}`)], wall);
        });
        const seen: unknown[] = [], stopped = join(folder, "stopped.dfdb"), big = join(folder, "big.dfdb");
        const order = { path, target: big, logEntriesMax: 1, logBytesMax: 1 };
        const { bytes } = makeSnapshot(order, { stopped: false, progress: (n) => void seen.push(n) });
        assert.equal(seen.length, 1);
        assert.ok((seen[0] as number) > 2e7 && (seen[0] as number) <= bytes);
        const giveUp = () => makeSnapshot({ ...order, target: stopped }, { ...plain, stopped: true });
        assert.throws(giveUp, coded("closing"));
        assert.throws(() => checkSnapshot({ path: stopped, databaseId: null }), coded("corrupt"));
        assert.throws(() => snapshotOf(join(folder, "none.dfdb"), join(folder, "t.dfdb")), coded("io_error"));
        storage.close();
      }),
  );
}

function checking({ openStorage }: StorageOpeners): void {
  test(
    "snapshot: what is not whole, not ours or newer is told apart",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"),
          good = join(folder, "good.dfdb"),
          bad = join(folder, "bad.dfdb");
        const storage = await openStorage(testOptions(path));
        fillSample(storage, 300);
        const { databaseId, position } = snapshotOf(path, good),
          check = (id = databaseId) => checkSnapshot({ path: bad, databaseId: id });
        const before = readFileSync(good), files = () => readdirSync(folder).sort();
        copyFileSync(good, bad);
        const there = files();
        assert.deepEqual(check().position, position);
        assert.throws(() => check(databaseIdOf("e".repeat(32))), coded("wrong_database"));
        const edited = (run: (db: DatabaseSync) => void): void => {
          copyFileSync(good, bad);
          const db = new DatabaseSync(bad);
          run(db);
          db.close();
        };
        edited((db) => db.exec("PRAGMA user_version = 2"));
        assert.throws(check, coded("version"));
        for (
          const sql of [
            "PRAGMA application_id = 5",
            "DELETE FROM meta",
            "DELETE FROM terms",
            "DELETE FROM log WHERE seq = 1",
            "DROP TABLE docs_3",
            "CREATE TABLE more (a)",
            "CREATE TRIGGER t AFTER INSERT ON log BEGIN SELECT 1; END",
            "PRAGMA journal_mode = WAL",
            "PRAGMA page_size = 8192; VACUUM",
          ]
        ) {
          edited((db) => db.exec(sql));
          assert.throws(check, coded("corrupt"), sql);
        }
        for (const name of ["bad.dfdb-wal", "bad.dfdb-shm"]) assert.ok(!there.includes(name));
        const cut = (bytes: Uint8Array): void => {
          for (const end of ["-wal", "-shm", "-journal"]) {
            assert.ok(!existsSync(`${bad}${end}`) || end !== "-journal");
          }
          writeFileSync(bad, bytes);
        };
        for (let at = 4096; at < before.length; at += 4096 * 7) {
          const damaged = new Uint8Array(before);
          damaged.fill(0xa5, at, at + 4096);
          cut(damaged);
          assert.throws(check, coded("corrupt"), `page at ${at}`);
        }
        for (const length of [0, 100, 4096, before.length - 4096]) {
          cut(before.subarray(0, length));
          assert.throws(check, coded("corrupt"), `${length} bytes`);
        }
        cut(new Uint8Array(10_000).fill(65));
        assert.throws(check, coded("corrupt"));
        assert.throws(
          () => checkSnapshot({ path: join(folder, "none"), databaseId: null }),
          coded("io_error"),
        );
        assert.deepEqual(readFileSync(good), before, "nothing changed what is right");
        storage.close();
      }),
  );
}

function wholeFiles({ openStorage }: StorageOpeners): void {
  test(
    "snapshot: a copy of the whole database opens like a closed file",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), target = join(folder, "copy.dfdb");
        const storage = await openStorage(testOptions(path));
        fillSample(storage);
        while (storage.log.first < 20) storage.trimLog({ bytesMax: storage.stats().logBytes - 1, age: null });
        const { bytes } = copyDatabase({ path, target });
        assert.equal(bytes, readFileSync(target).length);
        const copy = await openStorage(testOptions(target, { known: () => false }));
        assert.deepEqual(everything(copy), everything(storage));
        copy.close();
        assert.throws(
          () => copyDatabase({ path: join(folder, "none"), target: join(folder, "t") }),
          coded("io_error"),
        );
        storage.close();
      }),
  );

  test("snapshot: the chain of the log, computed again", patient, () =>
    inFolder(async (folder) => {
      const path = join(folder, "data.dfdb"), storage = await openStorage(testOptions(path));
      assert.deepEqual(verifyLog({ path }, plain), { first: 1, last: 0, entries: 0, bad: null });
      fillSample(storage);
      const last = storage.log.last.seq;
      assert.deepEqual(verifyLog({ path }, plain), { first: 1, last, entries: last, bad: null });
      storage.trimLog({ bytesMax: storage.stats().logBytes - 1000, age: null });
      const { first } = storage.log;
      assert.ok(first > 3);
      assert.deepEqual(verifyLog({ path }, plain), { first, last, entries: last - first + 1, bad: null });
      storage.close();
      const at = first + 5, before = readFileSync(path);
      for (
        const [sql, bad] of [
          [`UPDATE log SET payload = cast(payload || x'00' AS BLOB) WHERE seq = ${at}`, at],
          [`UPDATE log SET wall_ms = wall_ms + 1 WHERE seq = ${at}`, at],
          [`UPDATE log SET end_bytes = end_bytes + 1 WHERE seq = ${at}`, at],
          [`UPDATE log SET term = 2 WHERE seq = ${at}`, at],
          [`DELETE FROM log WHERE seq = ${at}`, at],
          ["UPDATE meta SET trimmed_chain = trimmed_chain + 1", first],
        ] as const
      ) {
        writeFileSync(path, before);
        const db = new DatabaseSync(path);
        db.exec(sql);
        db.close();
        const { entries, bad: found } = verifyLog({ path }, plain);
        assert.deepEqual([found, entries], [bad, bad - first], sql);
      }
    }));
}
