import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { documentIdOf, seqOf } from "../../src/base/ids.ts";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Operation } from "../../src/document/operation.ts";
import { chainAfter } from "../../src/storage/chain.ts";
import { encodeEntry } from "../../src/storage/entry_codec.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import type { OpenWrite, Storage, WriteTransaction } from "../../src/storage/storage.ts";
import {
  beginTerm,
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

const all = { bytesMax: 2 ** 30, entriesMax: 1e6 };
const broken = { name: "InvariantError" };

/** Changes of every kind, of more operations than a slice. */
function operations(collection: CollectionNumber, other: CollectionNumber): Operation[] {
  const made: Operation[] = [{ kind: "createCollection", collection: other, name: "other" }];
  made.push(put(collection, "kept", 3, '{"v":2}'), remove(collection, "gone", 4));
  for (let i = 0; i < 3 * limits.sliceOperations; i++) {
    made.push(put(other, `d${i}`, 0, '{"pad":"0123456789"}'));
  }
  return made;
}

/** Takes an entry to its end; calls `between` after each slice; returns how many there were. */
function take(
  open: OpenWrite,
  begin: (tx: WriteTransaction) => Generator<void, unknown, void>,
  between: () => void = () => {},
): number {
  let steps: Generator<void, unknown, void> | null = null;
  for (let count = 1;; count++) {
    if (open.slice((tx) => (steps ??= begin(tx)).next()).done === true) return count;
    between();
  }
}

/** Write transactions that stay open over macrotasks. */
export function slicesSuite({ openStorage }: StorageOpeners): void {
  const withStorage = (
    run: (storage: Storage, c: CollectionNumber, folder: string) => void | Promise<void>,
  ) =>
    inFolder(async (folder) => {
      const storage = await openStorage(testOptions(join(folder, "data.dfdb"))), c = start(storage);
      storage.write((tx) => tx.append([put(c, "kept", 0)], wall));
      storage.write((tx) => tx.append([put(c, "gone", 0)], wall));
      await run(storage, c, folder);
      storage.close();
    });

  test(
    "slices: an entry in slices is the same as at once, on leader and follower",
    patient,
    () =>
      withStorage(async (leader, c, folder) => {
        const pair = await Promise.all(
          ["b", "c"].map((name) => openStorage(testOptions(join(folder, name)))),
        );
        const [atOnce, sliced] = pair as [Storage, Storage];
        const open = leader.begin();
        const slices = take(open, (tx) => tx.appendInSlices(operations(c, tx.newCollectionNumber()), wall));
        assert.ok(slices > 6, `${slices} slices`);
        open.commit();
        leader.write((tx) => tx.append([put(c, "after", 0)], wall));
        const entries = leader.log.entries(seqOf(0), all) as readonly LogEntry[];
        atOnce.write((tx) => entries.forEach((entry) => tx.apply(entry)));
        for (const entry of entries.slice(0, 4)) sliced.write((tx) => tx.apply(entry));
        const apply = sliced.begin();
        take(apply, (tx) => tx.applyInSlices(entries[4] as LogEntry));
        apply.commit();
        sliced.write((tx) => tx.apply(entries[5] as LogEntry));
        assert.deepEqual(everything(sliced), everything(leader));
        assert.deepEqual(everything(atOnce), everything(leader));
        assert.deepEqual(entries[4]?.payload, encodeEntry(operations(c, (c + 1) as CollectionNumber)));
        pair.forEach((one) => one.close());
      }),
  );

  test(
    "slices: reads, the log and maintenance in between know nothing of it; then all of it is there",
    patient,
    () =>
      withStorage((storage, c) => {
        const before = everything(storage), open = storage.begin();
        let looks = 0;
        take(open, (tx) => tx.appendInSlices(operations(c, tx.newCollectionNumber()), wall), () => {
          if (looks++ % 4 === 0) assert.deepEqual(everything(storage), before);
          assert.equal(storage.read((v) => v.documentSeq(c, documentIdOf("kept"))), 3);
          assert.equal(storage.log.at(seqOf(5)), "ahead");
          assert.deepEqual([storage.reclaim(), storage.trimLog({ bytesMax: 0, age: null })], [false, false]);
          storage.checkpointIfDue();
        });
        assert.throws(() => storage.write(() => 1), broken);
        assert.throws(() => storage.begin(), broken);
        assert.deepEqual(everything(storage), before, "misuse changes nothing");
        assert.equal(
          open.slice((tx) => tx.documentSeq(c, documentIdOf("kept"))),
          5,
          "the transaction sees itself",
        );
        open.commit();
        assert.equal(storage.read((v) => v.documentSeq(c, documentIdOf("kept"))), 5);
        assert.equal(storage.read((v) => v.collection("other"))?.documents, 3 * limits.sliceOperations);
        assert.equal(storage.log.last.seq, 5);
        assert.throws(() => open.slice(() => 1), broken);
        assert.throws(() => open.commit(), broken);
        open.rollback();
      }),
  );

  test(
    "slices: rolled back in the middle, failed in the middle, or left: nothing is kept, and writing goes on",
    patient,
    () =>
      withStorage((storage, c) => {
        const before = everything(storage);
        const ends: readonly ((open: OpenWrite, tx: (n: number) => void) => void)[] = [
          (open, steps) => {
            steps(5);
            open.rollback();
          },
          (open, steps) => {
            steps(5);
            assert.throws(() => open.slice(() => assert.fail("stop")), /stop/);
          },
          (open, steps) => {
            steps(5);
            assert.throws(() => open.commit(), broken, "half an entry is never committed");
          },
          (open) => open.commit(),
          (open) => open.rollback(),
        ];
        for (const end of ends) {
          const open = storage.begin();
          let entry: Generator<void, unknown, void> | null = null;
          end(open, (count) => {
            for (let i = 0; i < count; i++) {
              open.slice((tx) =>
                (entry ??= tx.appendInSlices(operations(c, tx.newCollectionNumber()), wall)).next()
              );
            }
          });
          assert.deepEqual(everything(storage), before);
        }
        assert.equal(storage.write((tx) => tx.append([put(c, "new", 0)], wall)).seq, 5);
        assert.equal(storage.read((v) => v.collection("other")), null);
      }),
  );

  test("slices: while an entry is under way no other is written", patient, () =>
    withStorage((storage, c) => {
      const open = storage.begin();
      let entry: Generator<void, unknown, void> | null = null;
      for (let i = 0; i < 6; i++) {
        open.slice((tx) =>
          (entry ??= tx.appendInSlices(operations(c, tx.newCollectionNumber()), wall)).next()
        );
      }
      assert.throws(() => open.slice((tx) => tx.append([put(c, "x", 0)], wall)), broken);
      assert.equal(storage.log.last.seq, 4);
    }));

  test(
    "slices: what does not fit is refused as at once; a fault in the last operation leaves nothing",
    patient,
    () =>
      withStorage((storage, c) => {
        const before = everything(storage), last = storage.log.last, term = beginTerm(1, "1");
        const bad = [...operations(c, (c + 1) as CollectionNumber), put(c, "kept", 1)];
        const payload = encodeEntry(bad), seq = seqOf(5);
        const fits: LogEntry = {
          seq,
          term,
          wallMs: wall,
          payload,
          chain: chainAfter(last.chain, term, seq, wall, payload),
        };
        const wrong: readonly (readonly [string, LogEntry])[] = [
          ["diverged", fits],
          ["corrupt", { ...fits, chain: (fits.chain ^ 1) >>> 0 }],
          ["gap", { ...fits, seq: seqOf(6) }],
        ];
        for (const [code, entry] of wrong) {
          const open = storage.begin();
          assert.throws(() => take(open, (tx) => tx.applyInSlices(entry)), coded(code), code);
          assert.deepEqual(everything(storage), before);
        }
        const open = storage.begin(), pad = "p".repeat(16 * 1024 * 1024);
        const huge = Array.from({ length: 4 }, (_, i) => put(c, `huge${i}`, 0, `{"pad":"${pad}"}`));
        assert.throws(() => take(open, (tx) => tx.appendInSlices(huge, wall)), coded("payload_too_large"));
        assert.deepEqual(everything(storage), before);
      }),
  );

  test(
    "slices: killed at any slice, nothing of it is there; killed after COMMIT, all of it",
    patient,
    () =>
      withStorage(async (storage, c, folder) => {
        // Above the page cache: pages of the open transaction are in the WAL.
        const body = `{"pad":"${"p".repeat(1024 * 1024)}"}`, copies: string[] = [];
        const large = Array.from({ length: 40 }, (_, i) => put(c, `large${i}`, 0, body));
        const copy = (): void => {
          const to = join(folder, `copy${copies.length}.dfdb`);
          for (const end of ["", "-wal"]) copyFileSync(join(folder, `data.dfdb${end}`), to + end);
          copies.push(to);
        };
        const before = storage.log.last, open = storage.begin();
        let slices = 0;
        take(open, (tx) => tx.appendInSlices(large, wall), () => {
          if (slices++ % 30 === 29) copy();
        });
        copy();
        open.commit();
        copy();
        for (const [i, path] of copies.entries()) {
          const found = await openStorage(testOptions(path)), whole = i === copies.length - 1;
          assert.deepEqual(found.log.last, whole ? storage.log.last : before);
          assert.equal(found.read((v) => v.collection("orders"))?.documents, whole ? 42 : 2);
          assert.equal(found.read((v) => v.documentSeq(c, documentIdOf("large3"))), whole ? 5 : 0);
          found.close();
        }
        assert.ok(copies.length >= 4);
      }),
  );

  test("slices: a close in between keeps nothing of it", patient, () =>
    inFolder(async (folder) => {
      const options = testOptions(join(folder, "data.dfdb")),
        storage = await openStorage(options),
        c = start(storage);
      const before = everything(storage), open = storage.begin();
      open.slice((tx) => tx.append([put(c, "a", 0)], wall));
      storage.close();
      const again = await openStorage(options);
      assert.deepEqual(everything(again), before);
      again.close();
    }));
}
