/** The disk of the simulator under a real storage: death at every label, power lost inside a commit, faults. */
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { seqOf } from "../../src/base/ids.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import { storageCrashPoints } from "../../src/storage/sqlite/crash_points.ts";
import { quickCheck } from "../../src/storage/sqlite/quick_check.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { beginTerm, coded, patient, put, start, wall } from "../suites/storage_fixture.ts";
import { creation, indexOf } from "../suites/storage_suite_indexes.ts";
import { type DiskRig, withRig } from "./disk_rig.ts";
import { combine } from "./disk_image.ts";
import type { Death } from "./sim_process.ts";
import { connectionsOf } from "./sqlite_connections.ts";

const small = `{"pad":"${"p".repeat(2_000)}"}`;
const trimAll = { bytesMax: 30_000, age: null };

/** Writes, drops, trims and closes: meets every label. `large`: enough for a checkpoint. */
function work(storage: Storage, large: boolean): void {
  const orders = storage.read((view) => view.collection("orders"))?.number ?? start(storage);
  const extra = storage.write((tx) => {
    const number = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection: number, name: `extra${tx.position.seq}` }], wall);
    return number;
  });
  const body = large ? `{"pad":"${"p".repeat(1_000_000)}"}` : small;
  for (let i = 0; i < 10; i++) {
    storage.write((tx) => {
      tx.append([put(orders, `o${tx.position.seq}`, 0), put(extra, `e${tx.position.seq}`, 0, body)], wall);
      tx.append([put(extra, `f${tx.position.seq}`, 0, body)], wall);
    });
    storage.checkpointIfDue();
  }
  storage.write((tx) => tx.append([creation(extra, indexOf("pad"))], wall));
  while (storage.buildSlice());
  storage.write((tx) => tx.append([{ kind: "dropCollection", collection: extra }], wall));
  while (storage.reclaim());
  while (storage.trimLog(trimAll));
  storage.close();
}

interface Ends {
  readonly last: Position;
  readonly first: number;
}

const nothing: Ends = {
  last: { epoch: 0, run: "0".repeat(32), seq: 0, chain: 0 } as unknown as Position,
  first: 1,
};
const endsOf = (storage: Storage): Ends => ({ last: storage.log.last, first: storage.log.first });

/** Kills at the `nth` time at `label`; what storage says that it holds then, and what the next process finds. */
async function killed(rig: DiskRig, label: string, nth: number, how: Death, inCommit = false) {
  let storage: Storage | null = null, hits = 0, before = nothing, after = nothing;
  const large = label.startsWith("checkpoint:");
  rig.atLabel = (at) => {
    // `close` was called: storage answers nothing any more.
    if (storage !== null && !at.startsWith("close:")) {
      before = after;
      after = endsOf(storage);
    }
    if (at !== label || ++hits < nth) return;
    rig.die(how, inCommit);
  };
  const survived = await rig.run(async () => {
    storage = await rig.openStorage();
    after = before = endsOf(storage);
    work(storage, large);
    return true;
  });
  assert.equal(survived, null, `it dies at ${label}`);
  return { before, after, found: await reopened(rig) };
}

/** What a new process finds, and that it can go on. */
async function reopened(rig: DiskRig): Promise<Ends> {
  const found = await rig.run(async () => {
    const storage = await rig.openStorage(), ends = endsOf(storage);
    const entries = storage.log.entries(seqOf(ends.first - 1), { bytesMax: 2 ** 30, entriesMax: 1e6 });
    assert.equal((entries as LogEntry[]).length, ends.last.seq - ends.first + 1);
    if (ends.last.seq > 0) storage.write((tx) => tx.append([beginTerm(2, "2")], wall));
    storage.close();
    assert.equal(quickCheck(rig.path("data.dfdb")).message, "ok");
    return ends;
  });
  assert.ok(found !== null);
  return found;
}

for (const how of ["kill", "power"] as const) {
  for (const label of storageCrashPoints) {
    test(`disk: ${how} at ${label}: what was committed is there, nothing else`, patient, async () => {
      for (const nth of /^(apply|commit):/.test(label) ? [1, 5] : [1]) {
        await withRig(nth, async (rig) => {
          const { after, found } = await killed(rig, label, nth, how);
          if (after.last.seq === 0) assert.equal(found.last.seq, 0);
          else assert.deepEqual(found, after);
        });
      }
    });
  }
}

test("disk: power lost inside a commit: it is there as a whole or not at all", patient, async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 36; seed++) {
    await withRig(seed, async (rig) => {
      const nth = 1 + seed % 12,
        { before, after, found } = await killed(rig, "commit:after", nth, "power", true);
      const kept = found.last.seq === after.last.seq;
      assert.deepEqual(found.last.seq, (kept ? after : before).last.seq);
      seen.add(`${nth > 1} ${kept}`);
    });
  }
  assert.deepEqual([...seen].sort(), ["false false", "false true", "true false", "true true"]);
});

test("disk: a full disk keeps nothing of a write, and is fine again", () =>
  withRig(1, async (rig) => {
    await rig.run(async () => {
      const storage = await rig.openStorage(), orders = start(storage), { last } = storage.log;
      const add = () => storage.write((tx) => tx.append([put(orders, `o${tx.position.seq}`, 0)], wall));
      rig.disk.faults.full = true;
      for (let i = 0; i < 30; i++) assert.throws(add, coded("disk_full"));
      assert.throws(() => {
        for (;;) storage.trimLog({ bytesMax: 1, age: null });
      }, coded("disk_full"));
      assert.equal(await rig.process.runtime.files.freeBytes(rig.disk.directory), 0);
      rig.disk.faults.full = false;
      assert.deepEqual(storage.log.last, last);
      add();
      storage.close();
    });
    assert.ok(rig.disk.injected.full > 30);
    assert.equal((await reopened(rig)).last.seq, 3);
  }));

