/** What a listening node does besides streaming: standing by, candidates, handovers, signs of life. Peers are played by the test. */
import assert from "node:assert/strict";
import test from "node:test";
import { limits } from "../../src/base/limits.ts";
import { nodeIdOf } from "../../src/base/ids.ts";
import type { StandingBy } from "../../src/replication/types.ts";
import { origin } from "../../src/storage/log.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import { runOf } from "../tool/fake_database.ts";
import { identityOf, Rig, stateOf } from "../tool/replication_rig.ts";
import { ScriptedFollower } from "../tool/scripted_follower.ts";

const id = "6".repeat(32);
const idOf = (digit: string) => nodeIdOf(digit.repeat(32));
const nodeOf = (digit: string): KnownNode => {
  const { nodeId, nodeName, httpUrl, wireAddress } = identityOf(digit);
  return { nodeId, nodeName, httpUrl, wireAddress };
};

test("a node that stands by refuses followers with the leader's name, and streams from when it leads", async () => {
  const rig = new Rig(), log = rig.database(3);
  let standing: StandingBy | null = { leader: nodeOf("c"), epoch: log.last.epoch };
  const knownNodes = () => [nodeOf("b"), nodeOf("e")];
  const server = await rig.lead(log, { standing: () => standing, knownNodes });
  const early = await ScriptedFollower.connect(rig, log.last);
  const refused = early.last("refused");
  assert.deepEqual([refused?.code, refused?.details], ["not_leader", {
    leaderNodeId: idOf("c"),
    leaderName: "node-c",
    leaderHttpUrl: "http://node-c:5000",
    leaderWireAddress: "node-c:5500",
    epoch: 1,
  }]);
  assert.deepEqual(refused?.knownNodes?.map(({ nodeName }) => nodeName), ["node-e"], "not the receiver");
  assert.equal(rig.claims.length, 1);
  standing = null;
  const late = await ScriptedFollower.connect(rig, log.last);
  assert.deepEqual(late.welcome?.knownNodes.map(({ nodeName }) => nodeName), ["node-e"]);
  assert.equal(server.followers().length, 1);
  await server.close({ leader: nodeOf("e"), term: log.terms[0] ?? null });
  const goodbye = late.last("goingAway");
  assert.deepEqual([goodbye?.leader?.nodeName, goodbye?.term], ["node-e", log.terms[0]]);
});

test("what a peer claims is told before it is judged, with the host of its socket", async () => {
  const rig = new Rig(), log = rig.database(3), server = await rig.lead(log);
  const newer = log.copy(3);
  newer.lead(4, runOf("9"));
  const hello = { terms: newer.terms, wireAddress: ":5501", leader: nodeOf("c") };
  const follower = await ScriptedFollower.connect(rig, newer.last, hello);
  assert.equal(follower.refused, "stale_epoch");
  const [claim] = rig.claims;
  assert.deepEqual([claim?.newest, claim?.leads, claim?.leader, claim?.follows], [
    newer.terms.at(-1),
    null,
    nodeOf("c"),
    true,
  ]);
  assert.deepEqual([claim?.peer.nodeId, claim?.peer.nodeName], [idOf("b"), "node-b"]);
  assert.match(claim?.peer.wireAddress ?? "", /^[^:\s]+:5501$/);
  await ScriptedFollower.connect(rig, origin, { terms: [], databaseId: null }, { digit: "e" });
  assert.equal(rig.claims[1]?.newest, null);
  await ScriptedFollower.connect(rig, log.last, { databaseId: "e".repeat(32) as never }, { digit: "f" });
  assert.equal(rig.claims.length, 2, "another database claims nothing here");
  await server.close();
});

test("a control connection is answered and gone; it is no follower, and nobody is replaced by it", async () => {
  const rig = new Rig(), log = rig.database(3);
  const asked: (string | null)[] = [];
  const server = await rig.lead(log, {
    tuning: { followersMax: 1, handshakesMax: 2 },
    statement(handover) {
      asked.push(handover);
      const outcome = handover === null ? null : { id: handover, outcome: "unknown" as const };
      return Promise.resolve({ ...stateOf(log), handover: outcome, knownNodes: [nodeOf("b"), nodeOf("c")] });
    },
  });
  const follower = await ScriptedFollower.connect(rig, log.last);
  for (let i = 0; i < 5; i++) {
    const changes = { mode: "control", handover: i === 0 ? id : null };
    const peer = await ScriptedFollower.connect(rig, origin, changes);
    const { terms, handover, knownNodes } = await peer.until("state");
    assert.deepEqual([terms, handover], [log.terms, i === 0 ? { id, outcome: "unknown" } : null]);
    assert.deepEqual(knownNodes, [nodeOf("c")]);
  }
  assert.deepEqual(asked, [id, null, null, null, null]);
  assert.deepEqual([server.followers().length, follower.refused], [1, undefined]);
  assert.deepEqual(rig.claims.slice(1).map(({ follows }) => follows), Array(5).fill(false));
  assert.deepEqual(rig.handover, [], "the stream goes on");
  await server.close();
});

