import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { seqOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import type { Storage, TrimPolicy } from "../../src/storage/storage.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  patient,
  put,
  start,
  testOptions,
} from "./storage_fixture.ts";
import { wall } from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";

const all = { bytesMax: 2 ** 30, entriesMax: 1e6 };
const day = 86_400_000;

/** An entry with a document of its own. */
function add(storage: Storage, collection: CollectionNumber, wallMs = wall as number, pad = 0): Position {
  return storage.write((tx) =>
    tx.append(
      [put(collection, `d${tx.position.seq}`, 0, `{"pad":"${"p".repeat(pad)}"}`)],
      wallMsOf(wallMs),
    )
  );
}

/** Trims until nothing is due; the number of slices. */
function trim(storage: Storage, policy: Partial<TrimPolicy>): number {
  let slices = 1;
  while (storage.trimLog({ bytesMax: 2 ** 40, age: null, ...policy })) slices++;
  return slices;
}

function kept(storage: Storage): readonly LogEntry[] {
  return storage.log.entries(seqOf(storage.log.first - 1), all) as readonly LogEntry[];
}

/** Retention of the log: `Storage.trimLog`. */
export function trimSuite(openers: StorageOpeners): void {
  edges(openers);
  ages(openers);
  safety(openers);
}

function edges({ openStorage }: StorageOpeners): void {
  test(
    "trim: by bytes, never the last entry; positions at the edge, also after reopening",
    patient,
    () =>
      inFolder(async (folder) => {
        const options = testOptions(join(folder, "data.dfdb"));
        let storage = await openStorage(options);
        assert.equal(storage.trimLog({ bytesMax: 0, age: { msMax: 0, now: wall } }), false, "an empty log");
        assert.equal(storage.stats().logFirstMs, null);
        const c = start(storage);
        storage.write((tx) => tx.append([beginTerm(2, "2")], wall));
        const positions = Array.from({ length: 7 }, () => add(storage, c, wall, 1000)),
          size = kept(storage)[5]?.payload.length as number;
        const documents = () => storage.read((view) => view.page(c, 0, { documentsMax: 100, bytesMax: 1e6 }));
        const before = documents();
        assert.equal(trim(storage, { bytesMax: storage.stats().logBytes }), 1);
        assert.equal(storage.log.first, 1, "at the limit nothing goes");
        trim(storage, { bytesMax: 4 * size });
        const check = () => {
          const { log } = storage;
          // An eighth more than the excess: three entries of the four.
          assert.deepEqual([log.first, log.last], [8, positions[6]]);
          assert.deepEqual([log.at(seqOf(7)), log.at(seqOf(8)), log.at(seqOf(0))], [
            positions[3],
            positions[4],
            origin,
          ]);
          for (const seq of [1, 2, 6]) assert.equal(log.at(seqOf(seq)), "compacted");
          assert.deepEqual([7, 8, 10, 11].map((seq) => log.wallMsAt(seqOf(seq))), [null, wall, wall, null]);
          for (const seq of [0, 1, 6]) assert.equal(log.entries(seqOf(seq), all), "compacted");
          assert.deepEqual(kept(storage).map(({ seq }) => seq), [8, 9, 10]);
          assert.deepEqual((log.entries(seqOf(7), { bytesMax: size + 1, entriesMax: 9 }) as []).length, 2);
          assert.deepEqual(log.terms.map((t) => t.firstSeq), [1, 3], "terms are for ever");
          const { logEntries, logBytes, logFirstMs } = storage.stats();
          assert.deepEqual([logEntries, logBytes, logFirstMs], [3, 3 * size, wall]);
          assert.deepEqual(documents(), before);
        };
        check();
        storage.close();
        storage = await openStorage(options);
        check();
        trim(storage, { bytesMax: 0 });
        assert.deepEqual([storage.log.first, kept(storage).length, storage.log.last], [10, 1, positions[6]]);
        assert.equal(storage.trimLog({ bytesMax: 0, age: { msMax: 0, now: wallMsOf(wall + day) } }), false);
        assert.equal(add(storage, c).seq, 11);
        storage.close();
      }),
  );

  test(
    "trim: a slice is bounded in entries and in bytes, and takes at least one",
    patient,
    () =>
      inFolder(async (folder) => {
        const storage = await openStorage(testOptions(join(folder, "data.dfdb"))), c = start(storage);
        storage.write((tx) => {
          for (let i = 0; i < 2.5 * limits.trimEntries; i++) tx.append([put(c, `s${i}`, 0)], wall);
        });
        add(storage, c, wall, limits.trimBytes + 10);
        for (let i = 0; i < 6; i++) add(storage, c, wall, limits.trimBytes / 4);
        const seen: number[] = [];
        for (let more = true; more;) {
          more = storage.trimLog({ bytesMax: 0, age: null });
          seen.push(storage.log.first);
        }
        // Two and a half slices of small entries, a large one of its own, three quarters, two more and the last that stays.
        const small = 2.5 * limits.trimEntries + 2, one = limits.trimEntries;
        assert.deepEqual(seen, [one + 1, 2 * one + 1, small + 1, small + 2, small + 5, small + 7]);
        storage.close();
      }),
  );
}

