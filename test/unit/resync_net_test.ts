/** Snapshots, rescues, large entries: leader and follower over a net in memory, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { FollowerServer } from "../../src/replication/types.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { FakeResync } from "../tool/fake_resync.ts";
import { FakeSnapshots } from "../tool/fake_snapshots.ts";
import { type PartOptions, Rig, type TestFollower, theDatabase } from "../tool/replication_rig.ts";

const piece = limits.snapshotPieceBytes;

interface Pair {
  readonly rig: Rig;
  readonly leader: FakeDatabase;
  readonly server: FollowerServer;
  readonly snapshots: FakeSnapshots;
  readonly resync: FakeResync;
  readonly follower: TestFollower;
  readonly database: FakeDatabase;
}

/** A leader whose log begins late, and a follower of it. */
async function pair(leader: FakeDatabase, database: FakeDatabase, options: PartOptions = {}): Promise<Pair> {
  const rig = new Rig(), snapshots = new FakeSnapshots(leader), resync = new FakeResync(database, snapshots);
  const server = await rig.lead(leader, { snapshots, tuning: options.tuning ?? {} });
  const follower = rig.follow(database, { resync, ...options });
  return { rig, leader, server, snapshots, resync, follower, database };
}

async function close({ rig, follower, server, snapshots, resync }: Pair): Promise<void> {
  await Promise.all([follower.following.close(), server.close()]);
  assert.equal(rig.clock.timers, 0, "every timer is released");
  assert.equal(snapshots.leases, 0, "every lease is released");
  assert.ok(resync.mostAtOnce <= 1, "one call at a time");
}

function trimmed(entries: number): FakeDatabase {
  const leader = new Rig().database(entries);
  leader.trim(entries - 5);
  return leader;
}

test("an empty follower of a trimmed log installs a snapshot, then streams, without a pause", async () => {
  const all = await pair(trimmed(100), new FakeDatabase(), { databaseId: databaseIdOf("e".repeat(32)) });
  const { rig, leader, follower, resync } = all;
  await rig.clock.until(() => follower.following.status().state === "streaming", "streams", 50);
  const status = follower.following.status();
  assert.equal(follower.databaseId, theDatabase);
  assert.equal(status.snapshotsInstalled, 1);
  assert.equal(status.rescues, 0);
  assert.equal(status.connects, 2);
  assert.equal(status.snapshot, null);
  assert.equal(status.lastError, null);
  assert.deepEqual(resync.calls, [
    "resumable",
    "begin at 0",
    "write at 0",
    `write at ${piece}`,
    `write at ${2 * piece}`,
    "install",
  ]);
  leader.write(5);
  await rig.caughtUp(leader, follower);
  assert.ok(!rig.lines.some((line) => line.startsWith("warn")), rig.lines.join("; "));
  await close(all);
});

test("a follower behind the window takes a snapshot; what it had is the leader's and is not rescued", async () => {
  const leader = trimmed(100), all = await pair(leader, new Rig().database(10));
  await all.rig.caughtUp(leader, all.follower);
  assert.equal(all.follower.following.status().rescues, 0);
  assert.equal(all.follower.following.status().snapshotsInstalled, 1);
  await close(all);
});

test("a diverged follower rescues its tail, and only then takes the leader's state", async () => {
  const base = new Rig().database(50), leader = base.copy(), mine = base.copy(40);
  mine.lead(1, runOf("2"));
  mine.write(30);
  leader.lead(2, runOf("3"));
  leader.write(10);
  const all = await pair(leader, mine), { rig, follower, resync } = all, before = mine.last;
  await rig.caughtUp(leader, follower);
  assert.deepEqual(resync.rescued, [{ common: seqOf(40 + 1 - 1), last: before }]);
  assert.deepEqual(resync.calls.slice(0, 3), ["rescue 40", "resumable", "begin at 0"]);
  assert.equal(follower.following.status().rescues, 1);
  await close(all);
});

