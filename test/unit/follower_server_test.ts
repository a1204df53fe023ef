/** The leader's shell: acknowledgements, refusals, snapshots and the listener, with followers played by the test. */
import assert from "node:assert/strict";
import test from "node:test";
import { concat } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { nodeIdOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { FollowerServer } from "../../src/replication/types.ts";
import type { Listener, Net } from "../../src/runtime/net.ts";
import { origin, type Position } from "../../src/storage/log.ts";
import { checksumOf, FakeSnapshots } from "../tool/fake_snapshots.ts";
import { type FakeDatabase, runOf } from "../tool/fake_database.ts";
import { leaderPort, Rig } from "../tool/replication_rig.ts";
import { ScriptedFollower } from "../tool/scripted_follower.ts";

const at = (log: FakeDatabase, seq: number): Position => log.at(seqOf(seq)) as Position;
const held = (server: FollowerServer): string[] =>
  server.durable().map(({ nodeName, seq, candidate }) =>
    `${nodeName} ${seq}${candidate ? " candidate" : ""}`
  );

test("what a follower holds counts from its handshake, moves with its acks, and ends with its session", async () => {
  const rig = new Rig(), leader = rig.database(4), server = await rig.lead(leader);
  let told = 0;
  const stop = server.onAcknowledged(() => void told++);
  assert.deepEqual(held(server), []);
  const follower = await ScriptedFollower.connect(rig, at(leader, 3), {}, { autoFailover: true });
  assert.deepEqual(held(server), ["node-b 3 candidate"]);
  assert.equal(told, 1, "it joined");
  await follower.send({ type: "ack", ...at(leader, 4) });
  assert.deepEqual(held(server), ["node-b 4 candidate"]);
  assert.equal(told, 2);
  await follower.send({ type: "ack", ...at(leader, 4) });
  assert.equal(told, 2, "the same again is no news");
  leader.write(1);
  await rig.clock.settle();
  await follower.send({ type: "ack", ...leader.last, chain: (leader.last.chain ^ 1) >>> 0 });
  assert.equal(follower.refused, "corrupt");
  assert.deepEqual(held(server), []);
  assert.equal(told, 3, "it left");
  assert.deepEqual(server.refused().map(({ code, nodeName }) => `${nodeName} ${code}`), ["node-b corrupt"]);
  stop();
  const again = await ScriptedFollower.connect(rig, at(leader, 3));
  assert.equal(told, 3);
  assert.deepEqual(server.refused(), [], "admitted again");
  await again.hangUp();
  await server.close();
});

test("a node counts once: its newer connection takes the place of the older one", async () => {
  const rig = new Rig(), leader = rig.database(4), server = await rig.lead(leader);
  await ScriptedFollower.connect(rig, at(leader, 3));
  await ScriptedFollower.connect(rig, at(leader, 2));
  assert.deepEqual(held(server), ["node-b 2"]);
  await ScriptedFollower.connect(rig, at(leader, 1), {}, { digit: "c" });
  assert.deepEqual(held(server), ["node-b 2", "node-c 1"]);
  await server.close();
  assert.deepEqual(held(server), []);
});

test("after a stall of the leader a second node of the same id is refused as before, whoever comes first", async () => {
  for (const ticksFirst of [true, false]) {
    const rig = new Rig(), leader = rig.database(4), server = await rig.lead(leader), { clock } = rig;
    await ScriptedFollower.connect(rig, at(leader, 3));
    await clock.advance(2 * limits.heartbeatMs);
    if (ticksFirst) await clock.stall(2 * limits.heartbeatMs);
    else clock.pass(2 * limits.heartbeatMs);
    const instance = "9".repeat(32),
      second = await ScriptedFollower.connect(rig, at(leader, 2), { instance });
    assert.equal(second.refused, "duplicate_node");
    assert.deepEqual(held(server), ["node-b 3"]);
    await clock.advance(3 * limits.heartbeatMs);
    const third = await ScriptedFollower.connect(rig, at(leader, 2), { instance });
    assert.deepEqual([third.refused, held(server)], [undefined, ["node-b 2"]], "silent while it listened");
    await server.close();
  }
});

test("the leader hears who is ahead and who was found; nobody vouches for an empty position", async () => {
  const rig = new Rig(), leader = rig.database(4), server = await rig.lead(leader);
  await ScriptedFollower.connect(rig, { ...leader.last, seq: seqOf(9) });
  await ScriptedFollower.connect(rig, origin, {}, { digit: "c" });
  await ScriptedFollower.connect(rig, at(leader, 2), {}, { digit: "e" });
  assert.deepEqual(rig.ahead.map(({ nodeName, code, position }) => `${nodeName} ${code} ${position.seq}`), [
    "node-b ahead 9",
  ]);
  assert.deepEqual(rig.found.map(({ nodeName, seq }) => `${nodeName} ${seq}`), ["node-e 2"]);
  assert.deepEqual(rig.strangers, [nodeIdOf("c".repeat(32))]);
  assert.equal(server.refused()[0]?.atMs, rig.clock.wall());
  await server.close();
});

test("the list of refused nodes holds one line a node, 64 nodes, and only what concerns their data", async () => {
  const rig = new Rig(), leader = rig.database(1), server = await rig.lead(leader);
  for (let i = 0; i < 66; i++) {
    const nodeId = i.toString(16).padStart(32, "0") as never;
    await ScriptedFollower.connect(rig, { ...leader.last, seq: seqOf(9) }, { nodeId });
  }
  const again = "5".padStart(32, "0") as never;
  await ScriptedFollower.connect(rig, { ...leader.last, seq: seqOf(10) }, { nodeId: again });
  await ScriptedFollower.connect(rig, leader.last, { mode: "physical" }, { digit: "c" });
  const refused = server.refused();
  assert.equal(refused.length, 64);
  assert.equal(refused.at(-1)?.nodeId, again);
  assert.equal(refused.at(-1)?.position.seq, 10);
  assert.deepEqual(refused.filter(({ code }) => code !== "ahead"), []);
  await server.close();
});

test("a snapshot arrives whole, with its checksum, beside heartbeats; such a follower holds nothing yet", async () => {
  const rig = new Rig(), leader = rig.database(9), snapshots = new FakeSnapshots(leader);
  leader.trim(5);
  const server = await rig.lead(leader, { snapshots });
  const follower = await ScriptedFollower.connect(rig, origin);
  assert.equal(follower.welcome?.follow, "snapshot");
  assert.deepEqual(server.followers().map(({ state, snapshot }) => ({ state, snapshot })), [
    { state: "resync", snapshot: null },
  ]);
  await follower.send({ type: "wantSnapshot", resume: null });
  await follower.until("snapshotEnd");
  const content = concat(follower.all("snapshotChunk").map(({ bytes }) => bytes));
  assert.equal(content.length, snapshots.bytes);
  assert.equal(follower.last("snapshotEnd")?.checksum, checksumOf(content));
  assert.deepEqual(follower.last("snapshot")?.position, leader.last);
  await follower.send({ type: "snapshotAck", offset: limits.snapshotPieceBytes });
  const [described] = server.followers();
  assert.equal(described?.state, "snapshot");
  assert.deepEqual(described?.snapshot, {
    id: snapshots.made[0]?.id,
    bytes: snapshots.bytes,
    acked: limits.snapshotPieceBytes,
  });
  assert.equal(described?.bytesBehind, leader.bytesAfter(seqOf(0)));
  assert.deepEqual(held(server), []);
  assert.equal(snapshots.leases, 1);
  await follower.hangUp();
  assert.equal(snapshots.leases, 0);
  const resume = { id: snapshots.made[0]?.id ?? "", offset: 2 * limits.snapshotPieceBytes };
  const again = await ScriptedFollower.connect(rig, origin);
  await again.send({ type: "wantSnapshot", resume });
  await again.until("snapshotEnd");
  assert.deepEqual(again.all("snapshotChunk").map(({ offset }) => offset), [resume.offset]);
  assert.equal(snapshots.made.length, 1, "the same one");
  await server.close();
  assert.equal(snapshots.leases, 0);
});

test("a snapshot that cannot be had or read is a refusal, and no lease is left", async () => {
  const rig = new Rig(), leader = rig.database(9), snapshots = new FakeSnapshots(leader);
  leader.trim(5);
  const server = await rig.lead(leader, { snapshots });
  snapshots.failure = new DfdbError("disk_full", "no room for a snapshot");
  const first = await ScriptedFollower.connect(rig, origin);
  await first.send({ type: "wantSnapshot", resume: null });
  assert.equal(first.refused, "disk_full");
  snapshots.failsFrom = limits.snapshotPieceBytes;
  const second = await ScriptedFollower.connect(rig, origin);
  await second.send({ type: "wantSnapshot", resume: null });
  await second.until("refused");
  assert.equal(second.refused, "io_error");
  assert.equal(second.all("snapshotChunk").length, 1);
  assert.equal(snapshots.leases, 0);
  await server.close();
});

test("a stop while a snapshot is being made ends the making", async () => {
  const rig = new Rig(), leader = rig.database(9), snapshots = new FakeSnapshots(leader);
  leader.trim(5);
  snapshots.hangs = true;
  const server = await rig.lead(leader, { snapshots });
  const follower = await ScriptedFollower.connect(rig, origin);
  await follower.send({ type: "wantSnapshot", resume: null });
  await server.close();
  assert.equal(snapshots.leases, 0);
  assert.equal(follower.received.at(-1)?.type, "goingAway");
});

test("a follower that does not read its snapshot costs a window, not a file", async () => {
  const rig = new Rig(), leader = rig.database(9), snapshots = new FakeSnapshots(leader);
  leader.trim(5);
  snapshots.bytes = 20 * limits.snapshotPieceBytes;
  const server = await rig.lead(leader, { snapshots });
  const follower = await ScriptedFollower.connect(rig, origin);
  await follower.send({ type: "wantSnapshot", resume: null });
  await rig.clock.advance(500);
  assert.equal(follower.all("snapshotChunk").length, limits.windowBytes / limits.snapshotPieceBytes);
  await server.close();
});

test("the rate of a snapshot is kept, and a slow one is not taken for silence", async () => {
  const rig = new Rig(), leader = rig.database(9), snapshots = new FakeSnapshots(leader);
  leader.trim(5);
  const server = await rig.lead(leader, { snapshots, tuning: { snapshotBytesPerSecond: 64 * 1024 } });
  const follower = await ScriptedFollower.connect(rig, origin);
  await follower.send({ type: "wantSnapshot", resume: null });
  const began = rig.clock.monotonic();
  for (let i = 0; i < 60 && follower.last("snapshotEnd") === undefined; i++) {
    await rig.clock.advance(1_000);
    const offset = follower.all("snapshotChunk").reduce((sum, { bytes }) => sum + bytes.length, 0);
    await follower.send({ type: "snapshotAck", offset });
  }
  const seconds = (rig.clock.monotonic() - began) / 1_000;
  assert.ok(
    seconds >= 31 && seconds < 34,
    `${seconds} s for two pieces' worth of waiting at 64 KiB a second`,
  );
  await server.close();
});

test("while the leader takes writes a snapshot is sent more slowly", async () => {
  const seconds: number[] = [];
  for (const busy of [false, true]) {
    const rig = new Rig(), leader = rig.database(9), snapshots = new FakeSnapshots(leader);
    leader.trim(5);
    snapshots.bytes = 64 * limits.snapshotPieceBytes;
    const tuning = { snapshotBytesPerSecond: 2 ** 26, snapshotBusyBytesPerSecond: 2 ** 24 };
    const server = await rig.lead(leader, { snapshots, tuning });
    const follower = await ScriptedFollower.connect(rig, origin);
    await follower.send({ type: "wantSnapshot", resume: null });
    const began = rig.clock.monotonic();
    while (follower.last("snapshotEnd") === undefined) {
      assert.ok(rig.clock.monotonic() - began < 10_000, "it is sent");
      if (busy) leader.write(1);
      await rig.clock.advance(10);
      const offset = follower.all("snapshotChunk").reduce((sum, { bytes }) => sum + bytes.length, 0);
      await follower.send({ type: "snapshotAck", offset });
    }
    seconds.push((rig.clock.monotonic() - began) / 1_000);
    await server.close();
  }
  const [idle, busy] = seconds as [number, number];
  assert.ok(idle > 0.8 && idle < 1.3 && busy > 3.5 && busy < 4.5, `${idle} s, and ${busy} s beside writes`);
});

test("a diverged follower asks for the point in common and is then sent a snapshot", async () => {
  const rig = new Rig(), leader = rig.database(4), other = leader.copy(3);
  other.lead(2, runOf("2"));
  other.write(5);
  leader.lead(3, runOf("3"));
  const server = await rig.lead(leader);
  const follower = await ScriptedFollower.connect(rig, other.last);
  assert.equal(follower.welcome?.follow, "rescue");
  for (const seq of [0, 3, 4, 6, 7]) await follower.send({ type: "probe", seq: seqOf(seq) });
  assert.deepEqual(follower.all("probed").map(({ seq, term, chain }) => [seq, term?.epoch, chain]), [
    [0, 0, 0],
    [3, 1, at(leader, 3).chain],
    [4, 1, at(leader, 4).chain],
    [6, 3, at(leader, 6).chain],
    [7, undefined, null],
  ]);
  await follower.send({ type: "wantSnapshot", resume: null });
  assert.deepEqual((await follower.until("snapshot")).position, leader.last);
  await server.close();
});

test("an entry above 1 MiB travels in parts, and its neighbours in appends", async () => {
  const rig = new Rig(), leader = rig.database(1), server = await rig.lead(leader);
  leader.write(1, limits.partBytes);
  leader.write(1, 2 * limits.partBytes + 1);
  leader.write(1, 10);
  const follower = await ScriptedFollower.connect(rig, at(leader, 2));
  await rig.clock.until(() => follower.last("append")?.entries.at(-1)?.seq === 5, "the last entry");
  const parts = follower.all("part"), entry = leader.kept[3];
  assert.deepEqual(parts.map(({ offset, bytes }) => [offset, bytes.length]), [
    [0, limits.partBytes],
    [limits.partBytes, limits.partBytes],
    [2 * limits.partBytes, 1],
  ]);
  assert.deepEqual(concat(parts.map(({ bytes }) => bytes)), entry?.payload);
  assert.ok(
    parts.every(({ previous, chain, length }) =>
      previous.seq === 3 && chain === entry?.chain && length === entry.payload.length
    ),
  );
  assert.equal(server.followers()[0]?.bytesInFlight, 3 * limits.partBytes + 11);
  await server.close();
});

test("followers at the head share one read of the log and one frame", async () => {
  const rig = new Rig(),
    leader = rig.database(1),
    server = await rig.lead(leader, { tuning: { followersMax: 64 } });
  const followers = await Promise.all(
    ["1", "2", "3", "4", "5", "6"].map((digit) => ScriptedFollower.connect(rig, leader.last, {}, { digit })),
  );
  const before = leader.reads;
  leader.write(3);
  await rig.clock.settle();
  assert.ok(followers.every((follower) => follower.last("append")?.entries.length === 3));
  assert.equal(leader.reads - before, 1);
  await server.close();
});

test("the status tells how old the oldest entry is that a follower lacks, and reads none for it", async () => {
  const rig = new Rig(), leader = rig.database(3), server = await rig.lead(leader), now = rig.clock.wall();
  const follower = await ScriptedFollower.connect(rig, leader.last);
  await rig.clock.settle();
  leader.write(1, 20, now - 3_000);
  leader.write(1, 20, now - 2_000);
  leader.write(1, 20, now - 1_000);
  const lagMs = (): number | undefined => server.followers()[0]?.lagMs;
  await rig.clock.settle();
  const before = leader.reads, late = rig.clock.wall() - now;
  assert.equal(lagMs(), late + 3_000);
  leader.trim(5);
  assert.equal(lagMs(), late + 2_000, "the first one that is kept, where its own is not");
  await follower.send({ type: "ack", ...leader.last });
  assert.deepEqual([lagMs(), leader.reads - before], [0, 0]);
  await server.close();
});

test("what was read is forgotten with the last follower, whoever else is connected", async () => {
  const rig = new Rig(), leader = rig.database(9), server = await rig.lead(leader);
  const silent = await rig.net.connect({
    hostname: "leader",
    port: leaderPort,
    tls: null,
    signal: new AbortController().signal,
  });
  const reads = async (digit: string): Promise<number> => {
    const before = leader.reads, follower = await ScriptedFollower.connect(rig, at(leader, 3), {}, { digit });
    await rig.clock.settle();
    assert.equal(follower.last("append")?.entries.length, 7);
    if (digit !== "c") await follower.hangUp();
    await rig.clock.settle();
    return leader.reads - before;
  };
  assert.deepEqual([await reads("b"), await reads("c"), await reads("d")], [1, 1, 0]);
  silent.abort(new Error("over"));
  await server.close();
});

/** A net whose listeners can be made to fail. */
class FailingNet implements Net {
  readonly rig: Rig;
  fail: () => void = () => {};
  refusals = 0;
  listens = 0;
  readonly connect: Net["connect"];

  constructor(rig: Rig) {
    this.rig = rig;
    this.connect = (options) => rig.net.connect(options);
  }

  async listen(options: Parameters<Net["listen"]>[0]): Promise<Listener> {
    this.listens++;
    if (this.refusals > 0) {
      this.refusals--;
      throw new DfdbError("port_in_use", "taken meanwhile");
    }
    const listener = await this.rig.net.listen(options);
    const failed = new Promise<never>((_, reject) => {
      this.fail = () => reject(new Error("the interface went down"));
    });
    failed.catch(() => {});
    return {
      hostname: listener.hostname,
      port: listener.port,
      close: () => listener.close(),
      async *[Symbol.asyncIterator]() {
        const connections = listener[Symbol.asyncIterator]();
        for (;;) {
          const next = await Promise.race([connections.next(), failed]);
          if (next.done === true) return;
          yield next.value;
        }
      },
    };
  }
}

test("a listener that fails is opened again at its port, with growing pauses; followers stay connected", async () => {
  const rig = new Rig(), leader = rig.database(2), net = new FailingNet(rig);
  const server = await rig.lead(leader, { runtime: { ...rig.runtime, net } });
  await ScriptedFollower.connect(rig, leader.last);
  net.refusals = 2;
  net.fail();
  await rig.clock.advance(999);
  assert.equal(net.listens, 1);
  await rig.clock.advance(1);
  assert.equal(net.listens, 2);
  await rig.clock.advance(5_999);
  assert.equal(net.listens, 3);
  await rig.clock.advance(1);
  assert.equal(net.listens, 4);
  assert.equal(server.port, leaderPort);
  assert.deepEqual(held(server), ["node-b 3"]);
  await ScriptedFollower.connect(rig, leader.last, {}, { digit: "c" });
  assert.deepEqual(held(server), ["node-b 3", "node-c 3"]);
  net.refusals = 100;
  net.fail();
  await rig.clock.advance(1_500);
  await server.close();
  assert.equal(rig.clock.timers, 0);
});