function ages({ openStorage }: StorageOpeners): void {
  const aged = async (folder: string, days: readonly number[]) => {
    const storage = await openStorage(testOptions(join(folder, "data.dfdb"))), c = start(storage);
    trim(storage, { bytesMax: 0 });
    for (const d of days) add(storage, c, wall + d * day);
    const age = (at: number, keepFrom?: number) => {
      trim(storage, {
        age: { msMax: 7 * day, now: wallMsOf(wall + at * day) },
        ...(keepFrom === undefined ? {} : { hold: { from: seqOf(keepFrom), bytesMax: 0 } }),
      });
      return storage.log.first;
    };
    return { storage, age, c };
  };

  test(
    "trim: by age; an idle log does not age, and a clock ahead of the newest entry changes nothing",
    patient,
    () =>
      inFolder(async (folder) => {
        const { storage, age, c } = await aged(folder, [1, 2, 3, 4]); // entries 3 to 6, after 2 of day 0
        assert.equal(age(7), 2, "exactly 7 days are not more");
        assert.equal(age(365), 2);
        add(storage, c, wall + 10 * day);
        assert.deepEqual([age(9), age(10), age(365)], [4, 5, 5]);
        assert.equal(storage.stats().logFirstMs, wall + 3 * day);
        storage.close();
      }),
  );

  test(
    "trim: entries stamped by a wrong clock wait for their turn; bytes do not",
    patient,
    () =>
      inFolder(async (folder) => {
        // Entry 2 of day 0; 5 and 6 while the clock was a year behind; 7 while it was a year ahead.
        const { storage, age, c } = await aged(folder, [1, 2, -365, -365, 365, 8, 30]);
        assert.equal(age(8.5), 4, "days 0 and 1 went, nothing behind them");
        assert.equal(age(-400), 4, "a clock that goes back");
        assert.equal(age(30), 7, "the future holds what is behind it");
        assert.equal(add(storage, c, wall + 31 * day).seq, 10);
        trim(storage, { bytesMax: 1 });
        assert.equal(storage.log.first, 10);
        storage.close();
      }),
  );

  test(
    "trim: what is held does not go by age, and by bytes only above a limit of its own",
    patient,
    () =>
      inFolder(async (folder) => {
        const { storage, age } = await aged(folder, [0, 0, 0, 20]);
        assert.deepEqual([age(20, 4), age(20, 4), age(20, 3), age(20, 100)], [4, 4, 4, 6]);
        storage.close();
        const other = await openStorage(testOptions(join(folder, "other.dfdb"))), c = start(other);
        for (let i = 0; i < 5; i++) add(other, c);
        const bytes = other.stats().logBytes;
        trim(other, { bytesMax: 0, hold: { from: seqOf(4), bytesMax: bytes } });
        assert.equal(other.log.first, 4, "what is before the hold goes");
        trim(other, { bytesMax: bytes, hold: { from: seqOf(4), bytesMax: 0 } });
        assert.equal(other.log.first, 4, "the larger limit counts");
        trim(other, { bytesMax: 0, hold: { from: seqOf(2), bytesMax: 0 } });
        assert.equal(other.log.first, other.log.last.seq);
        other.close();
      }),
  );
}

