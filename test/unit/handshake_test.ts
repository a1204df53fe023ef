import assert from "node:assert/strict";
import test from "node:test";
import { hex, utf8Text } from "../../src/base/bytes.ts";
import { epochOf, nodeIdOf, seqOf } from "../../src/base/ids.ts";
import {
  isInHistory,
  judgeFollow,
  judgePosition,
  snapshotNotBefore,
} from "../../src/replication/judge_position.ts";
import type { Hello } from "../../src/wire/message.ts";
import type { HandshakeFacts } from "../../src/wire/proof.ts";
import { proofInput, proofOf } from "../../src/wire/proof.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf, testCrypto, theDatabase } from "../tool/replication_rig.ts";

const facts: HandshakeFacts = {
  version: 1,
  followerNonce: new Uint8Array(32).fill(1),
  leaderNonce: new Uint8Array(32).fill(2),
  followerNodeId: identityOf("b").nodeId,
  leaderNodeId: identityOf("a").nodeId,
  databaseId: theDatabase,
};

test("the proof has fixed bytes", () => {
  assert.equal(
    hex(proofOf(testCrypto, "repl_shared_xyz", "leader", facts)),
    "e7a32e609322f35b6e617800cb90381a5ada649a0409642a72cf81ae39b2f04a",
  );
  assert.equal(utf8Text(proofInput("follower", facts).subarray(4, 23)), "dfdb follower proof");
});

test("the proof changes with everything that it is bound to", () => {
  const proofs = [
    proofOf(testCrypto, "s", "leader", facts),
    proofOf(testCrypto, "t", "leader", facts),
    proofOf(testCrypto, "s", "follower", facts),
    proofOf(testCrypto, "s", "leader", { ...facts, version: 2 }),
    proofOf(testCrypto, "s", "leader", { ...facts, followerNonce: facts.leaderNonce }),
    proofOf(testCrypto, "s", "leader", { ...facts, leaderNonce: facts.followerNonce }),
    proofOf(testCrypto, "s", "leader", { ...facts, followerNodeId: nodeIdOf("c".repeat(32)) }),
    proofOf(testCrypto, "s", "leader", { ...facts, leaderNodeId: nodeIdOf("c".repeat(32)) }),
    proofOf(testCrypto, "s", "leader", { ...facts, databaseId: "c".repeat(32) as never }),
  ];
  assert.equal(new Set(proofs.map(hex)).size, proofs.length);
});

/** Runs 1 (epoch 1, entries 1 to 10) and 2 (epoch 2, entries 11 to 20). */
function leader(): FakeDatabase {
  const database = new FakeDatabase();
  database.lead(1, runOf("1"));
  database.write(9);
  database.lead(2, runOf("2"));
  database.write(9);
  return database;
}

test("positions in the leader's history are welcome", () => {
  const log = leader();
  for (const seq of [0, 1, 10, 11, 20]) {
    const position = log.at(seqOf(seq));
    assert.ok(typeof position === "object");
    assert.equal(judgePosition(log, position), null, `seq ${seq}`);
  }
  assert.equal(judgePosition(new FakeDatabase(), new FakeDatabase().last), null, "two empty ones");
});

test("the edge of a trimmed log is welcome, what lies before it is compacted", () => {
  const log = leader(), edge = log.at(seqOf(12)), before = log.at(seqOf(5));
  log.trim(12);
  assert.ok(typeof edge === "object" && typeof before === "object");
  assert.equal(judgePosition(log, edge), null);
  assert.equal(judgePosition(log, before)?.code, "compacted");
  assert.equal(judgePosition(log, before)?.details.firstSeq, 13);
  assert.equal(judgePosition(log, new FakeDatabase().last)?.code, "compacted");
});

test("what was trimmed behind a position of the same run is in the history, other runs and ends are not", () => {
  const log = leader(), before = log.at(seqOf(5)), { last } = log;
  assert.ok(typeof before === "object");
  log.trim(12);
  assert.equal(isInHistory(log, before), true);
  assert.equal(isInHistory(log, last), true);
  assert.equal(isInHistory(log, { ...before, run: runOf("9") }), false);
  assert.equal(isInHistory(log, { ...last, chain: last.chain ^ 1 }), false);
  assert.equal(isInHistory(log, { ...last, seq: seqOf(21) }), false);
});