test("no room for the rescue: the state is shown, attempts go on, nothing is discarded", async () => {
  const base = new Rig().database(50), leader = base.copy(), mine = base.copy();
  mine.lead(1, runOf("2"));
  leader.lead(2, runOf("3"));
  const all = await pair(leader, mine), { rig, follower, resync } = all, before = mine.last;
  for (let round = 0; round < 3; round++) {
    resync.failures.set("rescue", new DfdbError("disk_full", "no space left"));
    await rig.clock.until(() => !resync.failures.has("rescue"), "tried", 10_000);
    await rig.clock.settle();
    assert.equal(follower.following.status().state, "rescuing");
    assert.equal(follower.following.status().lastError?.code, "disk_full");
    assert.deepEqual(mine.last, before);
  }
  await rig.caughtUp(leader, follower);
  assert.deepEqual(resync.calls.filter((call) => call.startsWith("begin")), ["begin at 0"]);
  await close(all);
});

test("a snapshot that is cut off is resumed, however often", async () => {
  const leader = trimmed(100), all = await pair(leader, new FakeDatabase());
  const { rig, follower, snapshots, resync } = all, connect = rig.net.connect.bind(rig.net);
  snapshots.bytes = 10 * piece + 77;
  rig.net.line.toClient.bytesLeft = 2.5 * piece;
  rig.net.connect = async (options) => {
    const connection = await connect(options);
    if (rig.net.lines.length <= 4) rig.net.line.toClient.bytesLeft = 2.5 * piece;
    return connection;
  };
  await rig.caughtUp(leader, follower);
  assert.equal(snapshots.made.length, 1, "always the same one");
  assert.deepEqual(
    resync.calls.filter((call) => call.startsWith("begin")),
    [0, 2, 4, 6, 8].map((at) => `begin at ${at * piece}`),
  );
  await close(all);
});

test("a diverged follower that was far ahead resumes the snapshot that is cut off, too", async () => {
  const base = new Rig().database(50), leader = base.copy(), mine = base.copy();
  mine.lead(1, runOf("2"));
  mine.write(500);
  leader.lead(2, runOf("3"));
  const all = await pair(leader, mine), { rig, follower, snapshots } = all;
  const connect = rig.net.connect.bind(rig.net);
  snapshots.bytes = 6 * piece;
  rig.net.line.toClient.bytesLeft = 2.5 * piece;
  rig.net.connect = async (options) => {
    const connection = await connect(options);
    if (rig.net.lines.length <= 3) rig.net.line.toClient.bytesLeft = 2.5 * piece;
    return connection;
  };
  await rig.caughtUp(leader, follower);
  assert.deepEqual([snapshots.made.length, snapshots.resumed.filter((id) => id !== null).length], [1, 2]);
  await close(all);
});

test("a follower that differs inside one run takes a new copy when it is told to, and keeps the old one whole", async () => {
  const leader = trimmed(100), database = leader.copy(60), all = await pair(leader, database);
  const { rig, follower, resync, server } = all;
  await rig.caughtUp(leader, follower);
  await follower.following.close();
  const damaged = leader.copy(60);
  damaged.write(3, 33);
  leader.write(10);
  const asked = new FakeResync(damaged, all.snapshots), second = rig.follow(damaged, { resync: asked });
  await rig.failed(second, "corrupt");
  assert.deepEqual([asked.calls, second.following.status().state], [[], "corrupt"]);
  second.following.resync();
  await rig.caughtUp(leader, second);
  assert.equal(asked.calls[0], "rescue everything");
  assert.equal(second.following.status().snapshotsInstalled, 1);
  assert.deepEqual([resync.calls, server.refused()], [[], []]);
  await close({ ...all, follower: second });
});

test("a corrupt snapshot is not installed, and another one is taken", async () => {
  const leader = trimmed(100), all = await pair(leader, new FakeDatabase()), { rig, follower, resync } = all;
  resync.garble = true;
  await rig.failed(follower, "corrupt");
  assert.equal(follower.following.status().state, "snapshot");
  assert.equal(follower.database.last.seq, 0);
  resync.garble = false;
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().snapshotsInstalled, 1);
  await close(all);
});

test("a leader that has no snapshot to give is asked again", async () => {
  const leader = trimmed(100), rig = new Rig(), snapshots = new FakeSnapshots(leader);
  snapshots.failure = new DfdbError("disk_full", "no space left at the leader");
  const server = await rig.lead(leader, { snapshots }), database = new FakeDatabase();
  const resync = new FakeResync(database, snapshots), follower = rig.follow(database, { resync });
  assert.equal(await rig.failed(follower, "disk_full"), "no space left at the leader");
  assert.equal(follower.following.status().state, "snapshot");
  await rig.caughtUp(leader, follower);
  await close({ rig, leader, server, snapshots, resync, follower, database });
});

