import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf, nodeIdOf, seqOf } from "../../src/base/ids.ts";
import type { DatabaseId, Seq } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { signal } from "../../src/base/signal.ts";
import type { ClosableResync } from "../../src/node/resync.ts";
import { resync } from "../../src/node/resync.ts";
import { snapshotFile } from "../../src/node/snapshot_file.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Position } from "../../src/storage/log.ts";
import type { Storage } from "../../src/storage/storage.ts";
import type { SnapshotOffer } from "../../src/wire/message.ts";
import { coded, everything, inFolder, patient, plainFiles, testOptions } from "../suites/storage_fixture.ts";
import { gate } from "../suites/runtime_tools.ts";
import type { SmallDisk } from "../tool/resync_rig.ts";
import { database, inlineWorkers, smallDisk, someRandom, stillClock, write } from "../tool/resync_rig.ts";
import { tasks } from "../../src/node/tasks.ts";

const piece = limits.snapshotPieceBytes;

/** A snapshot as a leader offers it. */
interface Sent {
  readonly offer: SnapshotOffer;
  readonly bytes: Uint8Array;
  readonly checksum: number;
}

async function snapshotOf(root: string, storage: Storage, id: string): Promise<Sent> {
  const target = `${root}/leader-${id}.dfdb`;
  const context = { progress: () => {}, hold: <Result>(run: () => Result) => run(), stopped: false };
  const order = { path: storage.stats().path, target, logEntriesMax: 100, logBytesMax: 1e9 };
  const made = tasks["sqlite.makeSnapshot"](order, context);
  const bytes = new Uint8Array(readFileSync(target)),
    file = await snapshotFile(plainFiles, target, bytes.length);
  const checksum = await file.checksum();
  await file.remove();
  const offer = {
    type: "snapshot",
    id: id.repeat(32),
    bytes: bytes.length,
    position: made.position,
    offset: 0,
  } as const;
  return { offer, bytes, checksum };
}

interface Rig {
  readonly root: string;
  readonly leader: Awaited<ReturnType<typeof database>>;
  readonly follower: Storage;
  readonly files: SmallDisk;
  readonly adopted: DatabaseId[];
  readonly tasks: string[];
  /** Thrown in place of the task of this name. */
  faults: Record<string, DfdbError>;
  readonly committed: { emit(position: Position): void };
  /** A new process on the same files. */
  start(): Promise<ClosableResync>;
  /** Files beside the data that belong to a snapshot. */
  left(): string[];
}

function withFollower(run: (rig: Rig) => Promise<void>): Promise<void> {
  return inFolder(async (root) => {
    const leader = await database(`${root}/leader.dfdb`, { documents: 400, bytes: 8_000 });
    const dataPath = `${root}/data.dfdb`,
      follower = await openStorage(testOptions(dataPath, { random: someRandom(5) }));
    const files = smallDisk(), adopted: DatabaseId[] = [], begun: string[] = [];
    const committed = signal<Position>(follower.log.last);
    const workers = inlineWorkers((name) => {
      begun.push(name);
      const fault = rig.faults[name];
      if (fault !== undefined) throw fault;
    });
    const rig: Rig = {
      root,
      leader,
      follower,
      files,
      adopted,
      tasks: begun,
      faults: {},
      committed,
      start: () =>
        resync({
          runtime: { clock: stillClock(), files, workers, crashPoint: () => {} },
          storage: follower,
          dataPath,
          rescuedFolder: `${root}/rescued`,
          nodeId: nodeIdOf("b".repeat(32)),
          logger: silentLogger,
          committed,
          adopt: (id) => void adopted.push(id),
        }),
      left: () => readdirSync(root).filter((name) => name.includes("incoming")).sort(),
    };
    try {
      await run(rig);
    } finally {
      follower.close();
      leader.storage.close();
    }
  });
}

