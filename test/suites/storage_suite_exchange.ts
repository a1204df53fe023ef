import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { runTask } from "../../src/node/tasks.ts";
import type { Seq } from "../../src/base/ids.ts";
import { databaseIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import { checkpointFile } from "../../src/storage/sqlite/checkpoint_task.ts";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import {
  beginTerm,
  coded,
  everything,
  inFolder,
  patient,
  put,
  start,
  testOptions,
  wall,
} from "./storage_fixture.ts";
import type { StorageOpeners } from "./storage_suite.ts";
import { all, fillSample, snapshotOf } from "./storage_suite_snapshot.ts";

interface Rig {
  readonly leader: Storage;
  readonly follower: Storage;
  /** Data file of the follower. */
  readonly target: string;
  /** A snapshot of the leader as it was when the rig was made. */
  readonly source: string;
  /** Of a snapshot into the follower. */
  install(source?: string): Promise<void>;
}

/** `Storage.exchange`, with the installing of snapshots. */
export function exchangeSuite(openers: StorageOpeners): void {
  const it = (name: string, run: (rig: Rig, folder: string) => Promise<void> | void): void =>
    void test(`exchange: ${name}`, patient, () =>
      inFolder(async (folder) => {
        const { openStorage } = openers,
          path = join(folder, "leader.dfdb"),
          target = join(folder, "data.dfdb");
        const leader = await openStorage(testOptions(path));
        fillSample(leader);
        const source = join(folder, "snapshot.dfdb");
        snapshotOf(path, source, { logEntriesMax: 12 });
        // Of the same database, at another place of its history.
        snapshotOf(path, target);
        const follower = await openStorage(testOptions(target));
        const install = (from = source) =>
          follower.exchange(async () => {
            await installSnapshot({ source: from, target });
          });
        try {
          await run({ leader, follower, target, source, install }, folder);
        } finally {
          follower.close();
          leader.close();
        }
      }));
  replacing(openers, it);
  failing(it);
  freeing(openers, it);
}

type It = (name: string, run: (rig: Rig, folder: string) => Promise<void> | void) => void;

/** All that is to be the same after a snapshot: the begin of the log is not. */
function state(storage: Storage): unknown {
  const { entries: _, ...rest } = everything(storage) as { entries: unknown };
  return { ...rest, id: storage.databaseId };
}

/** Makes the content differ: another collection under a number that the snapshot has not, more entries, a term. */
function goAstray(follower: Storage): void {
  follower.write((tx) => {
    tx.append([beginTerm(9, "9")], wall);
    const collection = tx.newCollectionNumber();
    tx.append([{ kind: "createCollection", collection, name: "astray" }], wall);
    for (let i = 0; i < 50; i++) {
      tx.append([put(collection, `a${i}`, 0, `{"pad":"${"z".repeat(3000)}"}`)], wall);
    }
  });
}

function replacing({ openStorage }: StorageOpeners, it: It): void {
  it("reads see the old content to the end, then the new; writing goes on where the snapshot ends", async (rig) => {
    const { leader, follower, target, source } = rig, snapshot = state(leader), at = leader.log.last;
    goAstray(follower);
    const old = everything(follower), astray = follower.read((view) => view.collection("astray")?.number);
    // Another connection in the middle of a result.
    const reader = new DatabaseSync(target, { readOnly: true });
    const rows = reader.prepare(`SELECT id FROM docs_${astray} ORDER BY row`).iterate();
    const ids = [rows.next().value?.["id"]];
    let during = 0;
    const look = (): void => {
      assert.ok(isDeepStrictEqual(everything(follower), old), "the old content");
      assert.throws(() => follower.write(() => {}), coded("busy"));
      assert.throws(() => follower.begin(), coded("busy"));
      assert.throws(() => follower.adoptDatabaseId(databaseIdOf("d".repeat(32))), coded("busy"));
      assert.throws(() => follower.close(), coded("busy"));
      assert.equal(follower.trimLog({ bytesMax: 0, age: null }), false);
      assert.deepEqual([follower.reclaim(), follower.checkpointIfDue()], [false, false]);
      during++;
    };
    await follower.exchange(async () => {
      look();
      await installSnapshot({ source, target });
      await assert.rejects(follower.exchange(() => Promise.resolve()), coded("busy"));
      look();
    });
    assert.equal(during, 2);
    assert.ok(isDeepStrictEqual(state(follower), snapshot), "the new content");
    for (const { id } of rows) ids.push(id);
    reader.close();
    assert.deepEqual(ids, Array.from({ length: 50 }, (_, i) => `a${i}`), "the open result came to its end");

    const { log } = follower;
    assert.deepEqual([log.first, log.last], [at.seq - 11, at]);
    assert.deepEqual(log.at(seqOf(at.seq - 12)), leader.log.at(seqOf(at.seq - 12)));
    assert.equal(log.at(seqOf(at.seq + 3)), "ahead", "nothing is remembered of the other history");
    assert.equal(log.entries(seqOf(at.seq - 13), all), "compacted");
    const orders = leader.read((view) => view.collection("orders")?.number) as never;
    leader.write((tx) => {
      tx.append([put(orders, "next", 0)], wall);
      tx.append([{ kind: "createCollection", collection: tx.newCollectionNumber(), name: "New" }], wall);
    });
    for (const entry of leader.log.entries(at.seq, all) as readonly LogEntry[]) {
      follower.write((tx) => tx.apply(entry));
    }
    assert.deepEqual(state(follower), state(leader));
    const after = seqOf(log.first - 1);
    assert.deepEqual(log.entries(after, all), leader.log.entries(after, all));
    const check = new DatabaseSync(target, { readOnly: true });
    assert.equal(check.prepare("PRAGMA quick_check").get()?.["quick_check"], "ok");
    assert.equal(check.prepare("PRAGMA journal_mode").get()?.["journal_mode"], "wal");
    check.close();
    const expected = everything(follower);
    follower.close();
    const again = await openStorage(testOptions(target, { known: () => false }));
    assert.deepEqual(everything(again), expected);
    again.close();
  });

  it("what others see of the new content may be told when reads here see it, too", async (rig) => {
    const { leader, follower, source, target } = rig, at = leader.log.last;
    goAstray(follower);
    const { last } = follower.log, before = follower.log.at(seqOf(last.seq - 20)) as Position;
    assert.equal(follower.untilSeen(at), null, "nothing is exchanged");
    const told: Position[] = [];
    let kept: (Promise<void> | null)[] = [];
    await follower.exchange(async () => {
      assert.deepEqual([last, before, origin].map((own) => follower.untilSeen(own)), [null, null, null]);
      await installSnapshot({ source, target });
      const unknown = [{ ...before, chain: before.chain ^ 1 }, { ...last, seq: seqOf(last.seq + 1) }];
      kept = unknown.map((position) => follower.untilSeen(position));
      for (const until of kept) void until?.then(() => told.push(follower.log.last));
      await new Promise<void>((resolve) => void currentRuntime().clock.macrotask(resolve));
      assert.deepEqual(told, []);
    });
    await Promise.all(kept);
    assert.deepEqual(told, [at, at]);
    assert.equal(follower.untilSeen(last), null);
    const failed = new Error("not today");
    let until: Promise<void> | null = null;
    await assert.rejects(
      follower.exchange(() => {
        until = follower.untilSeen(last);
        return Promise.reject(failed);
      }),
      failed,
    );
    await (until ?? assert.fail("it is not known here"));
  });

  it("an empty database takes over the id with the content", async ({ leader, source }, folder) => {
    const target = join(folder, "empty.dfdb");
    const empty = await openStorage(
      testOptions(target, { random: { bytes: (n) => new Uint8Array(n), float: () => 0 } }),
    );
    assert.notEqual(empty.databaseId, leader.databaseId);
    await empty.exchange(async () => void await installSnapshot({ source, target }));
    assert.deepEqual(state(empty), state(leader));
    empty.close();
  });

  it("an older or a smaller state also replaces all there is", async (rig, folder) => {
    const { follower, leader, install } = rig, path = join(folder, "none.dfdb");
    goAstray(follower);
    const first = await openStorage(testOptions(path)), nothing = join(folder, "nothing.dfdb");
    snapshotOf(path, nothing);
    await install(nothing);
    assert.deepEqual(state(follower), state(first));
    assert.equal(follower.log.last.seq, 0);
    start(follower, "fresh");
    await install();
    assert.deepEqual(state(follower), state(leader));
    first.close();
  });

  it("the file does not count as closed until it is", async ({ follower, target, install }, folder) => {
    const copy = join(folder, "copy.dfdb"), taken = { known: () => false };
    goAstray(follower);
    await install();
    const { left } = checkpointFile({ path: target });
    assert.equal(left, 0);
    copyFileSync(target, copy);
    await assert.rejects(openStorage(testOptions(copy, taken)), coded("unclean_copy"));
    follower.close();
    copyFileSync(target, copy);
    await openStorage(testOptions(copy, taken)).then((storage) => storage.close());
  });
}

function failing(it: It): void {
  it("when it fails, or nothing is replaced, all is as before and writing goes on", async ({ follower, target }) => {
    goAstray(follower);
    const before = everything(follower), failed = new Error("not today");
    await assert.rejects(follower.exchange(() => Promise.reject(failed)), failed);
    await follower.exchange(() => Promise.resolve());
    assert.deepEqual(everything(follower), before);
    const missing = follower.exchange(async () =>
      void await installSnapshot({ source: `${target}.none`, target })
    );
    await assert.rejects(missing, coded("io_error"));
    const other = new DatabaseSync(target);
    other.exec("BEGIN IMMEDIATE");
    const source = `${target}.source`;
    snapshotOf(target, source);
    await assert.rejects(
      follower.exchange(async () => void await installSnapshot({ source, target })),
      coded("data_locked"),
    );
    other.close();
    assert.deepEqual(everything(follower), before);
    assert.ok(follower.write((tx) => tx.append([beginTerm(10, "a")], wall)).seq > 0);
  });

  it("content that is not ours is not touched any more", async ({ follower, target }, folder) => {
    const source = join(folder, "foreign.dfdb");
    writeFileSync(source, "");
    const foreign = new DatabaseSync(source);
    foreign.exec("CREATE TABLE t (a)");
    foreign.close();
    const install = follower.exchange(async () => void await installSnapshot({ source, target }));
    await assert.rejects(install, coded("data_corrupt"));
    assert.throws(() => follower.read(() => {}), coded("data_corrupt"));
    assert.throws(() => follower.write(() => {}), coded("data_corrupt"));
  });
}

function freeing({ openStorage }: StorageOpeners, it: It): void {
  it("a large install and the moving of its WAL leave the main thread free", async ({ leader }, folder) => {
    const path = join(folder, "large.dfdb"), source = join(folder, "s.dfdb"), target = join(folder, "t.dfdb");
    const large = await openStorage(testOptions(path)), c = start(large);
    for (let part = 0; part < 54; part++) {
      large.write((tx) => {
        for (let i = 0; i < 100; i++) {
          tx.append([put(c, `${part}-${i}`, 0, `{"pad":"${"q".repeat(13_000)}"}`)], wall);
        }
      });
    }
    const runtime = currentRuntime(), { workers, clock } = runtime;
    let over = false, ticks = 0, stopped = () => {};
    const tick = (): void => {
      ticks++;
      if (over) stopped();
      else clock.timer(2, tick);
    };
    tick();
    // Each takes many times as long as a tick, and ticks come only where this thread does something else meanwhile.
    const aside = async <Done>(what: string, done: Promise<Done>): Promise<Done> => {
      const before = ticks, result = await done;
      assert.ok(ticks - before >= 3, `${what}: ${ticks - before} ticks`);
      return result;
    };
    const order = { path, target: source, logEntriesMax: 10, logBytesMax: 1e6 };
    const { bytes, position } = await aside(
      "making",
      runTask(workers, "sqlite.makeSnapshot", order),
    );
    assert.ok(bytes > 7e7, `${bytes} bytes`);
    const databaseId = large.databaseId;
    const found = await runTask(workers, "sqlite.checkSnapshot", { path: source, databaseId });
    assert.deepEqual(found, { bytes, position, databaseId });
    const live = await openStorage(testOptions(target));
    await live.exchange(async () =>
      void await aside("installing", runTask(workers, "sqlite.installSnapshot", { source, target }))
    );
    assert.deepEqual(live.log.last, large.log.last);
    // Far more than the main thread moves at once.
    assert.equal(live.checkpointIfDue(), true);
    const moved = await aside("moving", runTask(workers, "sqlite.checkpoint", { path: target }));
    assert.ok(moved.pages >= bytes / limits.pageBytes && moved.left === 0, JSON.stringify(moved));
    const verified = await runTask(workers, "sqlite.verifyLog", { path: target });
    assert.deepEqual(verified, { first: live.log.first, last: position.seq, entries: 10, bad: null });
    const copy = { path: target, target: join(folder, "c.dfdb") };
    const copied = await aside("copying", runTask(workers, "sqlite.copyDatabase", copy));
    assert.ok(copied.bytes > 7e7);
    over = true;
    await new Promise<void>((resolve) => (stopped = resolve));
    assert.ok((leader.log.first as Seq) === 1);
    live.close();
    large.close();
  });
}