test("disk: a database cannot be made on a full disk", () =>
  withRig(1, async (rig) => {
    rig.disk.faults.full = true;
    await assert.rejects(() => rig.run(() => rig.openStorage()), coded("disk_full"));
    rig.disk.faults.full = false;
    assert.equal((await reopened(rig)).last.seq, 0);
  }));

test("disk: a commit that fails: nothing of it is in the file, or all; then a loss of power may take it", async () => {
  const powered = new Set<number>();
  for (const at of ["before", "after"] as const) {
    for (const how of ["kill", "power"] as const) {
      for (let seed = 0; seed < (at === "after" && how === "power" ? 16 : 1); seed++) {
        await withRig(seed, async (rig) => {
          await rig.run(async () => {
            const storage = await rig.openStorage(), orders = start(storage);
            rig.disk.faults.failCommits = { count: 1, at };
            const add = () => storage.write((tx) => tx.append([put(orders, "a", 0)], wall));
            assert.throws(add, coded("io_error"));
            assert.equal(storage.log.last.seq, 2);
            assert.throws(add, coded("io_error"), "the file is not trusted any more");
          });
          rig.die(how);
          const { last: { seq } } = await reopened(rig);
          if (at === "after" && how === "power") powered.add(seq);
          else assert.equal(seq, at === "before" ? 2 : 3);
        });
      }
    }
  }
  assert.deepEqual([...powered].sort(), [2, 3]);
});

test("disk: a slow disk holds the thread up at commits and makes calls long", () =>
  withRig(1, async (rig) => {
    rig.disk.faults.slow = { min: 100, max: 200 };
    await rig.run(async () => {
      const { process } = rig, { files } = process.runtime, before = process.now;
      await files.size(rig.path("nothing"));
      const called = process.now - before;
      assert.ok(called >= 100 && called < 200, `${called}`);
      const storage = await rig.openStorage(), opened = process.now;
      start(storage);
      assert.ok(process.now - opened >= 100 && process.now - opened < 200);
    });
    assert.equal(rig.disk.injected.slow, 1);
  }));

test("disk: an older data file is restored beside what belongs to the node now", () =>
  withRig(1, async (rig) => {
    const { disk } = rig, mirror = "data.dfdb.followerseq";
    const older = await rig.run(async () => {
      const { files } = rig.process.runtime;
      const storage = await rig.openStorage(), orders = start(storage);
      await files.writeAtomic(rig.path(mirror), Uint8Array.of(2));
      const image = disk.image("kill");
      storage.write((tx) => tx.append([put(orders, "a", 0)], wall));
      await files.writeAtomic(rig.path(mirror), Uint8Array.of(3));
      await files.makeDirectory(rig.path("rescued"));
      const file = await files.openWrite(rig.path("rescued/tail.jsonl"), { truncate: true });
      await file.write(0, Uint8Array.of(7));
      await file.close();
      return image;
    });
    assert.ok(older !== null);
    const now = disk.image("kill"), all = combine({ data: now, node: now, mirrors: now, rest: now });
    assert.deepEqual([...all.files.keys()].sort(), [...now.files.keys()].sort());
    for (let round = 0; round < 2; round++) {
      rig.die("kill");
      disk.mount(combine({ data: older, node: now, mirrors: now, rest: now }));
      await withProcess(rig, async () => {
        assert.deepEqual(await rig.process.runtime.files.read(rig.path(mirror)), Uint8Array.of(3));
        const storage = await rig.openStorage();
        assert.equal(storage.log.last.seq, 2);
        storage.close();
      });
      const [file, ...more] = disk.rescued();
      assert.deepEqual([file?.name, file?.bytes(), more.length], ["tail.jsonl", Uint8Array.of(7), 0]);
      assert.ok(file?.path !== null && existsSync(file?.path ?? ""));
    }
    older.drop();
    assert.throws(() => disk.mount(older), /dropped/);
  }));

/** As a process of what is mounted now. */
async function withProcess(rig: DiskRig, run: () => Promise<void>): Promise<void> {
  rig.restart();
  await rig.run(run);
}

test(
  "disk: a thousand deaths leave neither files nor handles open",
  patient,
  () =>
    withRig(1, async (rig) => {
      const open = (): number => existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;
      const die = async (): Promise<void> => {
        let process = rig.process;
        rig.atLabel = (label) => {
          if (label !== "open:schema") return;
          assert.ok(connectionsOf(process).length >= 2);
          rig.die("kill");
        };
        const opened = rig.run(async () => {
          await (await rig.process.runtime.files.openWrite(rig.path("x"), { truncate: true })).write(
            0,
            new Uint8Array(1),
          );
          process = rig.process;
          await rig.openStorage();
        });
        assert.equal(await opened, null);
        await rig.world.pass(0);
        assert.deepEqual(connectionsOf(process), []);
      };
      await die();
      const before = open();
      for (let i = 0; i < 1_000; i++) await die();
      assert.ok(open() <= before + 5, `${open()} handles are open, ${before} were`);
      assert.equal(readdirSync(`${rig.disk.directory}/..`).length, 1);
    }),
);