/** Sends the pieces from the offer's offset up to `end`. */
async function send(into: ClosableResync, { offer, bytes }: Sent, end = bytes.length): Promise<void> {
  for (let at = offer.offset; at < end; at += piece) {
    await into.write(at, bytes.subarray(at, Math.min(at + piece, end)));
  }
}

const resumed = (sent: Sent, offset: number): Sent => ({ ...sent, offer: { ...sent.offer, offset } });

test(
  "an empty follower takes a snapshot of several pieces and is a copy; nothing is left beside the data",
  patient,
  () =>
    withFollower(async ({ root, leader, follower, start, adopted, left, tasks }) => {
      const sent = await snapshotOf(root, leader.storage, "a"), into = await start();
      assert.ok(sent.bytes.length > 3 * piece && sent.bytes.length % piece !== 0);
      assert.equal(await into.resumable(), null);
      await into.begin(sent.offer);
      await send(into, sent);
      assert.equal(follower.log.last.seq, 0, "nothing is installed before the whole is checked");
      assert.deepEqual(await into.install(sent.checksum), leader.storage.log.last);
      assert.deepEqual(follower.log.last, leader.storage.log.last);
      assert.deepEqual(follower.databaseId, leader.storage.databaseId);
      assert.deepEqual(adopted, [leader.storage.databaseId]);
      assert.deepEqual(tasks, ["sqlite.checkSnapshot", "sqlite.installSnapshot"]);
      const documents = (storage: Storage) => (everything(storage) as { collections: unknown }).collections;
      assert.deepEqual(documents(follower), documents(leader.storage));
      assert.deepEqual(left(), []);
      assert.equal(await into.resumable(), null);
      await into.close();
    }),
);

test(
  "a transfer that was cut goes on at a piece, in the same process and after a crash",
  patient,
  () =>
    withFollower(async ({ root, leader, follower, start, left }) => {
      const sent = await snapshotOf(root, leader.storage, "a"), { offer, bytes } = sent;
      const first = await start();
      await first.begin(offer);
      await send(first, sent, 2 * piece + 1000);
      assert.deepEqual(await first.resumable(), { id: offer.id, offset: 2 * piece });
      const on = resumed(sent, 2 * piece);
      await first.begin(on.offer);
      await send(first, on, 3 * piece);
      // Killed: what was not made durable may be anything after a power failure, so it does not count.
      const second = await start();
      assert.deepEqual(await second.resumable(), { id: offer.id, offset: 2 * piece });
      const from1 = resumed(sent, piece);
      await assert.rejects(second.begin({ ...offer, offset: 3 * piece }), coded("corrupt"));
      await second.begin(from1.offer);
      await send(second, from1);
      assert.deepEqual(await second.resumable(), {
        id: offer.id,
        offset: Math.floor(bytes.length / piece) * piece,
      }, "one piece at least comes again");
      await second.begin({ ...offer, offset: Math.floor(bytes.length / piece) * piece });
      await send(second, resumed(sent, Math.floor(bytes.length / piece) * piece));
      await second.install(sent.checksum);
      assert.deepEqual(follower.log.last, leader.storage.log.last);
      assert.deepEqual(left(), []);
    }),
);

