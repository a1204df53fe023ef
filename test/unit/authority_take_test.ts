/** Who may take the place, by what stands in etcd; the setting that names an authority. */
import assert from "node:assert/strict";
import test from "node:test";
import type { DfdbError } from "../../src/base/errors.ts";
import { epochOf, type NodeId, nodeIdOf } from "../../src/base/ids.ts";
import { type LeaderClaim, silence } from "../../src/cluster/authority.ts";
import type { KeysSeen, KeyState } from "../../src/cluster/authority/keys.ts";
import { leaderOf, leaderText, syncOf, syncText } from "../../src/cluster/authority/records.ts";
import { parseAuthority } from "../../src/cluster/authority/setting.ts";
import { planTake } from "../../src/cluster/authority/take.ts";
import type { KnownNode } from "../../src/wire/message.ts";

const idOf = (digit: string): NodeId => nodeIdOf(digit.repeat(32));

function nodeOf(digit: string): KnownNode {
  return {
    nodeId: idOf(digit),
    nodeName: `node-${digit}`,
    httpUrl: `http://node-${digit}:5000`,
    wireAddress: `node-${digit}:5500`,
  };
}

const state = (text: string, modRevision = "7", lease = "0"): KeyState => ({ text, modRevision, lease });
const leads = (digit: string, epoch: number, lease = "88") =>
  state(leaderText(nodeOf(digit), epochOf(epoch)), "9", lease);
const set = (required: number, ...digits: string[]) =>
  state(syncText({ required, members: digits.map(idOf) }));
const nobody: KeysSeen = { leader: null, epoch: null, sync: null };

function claimOf(digit: string, more: Partial<LeaderClaim> = {}): LeaderClaim {
  return { node: nodeOf(digit), above: epochOf(0), syncRequired: 0, ...more };
}

/** In short: the epoch and what is put beside it, or the reason why not. */
function plan(seen: Partial<KeysSeen>, claim: LeaderClaim) {
  const plan = planTake({ ...nobody, ...seen }, claim, "99");
  if (plan.step === "refused") return plan.error.details["reason"];
  if (plan.step === "taken") return ["taken", plan.epoch];
  const sync = plan.puts.find(({ key }) => key === "sync");
  return sync === undefined ? plan.epoch : [plan.epoch, JSON.parse(sync.text)];
}

test("the first leader", () => {
  const taken = planTake(nobody, claimOf("a", { above: epochOf(4) }), "99");
  assert.deepEqual(taken, {
    step: "transact",
    epoch: 5,
    sync: { required: 0, members: [] },
    compares: [
      { key: "leader", unchanged: null },
      { key: "epoch", unchanged: null },
      { key: "sync", unchanged: null },
    ],
    puts: [
      { key: "leader", text: leaderText(nodeOf("a"), epochOf(5)), lease: "99" },
      { key: "epoch", text: "5" },
    ],
  });
});

test("the epoch is above the one kept and above all that the node has seen", () => {
  assert.equal(plan({ epoch: state("7") }, claimOf("a", { above: epochOf(3) })), 8);
  assert.equal(plan({ epoch: state("3") }, claimOf("a", { above: epochOf(7) })), 8);
});

test("a place that is held: not for others; for the same node, and for whom it is handed to", () => {
  const held = { leader: leads("b", 6), epoch: state("6") };
  const refused = planTake({ ...nobody, ...held }, claimOf("a"), "99");
  assert.ok(refused.step === "refused");
  assert.equal(refused.error.code, "no_lease");
  assert.deepEqual(refused.error.details, {
    reason: "held",
    leaderNodeId: idOf("b"),
    leaderName: "node-b",
    leaderHttpUrl: "http://node-b:5000",
    leaderWireAddress: "node-b:5500",
    epoch: 6,
  });
  assert.equal(plan(held, claimOf("b")), 7);
  const from = (digit: string, epoch: number) => ({ from: { ...nodeOf(digit), epoch: epochOf(epoch) } });
  assert.equal(plan(held, claimOf("a", from("b", 6))), 7);
  assert.equal(plan(held, claimOf("a", from("c", 6))), "held");
  assert.equal(plan(held, claimOf("a", from("b", 5))), "held", "it took the place anew since");
  const transaction = planTake({ ...nobody, ...held }, claimOf("a", from("b", 6)), "99");
  assert.ok(transaction.step === "transact");
  assert.deepEqual(transaction.compares[0], { key: "leader", unchanged: held.leader });
});

