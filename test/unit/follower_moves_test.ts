/** A follower whose leader moves, over a net in memory: whom it finds, and what it tells its node on the way. */
import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { channel } from "../../src/wire/channel.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, leaderPort, Rig, theDatabase } from "../tool/replication_rig.ts";

const otherPort = 5501, handoverId = "6".repeat(32);

/** A node that would lead at `otherPort`. */
function nodeAt(digit: string): KnownNode {
  const { nodeId, nodeName, httpUrl } = identityOf(digit);
  return { nodeId, nodeName, httpUrl, wireAddress: `:${otherPort}` };
}

/** The follower (b) of a leader (a), caught up, and a copy of its database in which node c leads the next epoch. */
async function following(options: Parameters<Rig["follow"]>[1] = {}) {
  const rig = new Rig(), leader = rig.database(3), server = await rig.lead(leader);
  const follower = rig.follow(new FakeDatabase(), options);
  await rig.caughtUp(leader, follower);
  await rig.clock.settle();
  const next = leader.copy();
  next.lead(2, runOf("2"));
  const leadNext = () => rig.lead(next, { identity: identityOf("c"), port: otherPort });
  return { rig, leader, server, follower, next, leadNext };
}

test("a leader that goes away names the next one, which is followed at once", async () => {
  const { rig, leader, server, follower, next, leadNext } = await following();
  const there = await leadNext(), term = next.terms.at(-1) ?? null;
  await server.close({ leader: nodeAt("c"), term });
  await rig.clock.until(() => follower.database.last.chain === next.last.chain, "moved", 1_000);
  assert.deepEqual(follower.hints, ["http://node-a:5000", "http://node-c:5000", "http://node-c:5000"]);
  assert.deepEqual(follower.heard.line, ["up", "going_away", "up"]);
  const [first, second] = follower.heard.welcomes;
  assert.equal(first?.endpoint, `leader:${leaderPort}`);
  assert.equal(first?.leader.wireAddress, "node-a:5500");
  assert.deepEqual(first?.term, leader.terms.at(-1));
  assert.equal(second?.endpoint, `leader:${otherPort}`);
  assert.equal(second?.leader.nodeId, identityOf("c").nodeId);
  const { endpoint, leaderNodeId } = follower.following.status();
  assert.deepEqual([endpoint, leaderNodeId], [`leader:${otherPort}`, identityOf("c").nodeId]);
  const claim = rig.claims.at(-1);
  assert.equal(claim?.leader?.nodeId, identityOf("a").nodeId, "it says whom it followed last");
  await Promise.all([follower.following.close(), there.close()]);
  assert.equal(rig.clock.timers, 0);
});

test("a leader that is gone without a word is looked for at the nodes that are known", async () => {
  const { rig, server, follower, next, leadNext } = await following({
    others: [{ ...nodeAt("c"), wireAddress: `node-c:${otherPort}` }],
  });
  await server.close();
  await rig.clock.advance(20_000);
  assert.ok(rig.lines.filter((line) => line.startsWith("warn not following")).length <= 4, "told once each");
  const there = await leadNext();
  await rig.clock.until(() => follower.database.last.chain === next.last.chain, "moved", 5_500);
  await Promise.all([follower.following.close(), there.close()]);
});

test("a node that only listens sends a follower on, and is no sign of the leader", async () => {
  const { rig, server, follower, next, leadNext } = await following();
  const successor: KnownNode = nodeAt("c");
  await server.close();
  const standby = await rig.lead(next.copy(), {
    identity: identityOf("e"),
    standing: () => ({ leader: successor, epoch: epochOf(2) }),
    knownNodes: () => [successor],
  });
  const before = follower.heard.contacts;
  await rig.failed(follower, "not_leader");
  assert.equal(follower.heard.contacts, before);
  assert.deepEqual(follower.heard.nodes.at(-1), [{ ...successor, wireAddress: `leader:${otherPort}` }]);
  assert.equal(follower.following.unfit(), null);
  const there = await leadNext();
  await rig.clock.until(() => follower.database.last.chain === next.last.chain, "moved", 5_500);
  await Promise.all([follower.following.close(), there.close(), standby.close()]);
});

test("contact is what the leader sends, also inside a message, and its refusals; no mere connection", async () => {
  const { rig, leader, server, follower } = await following(), { heard } = follower;
  assert.ok(heard.contacts > 0);
  const streamed = heard.contacts;
  leader.write(1, 200_000);
  await rig.caughtUp(leader, follower);
  assert.ok(heard.contacts >= streamed + 3, `${heard.contacts} after ${streamed}`);
  await server.close();
  await rig.clock.settle();
  // Somebody accepts and says nothing: a frozen leader's kernel does.
  const listener = await rig.net.listen({ hostname: "x", port: leaderPort, tls: null });
  const before = heard.contacts, lines = rig.net.lines.length;
  await rig.clock.until(() => rig.net.lines.length > lines + 1, "tried twice", 20_000);
  assert.equal(heard.contacts, before);
  await listener.close();
  for (const line of rig.net.lines) line.cut();
  // The leader itself refuses after its challenge: another database by name.
  const again = await rig.lead(leader, { identity: { database: "orders" } });
  await rig.failed(follower, "wrong_database");
  assert.ok(heard.contacts > before);
  await Promise.all([follower.following.close(), again.close()]);
});