test("no room here: what is under way ends, and it is tried again", async () => {
  const leader = trimmed(100), all = await pair(leader, new FakeDatabase()), { rig, follower, resync } = all;
  resync.failures.set("begin", new DfdbError("disk_full", "no space left"));
  await rig.failed(follower, "disk_full");
  assert.deepEqual(resync.calls, ["resumable", "begin at 0"], "no write after it");
  await rig.caughtUp(leader, follower);
  await close(all);
});

test("while a snapshot waits, is written slowly or is installed, both sides know that the other lives", async () => {
  const leader = trimmed(100), all = await pair(leader, new FakeDatabase());
  const { rig, follower, snapshots, resync, server } = all;
  snapshots.bytes = 12 * piece;
  for (const call of ["begin", "write", "install"] as const) {
    resync.hanging.add(call);
    await rig.clock.until(() => resync.calls.at(-1)?.startsWith(call) === true, call, 10_000);
    await rig.clock.advance(120_000);
    assert.equal(follower.following.status().connects, 1, call);
    assert.equal(server.followers().length, 1, call);
    assert.equal(follower.following.status().state, call === "install" ? "installing" : "snapshot");
    const received = follower.following.status().snapshot?.received ?? 0;
    if (call !== "install") assert.ok(received <= 4 * piece, `${received} bytes wait`);
    resync.release(call);
  }
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().connects, 2);
  await close(all);
});

test("the line breaks while it is installed: the new position is used at once", async () => {
  const leader = trimmed(100), all = await pair(leader, new FakeDatabase()), { rig, follower, resync } = all;
  resync.hanging.add("install");
  await rig.clock.until(() => resync.calls.includes("install"), "installs");
  rig.net.line.cut();
  await rig.clock.advance(60_000);
  assert.equal(rig.net.lines.length, 1, "no attempt meanwhile");
  assert.equal(follower.following.status().state, "installing");
  resync.release("install");
  await rig.clock.until(() => follower.following.status().state === "streaming", "streams", 50);
  await close(all);
});

test("closed in the middle: waits for the call that was made, makes no other", async () => {
  const all = await pair(trimmed(100), new FakeDatabase()), { rig, follower, resync } = all;
  resync.hanging.add("write");
  await rig.clock.until(() => resync.calls.includes("write at 0"), "writes");
  let closed = false;
  const closing = follower.following.close().then(() => void (closed = true));
  await rig.clock.advance(5_000);
  assert.equal(closed, false);
  resync.release("write");
  await rig.clock.settle();
  await closing;
  assert.deepEqual(resync.calls, ["resumable", "begin at 0", "write at 0"]);
  await close(all);
});

test("two failed applies at one entry: everything is kept, and a snapshot replaces it", async () => {
  const leader = new Rig().database(20), mine = leader.copy(10), before = mine.last;
  let broken = true;
  const apply = (entries: readonly LogEntry[]): Position => {
    if (broken) throw new DfdbError("diverged", "document 7 is not what it was");
    return mine.apply(entries);
  };
  const all = await pair(leader, mine, { apply }), { rig, follower, resync } = all;
  await rig.clock.until(() => follower.following.status().snapshotsInstalled === 1, "installed");
  assert.deepEqual(resync.rescued, [{ common: null, last: before }]);
  broken = false;
  leader.write(1);
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().lastError?.code, "diverged", "it stays");
  await close(all);
});

test("a new copy on an operator's wish", async () => {
  const leader = new Rig().database(20),
    all = await pair(leader, new FakeDatabase()),
    { rig, follower } = all;
  await rig.caughtUp(leader, follower);
  leader.write(3);
  follower.following.resync();
  await rig.clock.until(() => follower.following.status().snapshotsInstalled === 1, "installed", 50);
  await rig.clock.until(() => follower.following.status().state === "streaming", "streams", 50);
  assert.equal(follower.following.status().rescues, 1);
  assert.deepEqual(follower.database.last, leader.last);
  await close(all);
});

