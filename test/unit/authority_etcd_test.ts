/** The lease in etcd: taken, kept, lost, given up, handed over, whatever happens on the way. */
import assert from "node:assert/strict";
import test from "node:test";
import { databaseIdOf, epochOf } from "../../src/base/ids.ts";
import { leaseSeconds } from "../../src/cluster/authority/etcd.ts";
import { authorityDatabase, AuthorityRig, claimOf, idOf, keyOf, nodeOf } from "../tool/authority_rig.ts";

const txn = "/v3/kv/txn", keepAlive = "/v3/lease/keepalive";

test("a lease has whole seconds, at least 2", () => {
  assert.deepEqual([200, 2_000, 2_001, 10_000].map(leaseSeconds), [2, 2, 3, 10]);
});

test("taken, kept alive, given up", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b"), losses = rig.losses(a);
  assert.equal(a.check()?.code, "no_lease");
  assert.equal(await rig.outcome(a.take(claimOf("a", { above: epochOf(6) }))), 7);
  assert.equal(rig.etcd.text(keyOf("epoch")), "7");
  for (let i = 0; i < 60; i++) {
    await rig.clock.advance(1_000);
    assert.equal(a.check(), null);
  }
  assert.deepEqual(await rig.outcome(b.holder()), { node: nodeOf("a"), epoch: 7 });
  assert.equal(await rig.outcome(b.take(claimOf("b"))), "held");
  const released = a.release();
  assert.equal(a.check()?.code, "no_lease");
  await rig.outcome(released);
  assert.deepEqual([await rig.outcome(b.holder()), rig.etcd.store.nextExpiry], [null, null]);
  assert.equal(await rig.outcome(b.take(claimOf("b"))), 8);
  assert.deepEqual([losses.count, a.check()?.details["reason"]], [0, "not_held"]);
});

test("an etcd that is away: the leader goes on until 0.8 of its lease, and says once that it is lost", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
  await rig.outcome(a.take(claimOf("a")));
  rig.etcd.trouble.set("etcd1", "refused");
  await rig.clock.advance(7_999 - rig.clock.monotonic());
  assert.equal(a.check(), null);
  await rig.clock.advance(1);
  assert.deepEqual([a.check()?.details["reason"], losses.count], ["not_held", 1]);
  rig.etcd.trouble.clear();
  await rig.clock.advance(60_000);
  assert.deepEqual([a.check()?.code, losses.count], ["no_lease", 1]);
  assert.equal(await rig.outcome(a.take(claimOf("a"))), 2);
  assert.equal(a.check(), null);
  assert.equal(rig.clock.timers, 1, "nothing is left over of the first lease");
});

test("a short trouble is nothing; renewals are tried again soon", async () => {
  for (const trouble of ["refused", "silent", "deaf", "broken"] as const) {
    const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
    await rig.outcome(a.take(claimOf("a")));
    for (let i = 0; i < 5; i++) {
      rig.etcd.trouble.set("etcd1", trouble);
      await rig.clock.advance(4_000);
      rig.etcd.trouble.clear();
      await rig.clock.advance(4_000);
      assert.equal(a.check(), null, trouble);
    }
    assert.equal(losses.count, 0);
  }
});

test("a process that was held: the check says no before any timer rings", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
  await rig.outcome(a.take(claimOf("a")));
  rig.clock.pass(8_000);
  assert.equal(a.check()?.code, "no_lease");
  assert.equal(losses.count, 0, "who asks in a commit is not called back in it");
  await rig.clock.settle();
  assert.equal(losses.count, 1);
});

test("a machine that was suspended, by its wall clock", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
  await rig.outcome(a.take(claimOf("a")));
  rig.clock.wallAheadMs = 1_001;
  assert.equal(a.check()?.code, "no_lease");
  rig.clock.wallAheadMs = 0;
  assert.equal(a.check()?.code, "no_lease", "what was lost stays lost");
  await rig.clock.settle();
  assert.equal(losses.count, 1);
});

test("a key that is taken away, or a lease that is not known any more, ends it at the next renewal", async () => {
  for (const spoil of ["remove", "write", "revoke"] as const) {
    const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
    await rig.outcome(a.take(claimOf("a")));
    if (spoil === "remove") rig.etcd.remove(keyOf("leader"));
    else if (spoil === "write") rig.etcd.write(keyOf("leader"), "somebody");
    else {
      rig.etcd.trouble.set("etcd1", "refused");
      await rig.clock.advance(7_000);
      rig.etcd.store.expire();
      rig.clock.pass(3_000);
    }
    await rig.clock.advance(2_600);
    assert.deepEqual([a.check()?.code, losses.count], ["no_lease", 1], spoil);
  }
});

