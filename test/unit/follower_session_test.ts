/** Parts of the follower's side, step by step; the stories are in test/scenario/follower_session.txt. */
import assert from "node:assert/strict";
import test from "node:test";
import { seqOf, wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { ApplyPace } from "../../src/replication/apply_pace.ts";
import { Backoff } from "../../src/replication/backoff.ts";
import { FollowerTail } from "../../src/replication/follower_tail.ts";
import { LeaderView } from "../../src/replication/leader_view.ts";
import { errorOfRefusal, refusedMessage } from "../../src/replication/refusal.ts";
import type { Position } from "../../src/storage/log.ts";
import type { Append } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { sampleMessages } from "../tool/sample_messages.ts";

const leader = new FakeDatabase();
leader.lead(1, runOf("1"));
leader.write(19, 100);

function append(from: number, to: number): Append {
  return {
    type: "append",
    previous: leader.at(seqOf(from - 1)) as Position,
    entries: leader.kept.slice(from - 1, to),
  };
}

test("the tail takes what continues it, skips what it holds, and refuses holes", () => {
  const tail = new FollowerTail(leader.copy(5));
  assert.equal(tail.add(append(6, 8)), null);
  assert.equal(tail.add(append(4, 9)), null);
  assert.equal(tail.count, 4);
  assert.equal(tail.bytes, 400);
  const gap = tail.add(append(11, 12));
  assert.equal(gap?.code, "gap");
  assert.deepEqual(gap?.details, { have: 9, got: 11 });
  assert.deepEqual(tail.take({ entriesMax: 3, bytesMax: 1_000 }).map((entry) => entry.seq), [6, 7, 8]);
  assert.deepEqual(tail.take({ entriesMax: 3, bytesMax: 1 }).map((entry) => entry.seq), [9], "at least one");
  assert.equal(tail.count, 0);
  assert.equal(tail.bytes, 0);
});

test("the tail compares every entry that it already holds", () => {
  const held = leader.copy(5), changed = append(4, 6);
  const entries = changed.entries.map((entry, i) => i === 1 ? { ...entry, chain: 7 } : entry);
  assert.equal(new FollowerTail(held).add({ ...changed, entries })?.code, "diverged");
  assert.equal(
    new FollowerTail(held).add({ ...changed, previous: { ...changed.previous, chain: 7 } })?.code,
    "corrupt",
  );
  const otherRun = { ...changed.previous, run: runOf("2") };
  assert.equal(new FollowerTail(held).add({ ...changed, previous: otherRun })?.code, "diverged");
  held.trim(4);
  assert.equal(
    new FollowerTail(held).add(append(3, 6))?.code,
    "diverged",
    "trimmed here: cannot be compared",
  );
});

test("pauses double up to the maximum, keep their jitter, and begin anew after success", () => {
  const random = prng(7), backoff = new Backoff(100, 5_000, () => random.float());
  for (let round = 0; round < 200; round++) {
    for (const ceiling of [200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
      const pause = backoff.next();
      assert.ok(pause >= 100 && pause <= ceiling, `${pause} of ${ceiling}`);
    }
    backoff.reset();
  }
});

test("the pace follows what an apply takes", () => {
  const pace = new ApplyPace(50, 2_000);
  pace.took(2_000, 40);
  assert.equal(pace.entries, 2_000);
  pace.took(2_000, 500);
  assert.equal(pace.entries, 200);
  pace.took(20, 1);
  assert.equal(pace.entries, 200, "a short one says nothing");
  pace.took(200, 10);
  assert.equal(pace.entries, 400);
  pace.took(1, 9_000);
  assert.equal(pace.entries, 1);
});

test("ages are told by the leader's clock", () => {
  const view = new LeaderView(), welcome = sampleMessages.find((message) => message.type === "welcome");
  assert.equal(view.ageOf(wallMsOf(0), 5 as never), null);
  assert.ok(welcome !== undefined);
  view.welcomed(welcome, 1_000 as never);
  assert.equal(view.ageOf(wallMsOf(welcome.wallMs - 30), 1_200 as never), 230);
  assert.equal(view.ageOf(wallMsOf(welcome.wallMs + 9_999), 1_200 as never), 0);
});

test("a refusal keeps its code, sentence and details over the wire", () => {
  const refused = sampleMessages.find((message) => message.type === "refused");
  assert.ok(refused !== undefined);
  assert.deepEqual(refusedMessage(errorOfRefusal(refused)), refused);
});
