/** Which change of the sync set is due. */
import assert from "node:assert/strict";
import test from "node:test";
import { type NodeId, nodeIdOf, seqOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { nextSyncChange } from "../../src/cluster/authority/sync_change.ts";

const idOf = (digit: string): NodeId => nodeIdOf(digit.repeat(32));

/** `members` and `followers` in short: "ab", "b10 c12"; the leader is a; 10 was answered. */
function next(required: number, members: string, followers: string): string {
  const change = nextSyncChange({
    leader: idOf("a"),
    required,
    members: [...members].map(idOf),
    answeredSeq: seqOf(10),
    followers: followers.split(" ").filter((text) => text !== "").map((text) => ({
      nodeId: idOf(text.slice(0, 1)),
      durableSeq: seqOf(Number(text.slice(1))),
    })),
  });
  return change === null ? "" : `${change.type} ${change.nodeId.slice(0, 1)}`;
}

test("nothing where no answer waits", () => assert.equal(next(0, "ab", "c10"), ""));

test("who holds all that was answered comes in, the newest first", () => {
  assert.equal(next(1, "a", "b9"), "");
  assert.equal(next(1, "a", "b10"), "enter b");
  assert.equal(next(1, "a", "b10 c11"), "enter c");
  assert.equal(next(1, "a", "c10 b10"), "enter b");
  assert.equal(next(2, "ab", "b10 c10"), "enter c");
});

test("no more come in than are needed", () => {
  assert.equal(next(1, "ab", "b10 c10"), "");
  assert.equal(next(1, "ab", "b2 c10"), "", "who is slow stays: the caller says who keeps up");
});

test("a member that is away: another comes in, then it goes", () => {
  assert.equal(next(1, "ab", ""), "", "nobody takes its place: answers wait for it");
  assert.equal(next(1, "ab", "c9"), "");
  assert.equal(next(1, "ab", "c10"), "enter c");
  assert.equal(next(1, "abc", "c10"), "leave b");
  assert.equal(next(1, "abc", "b10 c10"), "leave c", "it came back: one too many");
  assert.equal(next(1, "abc", "b9 c10"), "leave b");
  assert.equal(next(2, "abc", "c10 d10"), "enter d");
  assert.equal(next(2, "abcd", "c10 d10"), "leave b");
});

test("a leader that is no member comes in itself", () => assert.equal(next(1, "bc", "b10"), "enter a"));

test("whatever happens: it comes to rest, and never are fewer in than required once they were", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = prng(seed), required = 1 + Math.floor(random.float() * 3);
    const all = [..."bcdef"].map(idOf);
    let members = [idOf("a"), ...all.filter(() => random.float() < 0.4)];
    const followers = all.filter(() => random.float() < 0.7).map((nodeId) => ({
      nodeId,
      durableSeq: seqOf(8 + Math.floor(random.float() * 4)),
    }));
    let steps = 0;
    for (;;) {
      const change = nextSyncChange({
        leader: idOf("a"),
        required,
        members,
        answeredSeq: seqOf(10),
        followers,
      });
      if (change === null) break;
      assert.ok(++steps < 20, `seed ${seed} does not come to rest`);
      const { nodeId } = change, before = members.length - 1;
      if (change.type === "enter") members = [...members, nodeId];
      else {
        members = members.filter((member) => member !== nodeId);
        assert.ok(before > required, `seed ${seed}: too few are left`);
      }
    }
    const able = followers.filter(({ nodeId, durableSeq }) => members.includes(nodeId) || durableSeq >= 10);
    const up = members.filter((member) => followers.some(({ nodeId }) => nodeId === member)).length;
    assert.ok(up >= Math.min(required, able.length), `seed ${seed}: who could be in is not`);
  }
});