test("an endpoint that does not answer beside one that does", async () => {
  for (const trouble of ["refused", "silent", "broken"] as const) {
    const rig = new AuthorityRig(), a = rig.open("a", ["http://etcd1:2379", "http://etcd2:2379"]);
    rig.etcd.trouble.set("etcd1", trouble);
    assert.equal(await rig.outcome(a.take(claimOf("a"))), 1, trouble);
    assert.deepEqual(rig.etcd.asked.slice(0, 2), ["etcd1 /v3/lease/grant", "etcd2 /v3/lease/grant"]);
    assert.ok(
      rig.etcd.asked.slice(2).every((asked) => asked.startsWith("etcd2 ")),
      "it stays with who answers",
    );
    rig.etcd.trouble.delete("etcd1");
    rig.etcd.trouble.set("etcd2", trouble);
    await rig.clock.advance(30_000);
    assert.equal(a.check(), null, trouble);
  }
});

test("a transaction of which no answer came", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b");
  rig.etcd.trouble.set("etcd1", "silent");
  assert.equal(await rig.outcome(a.take(claimOf("a"))), "unreachable");
  rig.etcd.trouble.clear();
  // Carried out, and the next look finds it.
  const taken = a.take(claimOf("a"));
  const fetched = rig.etcd.asked.length;
  await rig.clock.until(() => rig.etcd.asked.slice(fetched).some((asked) => asked.endsWith(txn)), "the look");
  rig.etcd.trouble.set(txn, "deaf");
  await rig.clock.until(() => rig.etcd.text(keyOf("leader")) !== null, "it is carried out");
  rig.etcd.trouble.clear();
  assert.equal(await rig.outcome(taken), 1);
  assert.deepEqual([a.check(), rig.etcd.text(keyOf("epoch"))], [null, "1"]);
  assert.equal(await rig.outcome(b.take(claimOf("b"))), "held");
});

test("a transaction that arrives after it was given up does nothing", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b");
  const taken = a.take(claimOf("a"));
  await rig.clock.until(() => rig.etcd.asked.some((asked) => asked.endsWith(txn)), "the look");
  rig.etcd.trouble.set(txn, "late");
  assert.equal(await rig.outcome(taken), "unreachable");
  rig.etcd.trouble.clear();
  await rig.clock.advance(10);
  rig.etcd.deliver();
  assert.equal(rig.etcd.text(keyOf("leader")), null, "its lease was given up with it");
  assert.equal(await rig.outcome(b.take(claimOf("b"))), 1);
});

test("a lease that was granted too long ago is given up", async () => {
  const rig = new AuthorityRig(), a = rig.open("a");
  const taken = a.take(claimOf("a"));
  await rig.clock.settle();
  rig.clock.pass(8_000);
  assert.equal(await rig.outcome(taken), "unreachable");
  await rig.clock.advance(10);
  assert.equal(rig.etcd.text(keyOf("leader")), null);
});

test("two that want it at the same time: one has it", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b");
  const outcomes = await Promise.all([
    rig.outcome(a.take(claimOf("a"))),
    rig.outcome(b.take(claimOf("b"))),
  ]);
  assert.deepEqual(outcomes.map(String).sort(), ["1", "held"]);
  assert.equal([a, b].filter((each) => each.check() === null).length, 1);
});

test("a node that starts again takes what its last run held, in a new epoch", async () => {
  const rig = new AuthorityRig(), first = rig.open("a");
  await rig.outcome(first.take(claimOf("a")));
  await first.close();
  const second = rig.open("a");
  assert.equal(await rig.outcome(second.take(claimOf("a"))), 2);
  await rig.clock.advance(30_000);
  assert.equal(second.check(), null);
});

test("who holds it takes it anew without a gap; if that comes to nothing known, it is lost", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
  await rig.outcome(a.take(claimOf("a")));
  await rig.clock.advance(2_400);
  const again = a.take(claimOf("a", { above: epochOf(8) }));
  assert.equal(a.check(), null);
  assert.equal(await rig.outcome(again), 9);
  await rig.clock.advance(30_000);
  assert.deepEqual([a.check(), losses.count], [null, 0]);
  rig.etcd.trouble.set("/v3/lease/grant", "refused");
  assert.equal(await rig.outcome(a.take(claimOf("a"))), "unreachable");
  assert.deepEqual([a.check(), losses.count], [null, 0], "nothing was tried");
  rig.etcd.trouble.clear();
  const third = a.take(claimOf("a")), looked = rig.etcd.asked.length;
  await rig.clock.until(() => rig.etcd.asked.slice(looked).some((asked) => asked.endsWith(txn)), "the look");
  rig.etcd.trouble.set(txn, "deaf");
  assert.equal(await rig.outcome(third), "unreachable");
  await rig.clock.advance(10);
  assert.deepEqual([a.check()?.code, losses.count], ["no_lease", 1]);
});

