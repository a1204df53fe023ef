import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { DatabaseSync } from "node:sqlite";
import { chainAfter } from "../../src/storage/chain.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import { beginTerm, coded, inFolder, patient, put, start, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

/** The log as its readers see it. */
export function logSuite({ openStorage }: StorageOpeners): void {
  test("log: positions at all edges, also after reopening", patient, () =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "data.dfdb"));
      let storage = await openStorage(options);
      assert.deepEqual(storage.log.last, origin);
      assert.deepEqual([storage.log.first, storage.log.terms, storage.log.at(seqOf(0))], [1, [], origin]);
      assert.equal(storage.log.at(seqOf(1)), "ahead");
      assert.deepEqual(storage.log.entries(seqOf(0), { bytesMax: 1, entriesMax: 1 }), []);
      const c = start(storage);
      const third = storage.write((tx) => tx.append([put(c, "a", 0)], wall));
      storage.write((tx) => tx.append([beginTerm(2, "2")], wall));
      const check = () => {
        const { log } = storage;
        assert.deepEqual([log.first, log.last.seq, log.last.epoch, log.last.run], [1, 4, 2, "2".repeat(32)]);
        assert.deepEqual(log.at(seqOf(0)), origin);
        assert.deepEqual(log.at(seqOf(3)), third);
        assert.deepEqual(log.at(seqOf(4)), log.last);
        assert.equal(log.at(seqOf(5)), "ahead");
        assert.deepEqual(log.terms.map((t) => [t.epoch, t.firstSeq]), [[1, 1], [2, 4]]);
        assert.deepEqual(storage.read((v) => v.position), log.last);
      };
      check();
      const id = storage.databaseId;
      storage.close();
      storage = await openStorage(options);
      check();
      assert.equal(storage.databaseId, id);
      storage.close();
    }));

  test(
    "log: entries keep their bounds, return at least one, and form a chain",
    patient,
    () =>
      inFolder(async (folder) => {
        const storage = await openStorage(testOptions(join(folder, "data.dfdb"))), c = start(storage);
        storage.write((tx) => {
          for (let i = 0; i < 20; i++) tx.append([put(c, `d${i}`, 0, `{"pad":"${"p".repeat(1000)}"}`)], wall);
        });
        const read = (after: number, bytesMax: number, entriesMax: number) =>
          storage.log.entries(seqOf(after), { bytesMax, entriesMax }) as readonly LogEntry[];
        const entries = read(0, 1e9, 1e9);
        assert.deepEqual(entries.map((e) => e.seq), Array.from({ length: 22 }, (_, i) => i + 1));
        let chain = 0;
        for (const e of entries) {
          chain = chainAfter(chain, e.term, e.seq, e.wallMs, e.payload);
          assert.equal(e.chain, chain);
          assert.deepEqual(Object.keys(e.term).sort(), ["epoch", "run"]);
          assert.ok(e.payload instanceof Uint8Array);
        }
        const size = entries[5]?.payload.length as number;
        assert.equal(read(2, 0, 100).length, 1);
        assert.equal(read(2, 1, 100).length, 1);
        assert.equal(read(4, size, 100).length, 1);
        assert.equal(read(4, size + 1, 100).length, 2);
        assert.equal(read(4, 3 * size, 100).length, 3);
        assert.equal(read(4, 1e9, 7).length, 7);
        assert.equal(read(4, 1e9, 0).length, 1);
        assert.equal(read(21, 1e9, 100).length, 1);
        assert.deepEqual(read(22, 1e9, 100), []);
        assert.deepEqual(read(99, 1e9, 100), []);
        const { logEntries, logBytes, pageCount, fileBytes } = storage.stats();
        assert.deepEqual([logEntries, logBytes], [22, entries.reduce((sum, e) => sum + e.payload.length, 0)]);
        assert.equal(fileBytes, pageCount * 4096);
        storage.close();
      }),
  );

  test("log: a missing row is data_corrupt, not a shorter log", patient, () =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "data.dfdb")),
        storage = await openStorage(options),
        c = start(storage);
      storage.write((tx) => ["a", "b", "c"].forEach((id) => tx.append([put(c, id, 0)], wall)));
      storage.close();
      const db = new DatabaseSync(options.path);
      db.exec("DELETE FROM log WHERE seq = 4");
      db.close();
      const { log, close } = await openStorage(options).then((s) => ({ log: s.log, close: () => s.close() }));
      assert.throws(() => log.at(seqOf(4)), coded("data_corrupt"));
      assert.throws(() => log.wallMsAt(seqOf(4)), coded("data_corrupt"));
      assert.throws(() => log.entries(seqOf(0), { bytesMax: 1e6, entriesMax: 9 }), coded("data_corrupt"));
      close();
    }));
}
