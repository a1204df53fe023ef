import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { beginTerm, coded, inFolder, patient, put, start, testOptions, wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const all = { bytesMax: 2 ** 30, entriesMax: 1e6 };

/** What readers of the log are told must not depend on whether memory or the file answers. */
export function recentSuite({ openStorage }: StorageOpeners): void {
  /** Runs with one storage that wrote everything itself, and with the same file opened anew: nothing is in memory. */
  const compared = (write: (storage: Storage) => void, see: (storage: Storage) => unknown) =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "data.dfdb")), storage = await openStorage(options);
      storage.log.entries(seqOf(0), all); // memory serves those who read
      write(storage);
      const fromMemory = see(storage);
      storage.close();
      const again = await openStorage(options);
      assert.deepEqual(fromMemory, see(again));
      again.close();
    });
  const bounds = [[0, 100], [1, 100], [300, 100], [5_000, 3], [2 ** 30, 1], [2 ** 30, 0], [
    2 ** 30,
    1e6,
  ]] as const;
  const told = ({ log }: Storage): unknown => {
    const seqs = Array.from({ length: log.last.seq + 3 }, (_, seq) => seqOf(seq));
    return {
      first: log.first,
      at: seqs.map((seq) => log.at(seq)),
      bytesAfter: seqs.map((seq) => log.bytesAfter(seq)),
      wallMsAt: seqs.map((seq) => log.wallMsAt(seq)),
      entries: seqs.map((seq) =>
        bounds.map(([bytesMax, entriesMax]) => log.entries(seq, { bytesMax, entriesMax }))
      ),
    };
  };

  test(
    "log: memory answers as the file does: terms, bounds, positions, sizes",
    patient,
    () =>
      compared((storage) => {
        const c = start(storage);
        storage.write((tx) => {
          for (let i = 0; i < 20; i++) {
            tx.append([put(c, `a${i}`, 0, `{"pad":"${"p".repeat(i * 20)}"}`)], wall);
          }
        });
        storage.write((tx) => tx.append([beginTerm(2, "2")], wall));
        assert.throws(() =>
          storage.write((tx) => {
            tx.append([put(c, "lost", 0)], wall);
            throw new RangeError("rolled back");
          }), RangeError);
        storage.write((tx) => tx.append([put(c, "b", 0)], wall));
        const open = storage.begin(), steps = { left: 0 };
        let entry: Generator<void, unknown, void> | null = null;
        while (
          open.slice((tx) => (entry ??= tx.appendInSlices([put(c, "c", 0)], wall)).next()).done !== true
        ) {
          assert.equal(storage.log.at(seqOf(storage.log.last.seq + 1)), "ahead");
          steps.left++;
        }
        open.commit();
        assert.ok(steps.left > 2);
      }, told),
  );

  test("log: memory answers as the file does after a trimming", patient, () =>
    compared((storage) => {
      const c = start(storage);
      storage.write((tx) => {
        for (let i = 0; i < 60; i++) tx.append([put(c, `a${i}`, 0, `{"pad":"${"p".repeat(500)}"}`)], wall);
      });
      while (storage.trimLog({ bytesMax: 10_000, age: null }));
      assert.ok(storage.log.first > 20 && storage.log.first < 60);
      assert.equal(storage.log.entries(seqOf(3), all), "compacted");
      storage.write((tx) => tx.append([put(c, "b", 0)], wall));
    }, told));

  test(
    "log: the newest entries are kept in memory, no more of them than the limits",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "data.dfdb")),
          storage = await openStorage(options),
          c = start(storage);
        const { log } = storage;
        const inFile = new DatabaseSync(options.path);
        /** The lowest seq that is answered without the file. */
        const lowest = (): number => {
          inFile.exec("BEGIN IMMEDIATE; DELETE FROM log");
          inFile.exec("COMMIT");
          let seq: number = log.last.seq;
          const answered = (after: number): boolean => {
            try {
              return (log.entries(seqOf(after), all) as readonly LogEntry[]).length === log.last.seq - after;
            } catch (error) {
              return !coded("data_corrupt")(error);
            }
          };
          if (!answered(seq - 1)) return seq + 1;
          for (let step = 2 ** 14; step >= 1; step >>= 1) {
            while (seq - step >= 1 && answered(seq - step - 1)) seq -= step;
          }
          return seq;
        };
        storage.write((tx) => tx.append([put(c, "unread", 0)], wall));
        assert.equal(lowest(), log.last.seq + 1, "nobody had read it");
        storage.write((tx) => {
          for (let i = 0; i < limits.recentEntries + 500; i++) tx.append([put(c, `a${i}`, 0)], wall);
        });
        assert.equal(lowest(), log.last.seq - limits.recentEntries + 1);
        const body = `{"pad":"${"p".repeat(1024 * 1024)}"}`, count = limits.recentBytes / (1024 * 1024);
        for (let i = 0; i < count; i++) storage.write((tx) => tx.append([put(c, `b${i}`, 0, body)], wall));
        assert.equal(lowest(), log.last.seq - count + 2, "a little more than a MiB each: one fewer fits");
        inFile.close();
        storage.close();
      }),
  );
}
