/** The disk of the simulator under snapshots: death while one is made, installed, opened; a full disk there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SnapshotOrder } from "../../src/storage/sqlite/make_snapshot.ts";
import { runTask } from "../../src/node/tasks.ts";
import { coded, patient, put, start, wall } from "../suites/storage_fixture.ts";
import { DiskImage } from "./disk_image.ts";
import { type DiskRig, withRig } from "./disk_rig.ts";
import type { Death } from "./sim_process.ts";
import { connectionsOf } from "./sqlite_connections.ts";

const snapshotKey = "snapshots/one.dfdb", incomingKey = "data.dfdb.snapshot.incoming";
const deaths: readonly Death[] = ["kill", "power"];

function orderOf(rig: DiskRig): SnapshotOrder {
  return {
    path: rig.path("data.dfdb"),
    target: rig.path(snapshotKey),
    logEntriesMax: 99,
    logBytesMax: 99_999,
  };
}

/** A database of `entries` with a snapshot of it, which is closed. */
async function withSnapshot(rig: DiskRig, entries: number): Promise<void> {
  await rig.run(async () => {
    const storage = await rig.openStorage(), orders = start(storage);
    for (let i = 3; i <= entries; i++) storage.write((tx) => tx.append([put(orders, `o${i}`, 0)], wall));
    await rig.process.runtime.files.makeDirectory(rig.path("snapshots"));
    await runTask(rig.process.runtime.workers, "sqlite.makeSnapshot", orderOf(rig));
    storage.close();
  });
}

/** An image with nothing but the snapshot of a database of `entries`, at `key`. */
function snapshotAt(key: string, entries: number): Promise<DiskImage> {
  return withRig(9, async (rig) => {
    await withSnapshot(rig, entries);
    const file = rig.disk.image("kill").files.get(snapshotKey);
    assert.ok(file !== undefined);
    return new DiskImage(new Map([[key, file]]), []);
  });
}

async function lastSeq(rig: DiskRig): Promise<number | null> {
  return await rig.run(async () => {
    const storage = await rig.openStorage(), { seq } = storage.log.last;
    storage.close();
    return seq;
  });
}

function dieAt(rig: DiskRig, label: string, how: Death, inCommit = false): { readonly died: boolean } {
  const outcome = { died: false };
  rig.atLabel = (at) => {
    if (at !== label) return;
    outcome.died = true;
    rig.die(how, inCommit);
  };
  return outcome;
}

for (const how of deaths) {
  for (const label of ["snapshot:filled", "snapshot:copied", "snapshot:made"]) {
    test(`disk: ${how} at ${label} leaves the data whole`, () =>
      withRig(1, async (rig) => {
        const outcome = dieAt(rig, label, how);
        await withSnapshot(rig, 9);
        assert.ok(outcome.died);
        assert.equal(await lastSeq(rig), 9);
      }));
  }
  for (const label of ["copied:marked", "copied:wal"]) {
    test(`disk: ${how} at ${label} leaves the copy whole`, async () => {
      const image = await snapshotAt("data.dfdb", 7);
      await withRig(1, async (rig) => {
        rig.disk.mount(image);
        rig.restart();
        const outcome = dieAt(rig, label, how);
        await lastSeq(rig);
        assert.ok(outcome.died);
        assert.equal(await lastSeq(rig), 7);
      });
    });
  }
}

/** A process with 4 entries installs a snapshot of 7 and dies at `label`; what the next one finds. */
async function installing(
  label: string,
  how: Death,
  inCommit: boolean,
  seed: number,
): Promise<number | null> {
  const image = await snapshotAt(incomingKey, 7);
  return await withRig(seed, async (rig) => {
    rig.disk.mount(image);
    rig.restart();
    const outcome = dieAt(rig, label, how, inCommit), { process } = rig;
    await rig.run(async () => {
      const storage = await rig.openStorage(), orders = start(storage);
      for (let i = 3; i <= 4; i++) storage.write((tx) => tx.append([put(orders, `o${i}`, 0)], wall));
      const { workers } = process.runtime, source = rig.path(incomingKey), target = rig.path("data.dfdb");
      await storage.exchange(async () =>
        void await runTask(workers, "sqlite.installSnapshot", { source, target })
      );
    });
    assert.ok(outcome.died);
    await rig.world.pass(0);
    assert.deepEqual(connectionsOf(process), [], "an exchange was open");
    return await lastSeq(rig);
  });
}

test("disk: death while a snapshot is installed: the old content or the new", patient, async () => {
  for (const how of deaths) {
    assert.equal(await installing("install:before", how, false, 1), 4);
    assert.equal(await installing("install:after", how, false, 1), 7);
  }
  const seen = new Set<number | null>();
  for (let seed = 0; seed < 12; seed++) seen.add(await installing("install:after", "power", true, seed));
  assert.deepEqual([...seen].sort(), [4, 7]);
});

test("disk: a full disk makes and installs no snapshot, and opens no copy", async () => {
  const image = await snapshotAt("data.dfdb", 7);
  await withRig(1, async (rig) => {
    rig.disk.mount(image);
    rig.restart();
    rig.disk.faults.full = true;
    await assert.rejects(() => lastSeq(rig), coded("disk_full"));
    rig.disk.faults.full = false;
    await rig.run(async () => {
      const storage = await rig.openStorage(), { workers, files } = rig.process.runtime, order = orderOf(rig);
      await files.makeDirectory(rig.path("snapshots"));
      await runTask(workers, "sqlite.makeSnapshot", { ...order, target: rig.path(incomingKey) });
      rig.disk.faults.full = true;
      await assert.rejects(() => runTask(workers, "sqlite.makeSnapshot", order), coded("disk_full"));
      const install = { source: rig.path(incomingKey), target: rig.path("data.dfdb") };
      await assert.rejects(
        () => storage.exchange(async () => void await runTask(workers, "sqlite.installSnapshot", install)),
        coded("disk_full"),
      );
      assert.equal(storage.log.last.seq, 7);
      assert.throws(() => storage.close(), coded("disk_full"));
      rig.disk.faults.full = false;
    });
    assert.equal(await lastSeq(rig), 7);
  });
});
