import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { crc32 } from "../../src/base/crc32.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { checksumOfPieces } from "../../src/node/snapshot_file.ts";
import type { Snapshots } from "../../src/node/snapshots.ts";
import { snapshotSource } from "../../src/node/snapshots.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { CollectionNumber } from "../../src/base/ids.ts";
import { coded, inFolder, patient } from "../suites/storage_fixture.ts";
import { gate } from "../suites/runtime_tools.ts";
import { ManualClock } from "../tool/manual_clock.ts";
import type { SmallDisk } from "../tool/resync_rig.ts";
import { database, inlineWorkers, smallDisk, someRandom, write } from "../tool/resync_rig.ts";

const piece = limits.snapshotPieceBytes;
const { signal: never } = new AbortController();

interface Rig {
  readonly folder: string;
  readonly storage: Storage;
  readonly collection: CollectionNumber;
  readonly clock: ManualClock;
  readonly files: SmallDisk;
  readonly source: Snapshots;
  /** Names of tasks that were begun. */
  readonly begun: string[];
  /** Called before each task. */
  before: () => Promise<void> | void;
  listed(): string[];
}

function withSource(
  run: (rig: Rig) => Promise<void>,
  size: { documents: number; bytes?: number } = { documents: 20 },
): Promise<void> {
  return inFolder(async (root) => {
    const dataPath = `${root}/data.dfdb`, folder = `${root}/snapshots`, files = smallDisk();
    const { storage, collection } = await database(dataPath, size);
    await files.makeDirectory(folder);
    writeFileSync(`${folder}/left.dfdb`, "of an earlier process");
    const begun: string[] = [], clock = new ManualClock();
    const workers = inlineWorkers((name) => {
      begun.push(name);
      return rig.before();
    });
    const runtime = { clock, files, random: someRandom(7), workers };
    const source = await snapshotSource({ runtime, storage, dataPath, folder, logger: silentLogger });
    const rig: Rig = {
      folder,
      storage,
      collection,
      clock,
      files,
      source,
      begun,
      before: () => {},
      listed: () => readdirSync(folder),
    };
    try {
      await run(rig);
    } finally {
      await source.close();
      storage.close();
    }
  });
}

test(
  "a snapshot is made once for all who want it, read in pieces, and has one checksum",
  patient,
  () =>
    withSource(async ({ source, storage, begun, folder, listed }) => {
      assert.deepEqual(listed(), [], "what an earlier process left is gone");
      const [a, b] = await Promise.all([source.acquire(null, never), source.acquire(null, never)]);
      assert.deepEqual(begun, ["sqlite.makeSnapshot"]);
      assert.equal(a.id, b.id);
      assert.match(a.id, /^[0-9a-f]{32}$/);
      assert.deepEqual(a.position, storage.log.last);
      const whole = new Uint8Array(readFileSync(`${folder}/${a.id}.dfdb`));
      assert.equal(a.bytes, whole.length);
      assert.ok(whole.length > 2 * piece && whole.length % piece !== 0, `${whole.length} bytes`);
      const crcs: number[] = [];
      for (let at = 0; at < whole.length; at += piece) {
        const length = Math.min(piece, whole.length - at), read = await a.read(at, length);
        assert.deepEqual(read, whole.subarray(at, at + length));
        crcs.push(crc32(read));
      }
      const expected = checksumOfPieces(crcs), other = checksumOfPieces([...crcs].reverse());
      assert.notEqual(expected, other);
      assert.equal(await a.checksum(), expected);
      await assert.rejects(a.read(whole.length - 1, 2), coded("io_error"));
      a.release();
      a.release();
      await assert.rejects(a.read(0, 1), coded("io_error"));
      assert.equal(source.describe().kept[0]?.readers, 1);
      b.release();
    }, { documents: 500, bytes: 5_000 }),
);

test(
  "a checksum of pieces that nobody read is of the file",
  patient,
  () =>
    withSource(async ({ source, folder }) => {
      const lease = await source.acquire(null, never);
      const whole = new Uint8Array(readFileSync(`${folder}/${lease.id}.dfdb`)), crcs: number[] = [];
      for (let at = 0; at < whole.length; at += piece) crcs.push(crc32(whole.subarray(at, at + piece)));
      await lease.read(piece, piece);
      await lease.read(1, 10);
      assert.equal(await lease.checksum(), checksumOfPieces(crcs));
      lease.release();
    }, { documents: 500, bytes: 5_000 }),
);

test(
  "a snapshot is deleted ten minutes after its last reader, and holds the log until then",
  patient,
  () =>
    withSource(async ({ source, clock, listed, storage }) => {
      assert.equal(source.hold()?.from, undefined);
      const first = await source.acquire(null, never), from = storage.log.last.seq + 1;
      assert.equal(source.hold()?.from, from);
      await clock.advance(10 * limits.snapshotKeepMs);
      assert.deepEqual(listed(), [`${first.id}.dfdb`], "it is being read");
      first.release();
      await clock.advance(limits.snapshotKeepMs - 1);
      const again = await source.acquire(first.id, never);
      assert.equal(again.id, first.id);
      await clock.advance(limits.snapshotKeepMs);
      again.release();
      await clock.advance(limits.snapshotKeepMs - 1);
      assert.equal(source.hold()?.from, from);
      await clock.advance(1);
      assert.deepEqual(listed(), []);
      assert.equal(source.hold()?.from, undefined);
      assert.deepEqual(source.describe(), { making: null, kept: [] });
    }),
);