function safety({ openStorage }: StorageOpeners): void {
  test(
    "trim: takes the mark of a clean close back like every write",
    patient,
    () =>
      inFolder(async (folder) => {
        const path = join(folder, "data.dfdb"), copy = join(folder, "copy.dfdb");
        let storage = await openStorage(testOptions(path));
        const c = start(storage);
        for (let i = 0; i < 10; i++) add(storage, c, wall, 5_000);
        storage.close();
        storage = await openStorage(testOptions(path));
        assert.equal(storage.trimLog({ bytesMax: 2 ** 30, age: null }), false);
        cpSync(path, copy);
        await openStorage(testOptions(copy, { known: () => false })).then((s) => s.close());
        trim(storage, { bytesMax: 20_000 });
        for (const end of ["", "-wal"]) cpSync(`${path}${end}`, `${copy}${end}`);
        await assert.rejects(openStorage(testOptions(copy, { known: () => false })), coded("unclean_copy"));
        const expected = everything(storage);
        storage.close();
        storage = await openStorage(testOptions(path, { known: () => false }));
        assert.deepEqual(everything(storage), expected);
        storage.close();
      }),
  );

  test(
    "trim: fails as a whole; a reader keeps what it read; not inside a read or a write",
    patient,
    () =>
      inFolder(async (folder) => {
        let failAt = "";
        const crashPoint = (label: string) => {
          if (label === failAt) throw new Error("stop here");
        };
        const storage = await openStorage(testOptions(join(folder, "data.dfdb"), { crashPoint }));
        const c = start(storage), policy = { bytesMax: 0, age: null };
        for (let i = 0; i < 5; i++) add(storage, c);
        const before = everything(storage), read = storage.log.entries(seqOf(2), all) as readonly LogEntry[];
        for (failAt of ["trim:rows", "trim:before"]) {
          assert.throws(() => storage.trimLog(policy), /stop here/);
          assert.deepEqual(everything(storage), before);
        }
        failAt = "";
        assert.throws(() => storage.read(() => storage.trimLog(policy)));
        assert.throws(() => storage.write(() => storage.trimLog(policy)));
        assert.deepEqual(everything(storage), before);
        trim(storage, policy);
        assert.equal(read[0]?.payload[0], 1);
        assert.equal(storage.log.entries(seqOf(read.at(0)?.seq as number), all), "compacted");
        assert.deepEqual(storage.log.entries(storage.log.last.seq, all), []);
        storage.close();
        assert.throws(() => storage.trimLog(policy), coded("closing"));
      }),
  );

  test(
    "trim: a follower exactly at the edge continues, also with a trimmed log of its own",
    patient,
    () =>
      inFolder(async (folder) => {
        const leader = await openStorage(testOptions(join(folder, "leader.dfdb"))), c = start(leader);
        const follower = await openStorage(testOptions(join(folder, "follower.dfdb")));
        const follow = (): "compacted" | undefined => {
          const entries = leader.log.entries(follower.log.last.seq, all);
          if (entries === "compacted") return entries;
          follower.write((tx) => entries.forEach((entry) => tx.apply(entry)));
          return undefined;
        };
        for (let i = 0; i < 5; i++) add(leader, c);
        follow();
        add(leader, c);
        trim(leader, { bytesMax: 0 });
        trim(follower, { bytesMax: 0 });
        assert.equal(leader.log.first, follower.log.last.seq + 1);
        assert.deepEqual(leader.log.at(follower.log.last.seq), follower.log.last);
        follow();
        assert.deepEqual(follower.log.last, leader.log.last);
        add(leader, c);
        add(leader, c);
        trim(leader, { bytesMax: 0 });
        assert.equal(follow(), "compacted");
        leader.close();
        follower.close();
      }),
  );
}