test(
  "what a crash left and is torn, foreign or passed is discarded; what is cut short resumes where it ends",
  patient,
  () =>
    withFollower(async ({ root, leader, start, left, follower, committed }) => {
      const sent = await snapshotOf(root, leader.storage, "a"), { offer } = sent;
      const path = `${root}/data.dfdb.snapshot.incoming`;
      const again = async (): Promise<void> => {
        const into = await start();
        await into.begin(offer);
        await send(into, sent, 2 * piece);
        await into.begin(resumed(sent, 2 * piece).offer);
        await into.close();
      };
      await again();
      truncateSync(path, piece + 5);
      assert.deepEqual(await (await start()).resumable(), { id: offer.id, offset: piece });
      await again();
      writeFileSync(`${path}.json`, "{");
      assert.equal(await (await start()).resumable(), null);
      assert.deepEqual(left(), []);
      writeFileSync(path, "no description");
      assert.equal(await (await start()).resumable(), null);
      assert.deepEqual(left(), []);
      // It catches up by the log after all.
      await again();
      const live = await start();
      const entries = leader.storage.log.entries(seqOf(0), { bytesMax: 1e9, entriesMax: 1e6 });
      assert.ok(entries !== "compacted");
      const apply = (some: typeof entries): void => {
        committed.emit(follower.write((tx) => some.map((entry) => tx.apply(entry)).at(-1) as Position));
      };
      apply(entries.slice(0, -1));
      assert.notEqual(await live.resumable(), null);
      apply(entries.slice(-1));
      assert.equal(await live.resumable(), null);
      await live.close();
      assert.deepEqual([follower.log.last, left()], [offer.position, []]);
    }),
);

test(
  "bytes that are not as sent, holes and a wrong end are corrupt: discarded, the data untouched",
  patient,
  () =>
    withFollower(async ({ root, leader, start, left, follower, tasks }) => {
      const sent = await snapshotOf(root, leader.storage, "a"), into = await start();
      await assert.rejects(into.write(0, new Uint8Array(1)), coded("corrupt"));
      await into.begin(sent.offer);
      await assert.rejects(into.write(piece, new Uint8Array(1)), coded("corrupt"));
      await assert.rejects(into.install(sent.checksum), coded("corrupt"));
      assert.deepEqual(left(), []);
      const damaged = { ...sent, bytes: sent.bytes.slice() };
      damaged.bytes[2 * piece + 7]! ^= 1;
      await into.begin(sent.offer);
      await send(into, damaged);
      await assert.rejects(into.install(sent.checksum), coded("corrupt"));
      assert.deepEqual(left(), []);
      assert.deepEqual(tasks, [], "no worker looks at it before the checksum is right");
      await into.begin({ ...sent.offer, position: { ...sent.offer.position, chain: 1 } });
      await send(into, sent);
      await assert.rejects(into.install(sent.checksum), coded("corrupt"));
      assert.deepEqual(left(), []);
      assert.equal(follower.log.last.seq, 0);
    }),
);

test(
  "a disk without room refuses before anything is written; what was received survives a full disk",
  patient,
  () =>
    withFollower(async (rig) => {
      const sent = await snapshotOf(rig.root, rig.leader.storage, "a"), into = await rig.start();
      rig.files.free = 2 * sent.bytes.length;
      await assert.rejects(into.begin(sent.offer), coded("disk_full"));
      assert.deepEqual(rig.left(), []);
      rig.files.free = null;
      await into.begin(sent.offer);
      await send(into, sent, 2 * piece);
      rig.files.full = true;
      await assert.rejects(into.write(2 * piece, new Uint8Array(10)), coded("disk_full"));
      rig.files.full = false;
      assert.deepEqual(await into.resumable(), { id: sent.offer.id, offset: 2 * piece });
      const on = resumed(sent, 2 * piece);
      await into.begin(on.offer);
      await send(into, on);
      rig.faults = { "sqlite.installSnapshot": new DfdbError("disk_full", "no room for the WAL") };
      await assert.rejects(into.install(sent.checksum), coded("disk_full"));
      assert.equal(rig.follower.log.last.seq, 0, "the old content is there");
      rig.faults = {};
      const retry = await into.resumable();
      assert.ok(retry !== null && retry.offset >= 3 * piece, "not received anew");
      const end = resumed(sent, retry.offset);
      await into.begin(end.offer);
      await send(into, end);
      await into.install(sent.checksum);
      assert.deepEqual(rig.follower.log.last, rig.leader.storage.log.last);
    }),
);