test(
  "a kept snapshot serves while the log goes on from it; else, or for who is further, a new one is made",
  patient,
  () =>
    withSource(async ({ source, storage, collection, begun }) => {
      const first = await source.acquire(null, never), old = first.position.seq;
      const end = write(storage, collection, "more", 50);
      const same = await source.acquire(null, never);
      assert.equal(same.id, first.id);
      const newer = await source.acquire(first.id, never, seqOf(old + 1));
      assert.notEqual(newer.id, first.id);
      assert.equal(newer.position.seq, end);
      assert.equal(
        (await source.acquire(null, never, seqOf(end + 1000))).id,
        newer.id,
        "nothing newer can be had",
      );
      const last = write(storage, collection, "last", 10);
      while (storage.trimLog({ bytesMax: 0, age: null }));
      assert.equal(storage.log.first, last);
      const third = await source.acquire(first.id, never);
      assert.equal(third.position.seq, last);
      assert.equal(begun.length, 3);
      assert.equal(source.describe().kept.length, 3);
      assert.equal(source.hold()?.from, old + 1);
    }),
);

test(
  "of the snapshots that nobody reads the two newest are kept",
  patient,
  () =>
    withSource(async ({ source, storage, collection, listed }) => {
      const ids: string[] = [];
      const make = async () => {
        const lease = await source.acquire(null, never, write(storage, collection, `w${ids.length}-`, 1));
        ids.push(lease.id);
        return lease;
      };
      const read = await make();
      for (let i = 0; i < 4; i++) (await make()).release();
      const kept = (): string[] => source.describe().kept.map(({ id }) => id);
      assert.deepEqual(kept(), [ids[4], ids[3], ids[0]], "one that is read is never deleted");
      read.release();
      assert.deepEqual(kept(), [ids[4], ids[3]]);
      await source.acquire(ids[3] as string, never);
      assert.deepEqual(listed(), [`${ids[3]}.dfdb`, `${ids[4]}.dfdb`].sort());
    }),
);

test(
  "a disk without room: all who wait are told, and the next wish tries again",
  patient,
  () =>
    withSource(async ({ source, files, listed, begun, storage }) => {
      const bytes = storage.stats().fileBytes;
      files.free = bytes - 1;
      const failures = await Promise.allSettled([source.acquire(null, never), source.acquire(null, never)]);
      for (const failure of failures) {
        assert.ok(failure.status === "rejected");
        assert.equal(failure.reason.code, "disk_full");
        assert.match(failure.reason.message, new RegExp(`\\b${bytes}\\b.*\\b${bytes - 1}\\b`));
      }
      assert.deepEqual(begun, []);
      files.free = bytes;
      (await source.acquire(null, never)).release();
      assert.equal(listed().length, 1);
    }),
);

test(
  "a making that fails leaves nothing, one that is left alone is kept for who comes back",
  patient,
  () =>
    withSource(async (rig) => {
      rig.before = () => {
        throw new DfdbError("io_error", "the disk does not answer");
      };
      await assert.rejects(rig.source.acquire(null, never), coded("io_error"));
      assert.deepEqual(rig.listed(), []);
      const held = gate(), leaving = new AbortController();
      rig.before = () => held.promise;
      const waiting = rig.source.acquire(null, leaving.signal);
      assert.deepEqual(rig.source.describe().making, { sinceMs: rig.clock.wall() });
      assert.equal(rig.source.hold()?.from, rig.storage.log.last.seq + 1);
      leaving.abort(new DfdbError("going_away", "gone"));
      await assert.rejects(waiting, coded("going_away"));
      const back = rig.source.acquire(null, never);
      held.open();
      assert.equal((await back).position.seq, rig.storage.log.last.seq);
      assert.equal(rig.begun.length, 2);
      await assert.rejects(rig.source.acquire(null, leaving.signal), coded("going_away"));
    }),
);

test(
  "closing stops a making, deletes what nobody reads, and the rest when it is released",
  patient,
  () =>
    withSource(async (rig) => {
      const read = await rig.source.acquire(null, never);
      write(rig.storage, rig.collection, "x", 1);
      const held = gate();
      rig.before = () => held.promise;
      const making = rig.source.acquire(null, never, rig.storage.log.last.seq);
      const closed = rig.source.close();
      held.open();
      await assert.rejects(making, coded("closing"));
      await closed;
      assert.deepEqual(rig.listed(), [`${read.id}.dfdb`]);
      await read.read(0, 10);
      read.release();
      await rig.source.close();
      assert.deepEqual(rig.listed(), []);
      await assert.rejects(rig.source.acquire(null, never), coded("closing"));
      assert.equal(rig.clock.timers, 0);
    }),
);