test("a handover: the place goes from one to the other in one step, and not after the first took it anew", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b"), losses = rig.losses(a);
  const epoch = await rig.outcome(a.take(claimOf("a"))) as number;
  const from = { ...nodeOf("a"), epoch: epochOf(epoch) };
  assert.equal(await rig.outcome(b.take(claimOf("b", { from }))), 2);
  assert.equal(b.check(), null);
  await rig.clock.advance(3_000);
  assert.deepEqual(
    [a.check()?.code, losses.count],
    ["no_lease", 1],
    "who gave it away learns it from the key",
  );
  await rig.outcome(a.release());
  assert.deepEqual(await rig.outcome(a.holder()), { node: nodeOf("b"), epoch: 2 });
  await rig.clock.advance(30_000);
  assert.equal(b.check(), null);
  await rig.outcome(b.take(claimOf("b")));
  const old = { ...nodeOf("b"), epoch: epochOf(2) };
  assert.equal(await rig.outcome(a.take(claimOf("a", { from: old }))), "held");
});

test("who waits is called while nobody leads, and not by who leads", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b");
  const calls = { a: 0, b: 0 };
  a.watch(() => calls.a++);
  const stop = b.watch(() => calls.b++);
  await rig.clock.advance(10_000);
  assert.ok(calls.a > 3 && calls.a < 20, `${calls.a}`);
  await rig.outcome(a.take(claimOf("a")));
  Object.assign(calls, { a: 0, b: 0 });
  await rig.clock.advance(30_000);
  assert.deepEqual(calls, { a: 0, b: 0 });
  rig.etcd.trouble.set("etcd1", "refused");
  await rig.clock.advance(30_000);
  assert.deepEqual(calls, { a: 0, b: 0 }, "an etcd that is away tells nobody anything");
  rig.etcd.trouble.clear();
  await rig.clock.advance(3_000);
  assert.ok(calls.a > 0 && calls.b > 0);
  stop();
  Object.assign(calls, { a: 0, b: 0 });
  await rig.clock.advance(5_000);
  assert.ok(calls.a > 0 && calls.b === 0);
});

test("who lost what is still bound to its name is told that it is free", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), b = rig.open("b"), calls = { a: 0, b: 0 };
  a.watch(() => calls.a++);
  b.watch(() => calls.b++);
  await rig.outcome(a.take(claimOf("a")));
  rig.clock.wallAheadMs = 5_000;
  assert.equal(a.check()?.code, "no_lease");
  await rig.clock.advance(3_000);
  assert.ok(calls.a > 0 && calls.b === 0);
});

test("after the end nothing runs and nothing is taken", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), losses = rig.losses(a);
  a.watch(() => assert.fail("nobody is called"));
  await rig.outcome(a.take(claimOf("a")));
  rig.etcd.trouble.set(txn, "silent");
  const last = rig.outcome(a.take(claimOf("a")));
  await rig.clock.settle();
  await a.close();
  assert.equal(await last, "unreachable");
  await rig.clock.advance(10);
  assert.deepEqual([rig.clock.timers, losses.count, a.check()?.code], [0, 0, "no_lease"]);
  assert.equal(await rig.outcome(a.take(claimOf("a"))), "closing");
  await a.release();
  a.watch(() => assert.fail("nobody is called"))();
  assert.equal(rig.clock.timers, 0);
});

test("given up while it is being taken", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), taken = rig.outcome(a.take(claimOf("a")));
  await rig.outcome(a.release());
  assert.equal(await taken, "closing");
  assert.deepEqual([rig.etcd.text(keyOf("leader")), a.check()?.code], [null, "no_lease"]);
});

test("a keep-alive that etcd cannot answer is no end", async () => {
  const rig = new AuthorityRig(), a = rig.open("a");
  await rig.outcome(a.take(claimOf("a")));
  rig.etcd.trouble.set(keepAlive, "broken");
  await rig.clock.advance(7_900);
  assert.equal(a.check(), null);
  rig.etcd.trouble.clear();
  assert.notEqual(await rig.outcome(a.holder()), "unreachable");
  rig.etcd.trouble.set("etcd1", "refused");
  assert.equal(await rig.outcome(a.holder()), "unreachable");
  assert.equal(a.syncSet?.members()?.includes(idOf("a")), false);
});

test("a new follower that takes over its leader's database asks for that one's keys", async () => {
  const rig = new AuthorityRig(), a = rig.open("a"), own = databaseIdOf("e".repeat(32));
  let databaseId = own;
  const b = rig.open("b", undefined, undefined, () => databaseId);
  await rig.outcome(a.take(claimOf("a")));
  assert.equal(await rig.outcome(b.holder()), null);
  databaseId = authorityDatabase;
  assert.deepEqual(await rig.outcome(b.holder()), { node: nodeOf("a"), epoch: 1 });
});