test("an entry of 20 MiB travels in parts", async () => {
  const leader = new Rig().database(3), all = await pair(leader, new FakeDatabase()), { rig, follower } = all;
  await rig.caughtUp(leader, follower);
  leader.write(1, 20 * 1024 * 1024 + 1);
  leader.write(50);
  leader.write(2, limits.partBytes + 1);
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().connects, 1);
  assert.equal(follower.following.status().gapsDetected, 0);
  await close(all);
});

test("an entry in parts that is cut off comes again, and is applied once", async () => {
  const leader = new Rig().database(3), all = await pair(leader, new FakeDatabase()), { rig, follower } = all;
  await rig.caughtUp(leader, follower);
  for (const share of [0.1, 0.5, 0.99]) {
    const size = 3 * limits.partBytes;
    rig.net.line.toClient.bytesLeft = Math.round(size * share);
    leader.write(1, size);
    await rig.caughtUp(leader, follower);
  }
  assert.equal(follower.following.status().opsApplied, leader.last.seq);
  await close(all);
});

test("an apply that takes a minute costs neither the connection nor an acknowledgement too early", async () => {
  const leader = new Rig().database(3), mine = new FakeDatabase(), rig = new Rig();
  let waiting: (() => void)[] = [], slow = false;
  const apply = (entries: readonly LogEntry[]): Position | Promise<Position> => {
    if (!slow) return mine.apply(entries);
    return new Promise((resolve) => void waiting.push(() => resolve(mine.apply(entries))));
  };
  const server = await rig.lead(leader), follower = rig.follow(mine, { apply });
  await rig.caughtUp(leader, follower);
  slow = true;
  const before = mine.last.seq;
  leader.write(1);
  await rig.clock.settle();
  leader.write(8_000, 1_000);
  await rig.clock.advance(60_000);
  assert.equal(waiting.length, 1);
  assert.equal(server.followers()[0]?.ackedSeq, before);
  assert.equal(follower.following.status().connects, 1);
  slow = false;
  for (const resume of waiting.splice(0)) resume();
  await rig.caughtUp(leader, follower);
  await rig.clock.settle();
  assert.equal(server.followers()[0]?.ackedSeq, leader.last.seq);
  // The line breaks during a slow apply: the next hello tells of what it left.
  slow = true;
  leader.write(1);
  await rig.clock.settle();
  rig.net.line.cut();
  await rig.clock.advance(20_000);
  assert.equal(rig.net.lines.length, 1);
  slow = false;
  for (const resume of waiting.splice(0)) resume();
  await rig.clock.until(() => follower.following.status().state === "streaming", "streams", 50);
  assert.equal(follower.following.status().opsApplied, leader.last.seq, "each entry once");
  waiting = [];
  await Promise.all([follower.following.close(), server.close()]);
  assert.equal(rig.clock.timers, 0);
});

test("held entries wait, whatever comes, and the connection lives on", async () => {
  const leader = new Rig().database(3), all = await pair(leader, new FakeDatabase());
  const { rig, follower, server } = all;
  await rig.caughtUp(leader, follower);
  const at = leader.last.seq;
  follower.following.holdAfter(seqOf(at + 2));
  leader.write(9_000, 1_000);
  await rig.clock.advance(60_000);
  assert.equal(follower.database.last.seq, at + 2);
  assert.equal(follower.following.status().connects, 1);
  assert.equal(server.followers()[0]?.ackedSeq, at + 2);
  follower.following.holdAfter(null);
  await rig.caughtUp(leader, follower);
  await close(all);
});

test("a certificate that does not hold is shown by its code, and tried again", async () => {
  const rig = new Rig(), leader = rig.database(3), server = await rig.lead(leader);
  const connect = rig.net.connect.bind(rig.net);
  rig.net.connect = () =>
    Promise.reject(new DfdbError("certificate_invalid", "the certificate is for another host"));
  const follower = rig.follow(new FakeDatabase());
  await rig.failed(follower, "certificate_invalid");
  assert.equal(follower.following.status().state, "refused");
  rig.net.connect = connect;
  await rig.caughtUp(leader, follower);
  await Promise.all([follower.following.close(), server.close()]);
});
