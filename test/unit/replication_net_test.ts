/** The shells, leader and followers talking over a net in memory, in virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { databaseIdOf, seqOf } from "../../src/base/ids.ts";
import { positionText } from "../../src/storage/position_text.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, leaderPort, Rig, theDatabase } from "../tool/replication_rig.ts";

const otherDatabase = databaseIdOf("e".repeat(32));
const linger = 600;

test("an empty follower takes over the leader's id, catches up, then streams", async () => {
  const rig = new Rig(), leader = rig.database(5_000);
  const server = await rig.lead(leader);
  const follower = rig.follow(new FakeDatabase(), { databaseId: otherDatabase });
  await rig.caughtUp(leader, follower);
  assert.equal(follower.databaseId, theDatabase);
  assert.deepEqual(follower.hints, ["http://node-a:5000"]);
  leader.write(3);
  await rig.caughtUp(leader, follower);
  await rig.clock.settle();
  const status = follower.following.status();
  assert.equal(status.state, "streaming");
  assert.equal(status.opsApplied, 5_004);
  assert.equal(status.lagSeq, 0);
  assert.equal(status.leaderNodeId, "a".repeat(32));
  assert.equal(status.connects, 1);
  const [seen] = server.followers();
  assert.equal(seen?.ackedSeq, leader.last.seq);
  assert.equal(seen?.state, "streaming");
  assert.equal(seen?.lagMs, 0);
  assert.equal(seen?.bytesInFlight, 0);
  await Promise.all([follower.following.close(), server.close()]);
  assert.equal(rig.clock.timers, 0, "every timer is released");
  assert.equal(follower.following.status().state, "stopped");
});

test("a leader that is down at the start is waited for, with growing pauses", async () => {
  const rig = new Rig(), leader = rig.database(3);
  const follower = rig.follow(new FakeDatabase());
  await rig.failed(follower, "unreachable");
  assert.equal(follower.following.status().state, "waiting");
  await rig.clock.advance(60_000);
  assert.equal(follower.following.status().connects, 0);
  const server = await rig.lead(leader);
  await rig.clock.until(() => follower.database.last.seq === 4, "caught up", 5_500);
  await Promise.all([follower.following.close(), server.close()]);
});

test("an attempt that hangs is given up after connectMs", async () => {
  const rig = new Rig();
  rig.net.blackhole = true;
  const follower = rig.follow(new FakeDatabase());
  await rig.clock.advance(4_999);
  assert.equal(follower.following.status().state, "connecting");
  await rig.clock.advance(1);
  assert.match(await rig.failed(follower, "unreachable"), /no connection within 5000 ms/);
  await follower.following.close();
});

test("after every kind of cut the follower goes on where it was, each entry applied once", async () => {
  const rig = new Rig(), leader = rig.database(10);
  const server = await rig.lead(leader);
  const follower = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, follower);
  for (let cut = 1; cut <= 40; cut++) {
    rig.net.line.toClient.bytesLeft = cut * 37;
    leader.write(30, 100);
    await rig.caughtUp(leader, follower);
  }
  assert.ok(follower.following.status().connects > 20);
  assert.equal(follower.following.status().gapsDetected, 0);
  assert.equal(follower.following.status().opsApplied, leader.last.seq);
  await Promise.all([follower.following.close(), server.close()]);
  assert.equal(rig.clock.timers, 0);
});

test("a wrong secret is refused either way round, with a sentence", async () => {
  const cases = [
    { leader: "one", follower: "two", sentence: /secret is not this node's/ },
    {
      leader: "one",
      follower: undefined,
      sentence: /leader has a replication secret and the follower has none/,
    },
    {
      leader: undefined,
      follower: "two",
      sentence: /follower has a replication secret and the leader has none/,
    },
  ];
  for (const { leader: ours, follower: theirs, sentence } of cases) {
    const rig = new Rig(), leader = rig.database(3);
    const server = await rig.lead(leader, ours === undefined ? {} : { secret: ours });
    const follower = rig.follow(new FakeDatabase(), theirs === undefined ? {} : { secret: theirs });
    assert.match(await rig.failed(follower, "bad_secret"), sentence);
    assert.equal(follower.following.status().state, "refused");
    assert.equal(follower.following.status().lastContactMs, 0, "a refusal is a sign of life");
    assert.equal(follower.database.last.seq, 0);
    assert.deepEqual(server.followers(), []);
    await Promise.all([follower.following.close(), server.close()]);
    assert.equal(rig.clock.timers, 0);
  }
});

test("the same secret on both sides is accepted", async () => {
  const rig = new Rig(), leader = rig.database(3);
  const server = await rig.lead(leader, { secret: "one" });
  const follower = rig.follow(new FakeDatabase(), { secret: "one" });
  await rig.caughtUp(leader, follower);
  await Promise.all([follower.following.close(), server.close()]);
});

test("itself, another database by name, another database by id: refused by name", async () => {
  const rig = new Rig(), leader = rig.database(3);
  const server = await rig.lead(leader);
  const cases = [
    {
      code: "self",
      follower: rig.follow(new FakeDatabase(), { identity: { nodeId: "a".repeat(32) as never } }),
    },
    {
      code: "wrong_database",
      follower: rig.follow(new FakeDatabase(), { identity: { database: "orders" } }),
    },
    { code: "wrong_database", follower: rig.follow(rig.database(1), { databaseId: otherDatabase }) },
  ];
  for (const { code, follower } of cases) {
    await rig.failed(follower, code);
    assert.equal(follower.following.status().state, "refused");
    await follower.following.close();
  }
  assert.deepEqual(server.followers(), []);
  await server.close();
});

test("ahead and stale followers are refused and discard nothing", async () => {
  const base = new Rig().database(50);
  const ahead = base.copy(), other = base.copy(40), stale = base.copy(), leader = base.copy();
  ahead.write(1);
  other.lead(1, runOf("2"));
  stale.lead(9, runOf("9"));
  for (
    const [code, state, database] of [
      ["ahead", "ahead", ahead],
      ["ahead", "ahead", other],
      ["stale_epoch", "refused", stale],
    ] as const
  ) {
    const rig = new Rig(), before = database.last;
    const server = await rig.lead(leader);
    const follower = rig.follow(database);
    await rig.failed(follower, code);
    assert.equal(follower.following.status().state, state);
    const { aheadOf } = follower.following.status(), { last } = leader;
    const of = { nodeId: identityOf("a").nodeId, nodeName: null, position: positionText(last, last.seq) };
    assert.deepEqual(aheadOf, code === "ahead" ? of : null);
    await rig.clock.advance(20_000);
    assert.deepEqual(follower.following.status().aheadOf, aheadOf);
    assert.deepEqual(database.last, before);
    await Promise.all([follower.following.close(), server.close()]);
  }
});

test("a leader that restarts with a new run is followed on", async () => {
  const rig = new Rig(), leader = rig.database(20);
  let server = await rig.lead(leader);
  const follower = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, follower);
  await server.close();
  await rig.failed(follower, "going_away");
  assert.equal(follower.following.status().state, "waiting");
  leader.lead(1, runOf("2"));
  leader.write(5);
  server = await rig.lead(leader);
  await rig.caughtUp(leader, follower);
  assert.deepEqual(follower.database.terms.map((term) => term.run), [runOf("1"), runOf("2")]);
  await rig.clock.advance(3_000);
  assert.equal(follower.following.status().leaderTerm?.run, runOf("2"));
  await Promise.all([follower.following.close(), server.close()]);
});

test("a frozen follower costs its window and delays nobody; when it goes on it catches up", async () => {
  const rig = new Rig(), leader = rig.database(1), limits = { appendBytes: 10_000, windowBytes: 40_000 };
  const server = await rig.lead(leader, { tuning: limits });
  const slow = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, slow);
  const line = rig.net.line;
  const quick = rig.follow(new FakeDatabase(), { identity: { nodeId: "c".repeat(32) as never } });
  await rig.caughtUp(leader, quick);
  line.toClient.frozen = true;
  leader.write(5_000, 100);
  await rig.caughtUp(leader, quick);
  const seen = server.followers().find((follower) => follower.nodeId.startsWith("b"));
  assert.ok(seen !== undefined && seen.bytesInFlight <= 40_000 && seen.bytesInFlight > 0);
  assert.equal(seen.state, "catching_up");
  assert.ok(seen.lagSeq >= 4_000);
  assert.ok(line.toClient.bytesWritten < 140_000);
  line.toClient.thaw();
  await rig.caughtUp(leader, slow);
  assert.equal(slow.following.status().connects, 1);
  await Promise.all([slow.following.close(), quick.following.close(), server.close()]);
});

test("a follower that is frozen for good is given up, and comes back on a new connection", async () => {
  const rig = new Rig(), leader = rig.database(1);
  const server = await rig.lead(leader);
  const follower = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, follower);
  rig.net.line.toClient.frozen = true;
  rig.net.line.toServer.frozen = true;
  leader.write(10);
  await rig.clock.advance(10_500);
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().connects, 2);
  assert.equal(server.followers().length, 1);
  await Promise.all([follower.following.close(), server.close()]);
});

test("a half-open connection does not lock out its own process, but a second node with the same id", async () => {
  const rig = new Rig(), leader = rig.database(1);
  const server = await rig.lead(leader);
  const first = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, first);
  const twin = rig.follow(new FakeDatabase());
  await rig.failed(twin, "duplicate_node");
  await twin.following.close();
  // The follower's side breaks, the leader does not hear of it.
  const old = rig.net.lines[0];
  assert.ok(old !== undefined);
  old.toServer.frozen = true;
  old.toClient.fail(new Error("cut"));
  await rig.clock.until(() => first.following.status().connects === 2, "connected again", 1_000);
  assert.equal(server.followers().length, 1);
  assert.ok(rig.lines.includes("info follower left going_away"));
  await Promise.all([first.following.close(), server.close()]);
});

test("another process with the id of a node that was silent for 2.5 heartbeats takes its place", async () => {
  const rig = new Rig(), leader = rig.database(1);
  const server = await rig.lead(leader);
  const first = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, first);
  rig.net.line.toServer.frozen = true;
  const twin = rig.follow(new FakeDatabase());
  await rig.failed(twin, "duplicate_node");
  await rig.clock.until(() => twin.following.status().state === "streaming", "let in", 10_000);
  await Promise.all([first.following.close(), twin.following.close(), server.close()]);
});

test("one candidate for auto-failover, and as many followers as allowed", async () => {
  const rig = new Rig(), leader = rig.database(1);
  const server = await rig.lead(leader, { tuning: { followersMax: 2 } });
  const node = (digit: string, autoFailover: boolean) =>
    rig.follow(new FakeDatabase(), { identity: { nodeId: digit.repeat(32) as never, autoFailover } });
  const first = node("b", true);
  await rig.caughtUp(leader, first);
  const second = node("c", true);
  await rig.failed(second, "second_candidate");
  await second.following.close();
  const third = node("e", false);
  await rig.caughtUp(leader, third);
  const fourth = node("f", false);
  await rig.failed(fourth, "too_many_followers");
  for (const follower of [first, third, fourth]) await follower.following.close();
  await server.close();
});

test("a peer that speaks HTTP on the wire port is told so and hung up on", async () => {
  const rig = new Rig();
  const server = await rig.lead(rig.database(1));
  const signal = new AbortController().signal;
  const connection = await rig.net.connect({ hostname: "x", port: leaderPort, tls: null, signal });
  const writer = connection.writable.getWriter();
  await writer.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
  let answer = "";
  const reading = (async () => {
    for await (const chunk of connection.readable) answer += new TextDecoder("latin1").decode(chunk);
  })();
  await rig.clock.advance(linger);
  await reading.catch(() => {});
  assert.match(answer, /refused.*bad_frame.*the HTTP API is on another one/s);
  assert.equal(rig.net.line.open, false);
  await server.close();
});

test("a follower that reaches an HTTP port is told which port it needs", async () => {
  for (const answer of ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "\u0000\u0001garbage"]) {
    const rig = new Rig();
    const listener = await rig.net.listen({ hostname: "x", port: leaderPort, tls: null });
    const serving = (async () => {
      for await (const connection of listener) {
        const writer = connection.writable.getWriter();
        await writer.write(new TextEncoder().encode(answer));
        await writer.close();
      }
    })();
    const follower = rig.follow(new FakeDatabase());
    const message = await rig.failed(follower, answer === "" ? "unreachable" : "bad_frame");
    assert.match(message, answer.includes("garbage") ? /does not speak/ : /HTTP port/);
    await follower.following.close();
    await listener.close();
    await serving;
  }
});

test("200 silent connections cost the oldest their place and do not keep a follower out", async () => {
  const rig = new Rig(), leader = rig.database(3);
  const server = await rig.lead(leader);
  const signal = new AbortController().signal;
  for (let i = 0; i < 200; i++) await rig.net.connect({ hostname: "x", port: leaderPort, tls: null, signal });
  await rig.clock.settle();
  const open = rig.net.lines.filter((line) => line.open).length;
  assert.equal(open, 16);
  const follower = rig.follow(new FakeDatabase());
  await rig.clock.until(() => follower.database.last.seq === 4, "caught up", 100);
  await rig.clock.advance(5_000 + linger);
  assert.equal(rig.net.lines.filter((line) => line.open).length, 1, "the others ran into the timeout");
  await Promise.all([follower.following.close(), server.close()]);
  assert.equal(rig.clock.timers, 0);
});

test("an apply that fails is not acknowledged, shows its code, and is tried again", async () => {
  const rig = new Rig(), leader = rig.database(3);
  const server = await rig.lead(leader), database = new FakeDatabase();
  database.failure = new DfdbError("disk_full", "no space left");
  const follower = rig.follow(database);
  await rig.failed(follower, "disk_full");
  assert.equal(follower.following.status().state, "error");
  assert.equal(server.followers().length, 0);
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().opsApplied, 4);
  await Promise.all([follower.following.close(), server.close()]);
});

test("appends that have arrived together are applied in one transaction", async () => {
  const rig = new Rig(), leader = rig.database(1);
  const server = await rig.lead(leader, { tuning: { appendEntriesMax: 10 } });
  const follower = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, follower);
  follower.database.applies.length = 0;
  leader.write(1_000, 10);
  await rig.caughtUp(leader, follower);
  const { applies } = follower.database;
  assert.ok(applies.length < 50, `${applies.length} applies for 100 frames`);
  assert.ok(Math.max(...applies) <= 2_000);
  await Promise.all([follower.following.close(), server.close()]);
});

test("a slow apply makes the transactions smaller", async () => {
  const rig = new Rig(), leader = rig.database(8_000);
  const server = await rig.lead(leader), database = new FakeDatabase();
  const follower = rig.follow(database);
  const real = database.apply.bind(database);
  database.apply = (entries) => {
    rig.clock.pass(entries.length / 2);
    return real(entries);
  };
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().opsApplied, 8_001);
  assert.ok(database.applies.slice(2).every((size) => size <= 200), database.applies.join(" "));
  await Promise.all([follower.following.close(), server.close()]);
});

test("a process that was stopped for longer than contactLostMs reads its sockets before it gives up", async () => {
  const rig = new Rig(), leader = rig.database(3);
  const server = await rig.lead(leader);
  const follower = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, follower);
  await rig.clock.stall(30_000);
  leader.write(1);
  await rig.caughtUp(leader, follower);
  assert.equal(follower.following.status().connects, 1);
  await Promise.all([follower.following.close(), server.close()]);
});

test("the log trimmed under a slow follower ends the session as compacted", async () => {
  const rig = new Rig(), leader = rig.database(1);
  const server = await rig.lead(leader, { tuning: { appendBytes: 1_000, windowBytes: 2_000 } });
  const follower = rig.follow(new FakeDatabase());
  await rig.caughtUp(leader, follower);
  rig.net.line.toClient.frozen = true;
  leader.write(500, 100);
  await rig.clock.settle();
  leader.trim(400);
  rig.net.line.toClient.thaw();
  await rig.failed(follower, "compacted");
  const held = follower.database.last.seq;
  assert.ok(held > 2 && held < seqOf(100));
  await Promise.all([follower.following.close(), server.close()]);
});