test(
  "what is not needed any more is deleted before the next one begins, never together with it",
  patient,
  () =>
    withFollower(async ({ root, leader, follower, files, committed, start, left }) => {
      const first = await snapshotOf(root, leader.storage, "a"), into = await start();
      await into.begin(first.offer);
      await send(into, first);
      await into.install(first.checksum);
      // Left by a transfer that was cut off, and reached by the log since.
      write(leader.storage, leader.collection, "x", 1);
      const cut = await snapshotOf(root, leader.storage, "b");
      await into.begin(cut.offer);
      await send(into, cut, piece);
      const reached = leader.storage.log.entries(follower.log.last.seq, { bytesMax: 1e6, entriesMax: 10 });
      assert.ok(reached !== "compacted");
      for (const entry of reached) follower.write((tx) => tx.apply(entry));
      write(leader.storage, leader.collection, "y", 1);
      const next = await snapshotOf(root, leader.storage, "c"), held = gate(), remove = files.remove;
      const opened = files.openWrite;
      const slow = (path: string): Promise<void> => {
        Object.assign(files, { remove });
        return held.promise.then(() => remove(path));
      };
      const openWrite = (path: string, how: { readonly truncate: boolean }): ReturnType<typeof opened> =>
        opened(path, how).finally(() => held.open());
      Object.assign(files, { remove: slow, openWrite });
      committed.emit(follower.log.last);
      const begun = into.begin(next.offer);
      for (let i = 0; i < 20; i++) await files.size(`${root}/data.dfdb`);
      held.open();
      await begun;
      await send(into, next);
      await into.install(next.checksum);
      assert.deepEqual([follower.log.last, left()], [leader.storage.log.last, []]);
    }),
);

test(
  "what is rescued does not have to be in a snapshot; what is written afterwards does",
  patient,
  () =>
    withFollower(async ({ root, leader, start, follower }) => {
      const shared = await snapshotOf(root, leader.storage, "a"), into = await start();
      await into.begin(shared.offer);
      await send(into, shared);
      await into.install(shared.checksum);
      write(follower, leader.collection, "own", 2);
      await assert.rejects(into.begin(shared.offer), coded("conflict"));
      await into.rescue(shared.offer.position.seq);
      await into.begin(shared.offer);
      write(follower, leader.collection, "later", 1);
      await assert.rejects(into.begin(shared.offer), coded("conflict"));
      await into.rescue(shared.offer.position.seq);
      await into.begin(shared.offer);
      await send(into, shared);
      await into.install(shared.checksum);
      assert.deepEqual(follower.log.last, leader.storage.log.last);
    }),
);

test(
  "a snapshot that is older than this node in the same history is refused, one of another history is not",
  patient,
  () =>
    withFollower(async ({ root, leader, start, follower }) => {
      const old = await snapshotOf(root, leader.storage, "a");
      write(leader.storage, leader.collection, "x", 10);
      const newer = await snapshotOf(root, leader.storage, "b"), into = await start();
      await into.begin(newer.offer);
      await send(into, newer);
      await into.install(newer.checksum);
      await assert.rejects(into.begin(old.offer), coded("conflict"));
      while (follower.trimLog({ bytesMax: 0, age: null }));
      assert.equal(follower.log.at(old.offer.position.seq), "compacted");
      await assert.rejects(
        into.begin(old.offer),
        coded("conflict"),
        "its run says that it is the same history",
      );
      // Longer by entries of its own: not the same history any more, although the other one ends earlier.
      write(follower, leader.collection, "own", 3);
      const { seq }: { seq: Seq } = follower.log.last;
      write(leader.storage, leader.collection, "other", 1);
      const other = await snapshotOf(root, leader.storage, "c");
      assert.ok(other.offer.position.seq < seq);
      await into.begin(other.offer);
      await send(into, other);
      await into.install(other.checksum);
      assert.deepEqual(follower.log.last, leader.storage.log.last);
      assert.notEqual(follower.databaseId, databaseIdOf("0".repeat(32)));
      assert.equal(existsSync(`${root}/data.dfdb`) && statSync(`${root}/data.dfdb`).size > 0, true);
    }),
);