test("the challenge of a leader that then stands still is a sign of it; one of another node is none", async () => {
  const { rig, server, follower } = await following(), { heard } = follower;
  await server.close();
  await rig.clock.settle();
  for (const digit of ["c", "a"]) {
    const before = heard.contacts,
      listener = await rig.net.listen({ hostname: "x", port: leaderPort, tls: null });
    const accepting = (async () => {
      for await (const connection of listener) {
        const wire = channel({ connection, bodyBytesMax: limits.frameBytesMax, onBytes: () => {} });
        if ((await wire.receive())?.type !== "hello") continue;
        const { nodeId } = identityOf(digit), nonce = new Uint8Array(32);
        wire.send({ type: "challenge", version: 2, nodeId, databaseId: theDatabase, nonce });
        if ((await wire.receive())?.type === "proof") return;
      }
    })();
    await rig.clock.until(() => follower.following.status().state === "handshake", "handshake", 20_000);
    await rig.clock.settle();
    await accepting;
    assert.equal(heard.contacts - before, digit === "a" ? 1 : 0);
    await listener.close();
    for (const line of rig.net.lines) line.cut();
    await rig.clock.settle();
  }
  await follower.following.close();
});

test("what changed in this node's hello is said at once, and the leader's answer is known", async () => {
  const { rig, server, follower } = await following();
  const { candidateAccepted, heartbeatMs, streamed } = follower.following.status();
  assert.deepEqual([candidateAccepted, heartbeatMs, streamed], [false, 2_000, true]);
  follower.identity = { autoFailover: true, silenceMs: 10_000 };
  follower.following.reconnect("auto-failover was switched on");
  await rig.clock.until(() => follower.heard.line.length === 3, "connected again", 50);
  assert.equal(follower.following.status().candidateAccepted, true);
  assert.equal(follower.heard.welcomes.at(-1)?.candidate, true);
  assert.equal(rig.candidates.get(identityOf("b").nodeId), 10_000);
  await server.close();
  await rig.clock.advance(20_000);
  assert.equal(follower.following.status().candidateAccepted, true, "the leader's silence changes nothing");
  await follower.following.close();
});

test("messages of a handover go both ways while the leader streams", async () => {
  const { rig, leader, server, follower } = await following(), { nodeId } = identityOf("b");
  const term = leader.terms[0];
  assert.ok(term !== undefined);
  leader.write(5);
  assert.equal(server.send(nodeId, { type: "prepare", id: handoverId, position: leader.last }), true);
  await rig.clock.settle();
  assert.deepEqual(follower.heard.handover.map(({ type }) => type), ["prepare"]);
  const { following: mine } = follower;
  assert.equal(mine.send({ type: "prepared", id: handoverId, wireAddress: ":5501" }), true);
  assert.equal(mine.send({ type: "promoted", id: handoverId, term }), true);
  await rig.clock.settle();
  assert.deepEqual(rig.handover, ["b prepared 6", "b promoted 6"]);
  await server.close();
  await rig.clock.settle();
  assert.equal(mine.send({ type: "takeOver", id: handoverId }), false);
  await mine.close();
});

test("after close nothing is given out, also when it was closed from inside a callback", async () => {
  const { rig, leader, server, follower } = await following(), { nodeId } = identityOf("b");
  let closing: Promise<void> | null = null;
  const { handover } = follower.heard, held = follower.database.last.seq;
  follower.following.holdAfter(held);
  leader.write(3);
  await rig.clock.settle();
  handover.push = (...messages) => {
    closing = follower.following.close();
    return Array.prototype.push.apply(handover, messages);
  };
  for (const type of ["prepare", "commit"] as const) {
    const id = handoverId, message = type === "prepare" ? { type, id, position: leader.last } : { type, id };
    server.send(nodeId, message);
  }
  await rig.clock.settle();
  assert.deepEqual(
    [handover.length, follower.database.last.seq],
    [0, held],
    "both wait for what came before",
  );
  leader.write(3);
  await rig.clock.settle();
  const { contacts, line, welcomes } = follower.heard;
  follower.following.holdAfter(seqOf(held + 3));
  await rig.clock.advance(30_000);
  await closing;
  assert.deepEqual(handover.map(({ type }) => type), ["prepare"]);
  assert.deepEqual([line.length, welcomes.length], [1, 1]);
  assert.ok(follower.heard.contacts <= contacts + 1);
  assert.equal(follower.database.last.seq, held + 3);
  assert.equal(follower.following.status().state, "stopped");
  await server.close();
  assert.equal(rig.clock.timers, 0);
});

test("the program names the leader: there at once, although another is being tried", async () => {
  const { rig, server, follower, next, leadNext } = await following();
  await server.close();
  const there = await leadNext();
  rig.net.blackhole = true;
  await rig.clock.advance(1_000);
  rig.net.blackhole = false;
  follower.following.tryFirst("no address");
  follower.following.tryFirst(`node-c:${otherPort}`);
  await rig.clock.until(() => follower.database.last.chain === next.last.chain, "moved", 100);
  assert.equal(follower.following.status().endpoint, `node-c:${otherPort}`);
  await Promise.all([follower.following.close(), there.close()]);
});