test("a snapshot for who has entries that are not here need not reach further than what may be in common", () => {
  const log = leader(), { last } = log, first = { ...last, epoch: 1 as never, run: runOf("1") };
  assert.equal(snapshotNotBefore(log, { ...first, seq: seqOf(1_000) }, "rescue"), 10);
  assert.equal(snapshotNotBefore(log, { ...first, seq: seqOf(7), run: runOf("9") }, "rescue"), 7);
  assert.equal(snapshotNotBefore(log, { ...first, seq: seqOf(7) }, "snapshot"), 7);
  assert.equal(snapshotNotBefore(log, last, "snapshot"), 20);
});

test("another chain in the same run is corruption", () => {
  const log = leader();
  assert.equal(judgePosition(log, { ...log.last, chain: log.last.chain ^ 1 })?.code, "corrupt");
  const old = log.at(seqOf(3));
  assert.ok(typeof old === "object");
  assert.equal(judgePosition(log, { ...old, chain: 7 })?.code, "corrupt");
});

test("an older epoch outside the history is diverged, the same one ahead, a newer one makes the leader stale", () => {
  const log = leader(), { last } = log, strange = runOf("9");
  const cases = [
    ["diverged", { ...last, epoch: 1, run: runOf("1"), seq: 11 }],
    ["diverged", { ...last, epoch: 1, run: runOf("1"), seq: 900 }],
    ["diverged", { ...last, epoch: 1, run: strange, seq: 4 }],
    ["ahead", { ...last, seq: 21 }],
    ["ahead", { ...last, run: strange, seq: 15 }],
    ["ahead", { ...last, run: strange, seq: 99 }],
    ["stale_epoch", { ...last, epoch: 3, run: strange, seq: 15 }],
    ["stale_epoch", { ...last, epoch: 3, run: strange, seq: 99 }],
  ] as const;
  for (const [code, position] of cases) {
    const refusal = judgePosition(log, position as never);
    assert.equal(refusal?.code, code, JSON.stringify(position));
    assert.equal(refusal?.details.seq, 20);
  }
  log.trim(15);
  assert.equal(
    judgePosition(log, { ...last, epoch: 1 as never, run: strange, seq: seqOf(4) })?.code,
    "diverged",
  );
});

test("entries of this node's own in the epoch that it has not begun yet are ahead, all others of a higher one make it stale", () => {
  const me = nodeIdOf("a".repeat(32)), other = nodeIdOf("b".repeat(32)), empty = new FakeDatabase();
  const judged = (log: FakeDatabase, leads: number, of: number, by: typeof me, newest = "9"): unknown => {
    const epoch = epochOf(of), firstSeq = seqOf(1);
    const position = { epoch, run: runOf("9"), seq: seqOf(21), chain: 7 };
    const hello = { position, terms: [{ epoch, run: runOf(newest), nodeId: by, firstSeq }], resync: false };
    const verdict = judgeFollow(log, { nodeId: me, epoch: epochOf(leads) }, hello as unknown as Hello, 1_000);
    return "code" in verdict ? verdict.code : verdict.follow;
  };
  assert.equal(judged(empty, 1, 1, me), "ahead", "nothing was ever written here");
  assert.equal(judged(leader(), 3, 3, me), "ahead", "the last run here was another node's, or is given up");
  assert.equal(judged(empty, 1, 1, other), "stale_epoch", "somebody else may lead");
  assert.equal(judged(empty, 1, 2, me), "stale_epoch", "a life that this node does not remember");
  assert.equal(judged(leader(), 4, 3, me), "stale_epoch", "diverged, once the epoch has begun");
  assert.equal(judged(empty, 1, 1, me, "8"), "stale_epoch", "a term of another run says nothing of this one");
});