test("a key that is bound to this attempt's lease: the transaction was carried out", () => {
  assert.deepEqual(plan({ leader: leads("a", 6, "99"), epoch: state("6") }, claimOf("a")), ["taken", 6]);
  assert.equal(plan({ leader: leads("a", 6, "98"), epoch: state("6") }, claimOf("a")), 7);
});

test("where answers wait for followers, only members lead", () => {
  const sync = set(1, "a", "b");
  assert.equal(plan({ sync }, claimOf("a", { syncRequired: 1 })), 1);
  assert.equal(plan({ sync }, claimOf("c", { syncRequired: 1 })), "not_member");
  assert.equal(plan({ sync, leader: leads("c", 3) }, claimOf("c", { syncRequired: 1 })), "not_member");
  assert.equal(plan({ sync: set(0) }, claimOf("c", { syncRequired: 0 })), 1);
});

test("whom a leader hands over to comes into the set", () => {
  const from = { ...nodeOf("b"), epoch: epochOf(3) },
    seen = { sync: set(1, "b", "d"), leader: leads("b", 3) };
  const [b, c, d] = ["b", "c", "d"].map(idOf);
  assert.deepEqual(plan(seen, claimOf("c", { syncRequired: 1, from })), [1, {
    required: 1,
    members: [b, d, c],
  }]);
  assert.equal(plan({ ...seen, leader: null }, claimOf("c", { syncRequired: 1, from })), "not_member");
});

test("a set begins with the leader alone, and ends where nobody waits", () => {
  const alone = { required: 2, members: [idOf("a")] };
  assert.deepEqual(plan({}, claimOf("a", { syncRequired: 2 })), [1, alone]);
  assert.deepEqual(plan({ sync: set(0, "a", "b") }, claimOf("a", { syncRequired: 2 })), [1, alone]);
  assert.deepEqual(plan({ sync: set(1, "a", "b") }, claimOf("a", { syncRequired: 2 })), [
    1,
    { required: 2, members: [idOf("a"), idOf("b")] },
  ]);
  assert.deepEqual(plan({ sync: set(1, "a", "b") }, claimOf("a")), [1, { required: 0, members: [] }]);
});

test("what is not ours is not touched", () => {
  assert.equal(plan({ leader: state("{}") }, claimOf("a")), "unreadable");
  assert.equal(plan({ epoch: state("-1") }, claimOf("a")), "unreadable");
  assert.equal(plan({ epoch: { text: null, modRevision: "1", lease: "0" } }, claimOf("a")), "unreadable");
  assert.equal(plan({ sync: state('{"required":1,"members":["x"]}') }, claimOf("a")), "unreadable");
});

test("records: what was written is read, anything else is not", () => {
  const node = { ...nodeOf("a"), httpUrl: null };
  assert.deepEqual(leaderOf(leaderText(node, epochOf(5))), { node, epoch: 5 });
  for (const text of ["", "1", "null", "[]", "{", '{"nodeId":"x","epoch":1}', '{"epoch":1}']) {
    assert.equal(leaderOf(text), null, text);
  }
  const sync = { required: 1, members: [idOf("a")] };
  assert.deepEqual(syncOf(syncText(sync)), sync);
  for (const text of ["", "null", "{}", '{"required":-1,"members":[]}', '{"required":1}']) {
    assert.equal(syncOf(text), null, text);
  }
});

test("the setting", () => {
  assert.deepEqual(parseAuthority("silence"), { kind: "silence" });
  assert.deepEqual(parseAuthority("etcd=http://one:2379/, https://two,http://one:2379"), {
    kind: "etcd",
    endpoints: ["http://one:2379", "https://two"],
  });
  const wrong = [
    "",
    "Silence",
    "etcd",
    "etcd=",
    "etcd=one:2379",
    "etcd=http://one,",
    "etcd=http://one/v3",
    "etcd=http://one?x=1",
    "etcd=http://me:secret@one",
    "etcd=ftp://one",
  ];
  for (const text of wrong) {
    assert.throws(() => parseAuthority(text), (error: DfdbError) => {
      assert.equal(error.code, "setting_invalid", text);
      assert.match(error.message, /^--failover-authority: /);
      assert.ok(!error.message.includes("secret"));
      return true;
    }, text);
  }
});

test("silence says nothing", async () => {
  assert.equal(silence.check(), null);
  assert.equal(await silence.take(claimOf("a")), null);
  assert.equal(await silence.holder(), null);
  silence.watch(() => assert.fail("it never calls"))();
  silence.onLost(() => assert.fail("nothing is lost"))();
  await silence.release();
  await silence.close();
});