test("a candidate is accepted in its welcome, a second one is refused, and one that turns it off withdraws", async () => {
  const rig = new Rig(), log = rig.database(3), server = await rig.lead(log);
  const auto = { autoFailover: true };
  const first = await ScriptedFollower.connect(rig, log.last, { silenceMs: 9_000 }, auto);
  assert.equal(first.welcome?.candidate, true);
  assert.deepEqual([...rig.candidates], [[idOf("b"), 9_000]]);
  const second = await ScriptedFollower.connect(rig, log.last, {}, { ...auto, digit: "c" });
  assert.equal(second.refused, "second_candidate");
  assert.deepEqual(server.followers().map(({ nodeName, candidate }) => [nodeName, candidate]), [
    ["node-b", true],
  ]);
  const back = await ScriptedFollower.connect(rig, log.last);
  assert.deepEqual([back.welcome?.candidate, rig.candidates.size], [false, 0]);
  await server.close();
});

test("a follower that is turned away is no candidate", async () => {
  const rig = new Rig(), log = rig.database(3), server = await rig.lead(log);
  await ScriptedFollower.connect(rig, log.last);
  const twin = { instance: "9".repeat(32) };
  const refused = await ScriptedFollower.connect(rig, log.last, twin, { autoFailover: true });
  assert.deepEqual([refused.refused, rig.candidates.size], ["duplicate_node", 0]);
  await server.close();
});

test("a handover's messages reach the follower that streams, and are heard from it, until it leaves", async () => {
  const rig = new Rig(), log = rig.database(3), server = await rig.lead(log), node = idOf("b");
  const prepare = { type: "prepare", id, position: log.last } as const;
  assert.equal(server.send(node, prepare), false, "nobody is there");
  const follower = await ScriptedFollower.connect(rig, log.last);
  assert.equal(server.send(node, prepare), true);
  await rig.clock.settle();
  assert.deepEqual(follower.last("prepare")?.position, log.last);
  await follower.send({ type: "prepared", id, wireAddress: ":5501" });
  assert.equal(server.send(node, { type: "commit", id }), true);
  await follower.send({ type: "declined", id, code: "disk_full", message: "no room" });
  await follower.send({ type: "takeOver", id });
  assert.deepEqual(rig.handover, ["b prepared 6", "b declined 6", "b takeOver 6"]);
  await follower.hangUp();
  assert.equal(rig.handover.at(-1), "b left");
  assert.equal(server.send(node, { type: "abort", id, message: "over" }), false);
  log.trim(2);
  const copying = await ScriptedFollower.connect(rig, origin);
  assert.equal(copying.welcome?.follow, "snapshot");
  assert.equal(server.send(node, prepare), false, "it does not stream");
  await server.close();
});

test("a follower that comes again has left before its claim is heard, also where it is refused", async () => {
  const rig = new Rig(), log = rig.database(3), server = await rig.lead(log);
  await ScriptedFollower.connect(rig, log.last);
  const claims = rig.claims.length, push = rig.claims.push.bind(rig.claims);
  rig.claims.push = (...claim) => {
    assert.deepEqual(rig.handover, ["b left"]);
    return push(...claim);
  };
  const again = await ScriptedFollower.connect(rig, { ...log.last, run: runOf("9") });
  assert.deepEqual([again.refused, rig.claims.length - claims], ["ahead", 1]);
  assert.equal(server.send(idOf("b"), { type: "commit", id }), false);
  await server.close();
});

test("a sign of life is younger than the question, and only of those who were asked", async () => {
  const rig = new Rig(), log = rig.database(3), server = await rig.lead(log);
  const signs: string[] = [];
  const stop = server.onSign((nodeId) => void signs.push(nodeId[0] ?? ""));
  const candidate = await ScriptedFollower.connect(rig, log.last);
  const other = await ScriptedFollower.connect(rig, log.last, {}, { digit: "c" });
  await candidate.send({ type: "ack", ...log.last, answers: 1 });
  assert.deepEqual(signs, [], "nothing was asked");
  server.ask([idOf("b")]);
  await rig.clock.settle();
  assert.deepEqual([candidate.lastAsk, other.lastAsk], [1, undefined]);
  await candidate.send({ type: "ack", ...log.last });
  await other.send({ type: "ack", ...log.last, answers: 1 });
  assert.deepEqual(signs, []);
  server.ask([idOf("b"), idOf("c")]);
  await candidate.send({ type: "ack", ...log.last, answers: 1 });
  assert.deepEqual(signs, [], "that was the older question");
  await candidate.send({ type: "ack", ...log.last, answers: 2 });
  assert.deepEqual(signs, ["b"]);
  const third = await ScriptedFollower.connect(rig, log.last, {}, { digit: "e" });
  assert.deepEqual([signs, third.refused], [["b", "e"], undefined], "a handshake is a sign, too");
  stop();
  await other.send({ type: "ack", ...log.last, answers: 2 });
  assert.deepEqual(signs, ["b", "e"]);
  await server.close();
});

test("nodes that became known are told with the next heartbeat, once", async () => {
  const rig = new Rig(), log = rig.database(3);
  let knownNodes: readonly KnownNode[] = [];
  const server = await rig.lead(log, { knownNodes: () => knownNodes });
  const follower = await ScriptedFollower.connect(rig, log.last);
  knownNodes = [nodeOf("b"), nodeOf("c")];
  for (let i = 0; i < 3; i++) {
    await rig.clock.advance(limits.heartbeatMs);
    await follower.send({ type: "ack", ...log.last });
  }
  assert.deepEqual(follower.told.map((nodes) => nodes.map(({ nodeName }) => nodeName)), [["node-c"]]);
  await server.close();
});
