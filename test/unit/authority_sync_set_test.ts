/** The leader's changes of the sync set in etcd, and whom it must wait for meanwhile. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Authority, SyncSet } from "../../src/cluster/authority.ts";
import { AuthorityRig, claimOf, idOf, keyOf } from "../tool/authority_rig.ts";

/** Node a leads, and answers wait for `required` followers. */
async function leading(required: number) {
  const rig = new AuthorityRig(), a = rig.open("a");
  const take = (authority: Authority, letter: string) =>
    rig.outcome(authority.take(claimOf(letter, { syncRequired: required })));
  assert.equal(await take(a, "a"), 1);
  const set = a.syncSet as SyncSet;
  return {
    rig,
    a,
    set,
    take,
    enter: (letter: string) => rig.outcome(set.enter(idOf(letter))),
    leave: (letter: string) => rig.outcome(set.leave(idOf(letter))),
    /** For whom this leader waits. */
    get members() {
      return lettersOf(set.members() ?? []);
    },
    /** Who may take the place. */
    get kept() {
      const text = rig.etcd.text(keyOf("sync"));
      return text === null ? null : lettersOf(JSON.parse(text).members);
    },
  };
}

const lettersOf = (ids: readonly string[]): string => ids.map((id) => id.slice(0, 1)).sort().join("");

test("it begins with the leader; members come and go, and only they take the place", async () => {
  const at = await leading(1), { rig, a } = at, b = rig.open("b"), c = rig.open("c");
  assert.deepEqual([at.members, at.kept], ["a", "a"]);
  assert.equal(await at.enter("b"), true);
  assert.deepEqual([at.members, at.kept], ["ab", "ab"]);
  assert.equal(await at.enter("b"), true, "it is in");
  await rig.outcome(a.release());
  assert.equal(a.syncSet?.members(), null, "who does not lead does not know for whom to wait");
  assert.equal(await at.take(c, "c"), "not_member");
  assert.equal(await at.take(b, "b"), 2);
  assert.equal(lettersOf(b.syncSet?.members() ?? []), "ab");
  assert.equal(await at.enter("c"), false);
  assert.equal(at.kept, "ab");
});

test("who is asked in counts from the call on; who is asked out until it is out", async () => {
  const at = await leading(1);
  const entering = at.enter("b");
  assert.deepEqual([at.members, at.kept], ["ab", "a"]);
  assert.equal(await entering, true);
  await at.enter("c");
  const leaving = at.leave("b");
  assert.equal(at.members, "abc");
  assert.equal(await leaving, true);
  assert.deepEqual([at.members, at.kept], ["ac", "ac"]);
});

test("nobody goes when too few others remain, and the leader never", async () => {
  const at = await leading(2);
  await at.enter("b");
  assert.equal(await at.leave("b"), false);
  await at.enter("c");
  assert.equal(await at.leave("b"), false);
  await at.enter("d");
  assert.equal(await at.leave("a"), false);
  assert.equal(await at.leave("b"), true);
  assert.equal(await at.leave("b"), true, "it is out");
  assert.equal(at.kept, "acd");
});

test("two changes at once are carried out one after the other", async () => {
  const at = await leading(1);
  assert.deepEqual(await Promise.all([at.enter("b"), at.enter("c"), at.leave("b")]), [true, true, true]);
  assert.deepEqual([at.members, at.kept], ["ac", "ac"]);
});

test("a change of which nothing is known: it is waited for, and asked for again", async () => {
  for (const trouble of ["silent", "deaf", "late"] as const) {
    const at = await leading(1);
    at.rig.etcd.trouble.set("/v3/kv/txn", trouble);
    assert.equal(await at.enter("b"), false, trouble);
    assert.equal(at.members, "ab");
    at.rig.etcd.trouble.clear();
    await at.rig.clock.advance(3_000);
    assert.deepEqual([at.members, at.kept], ["ab", "ab"], "settled at a renewal");
    at.rig.etcd.deliver();
    assert.equal(at.kept, "ab");
  }
});

test("an entry that may still arrive is not brought in after the node was asked out", async () => {
  const at = await leading(1);
  await at.enter("c");
  at.rig.etcd.trouble.set("/v3/kv/txn", "late");
  assert.equal(await at.enter("b"), false);
  at.rig.etcd.trouble.clear();
  const leaving = at.leave("b");
  assert.equal(at.members, "abc");
  assert.equal(await leaving, true);
  assert.equal(at.members, "ac");
  at.rig.etcd.deliver();
  assert.equal(at.kept, "ac");
});

test("out and in again: it counts all the time", async () => {
  const at = await leading(1);
  await at.enter("b");
  await at.enter("c");
  const both = Promise.all([at.leave("b"), at.enter("b")]);
  let least = at.members;
  await at.rig.clock.until(() => {
    if (at.members.length < least.length) least = at.members;
    return at.kept === "ac";
  }, "it is out");
  assert.deepEqual(await both, [true, true]);
  assert.deepEqual([least, at.members, at.kept], ["abc", "abc", "abc"]);
});

test("who lost the lease changes nothing, even if it does not know it", async () => {
  const at = await leading(1), b = at.rig.open("b");
  await at.enter("b");
  at.rig.etcd.remove(keyOf("leader"));
  assert.equal(await at.take(b, "b"), 2);
  assert.equal(await at.enter("c"), false);
  assert.equal(at.kept, "ab");
  await at.rig.clock.advance(3_000);
  assert.equal(at.members, "");
});

test("where no answer waits there is no set", async () => {
  const at = await leading(0);
  assert.deepEqual([at.members, at.kept], ["", null]);
  assert.equal(await at.enter("b"), false);
  assert.deepEqual([at.members, at.kept], ["", null]);
});
