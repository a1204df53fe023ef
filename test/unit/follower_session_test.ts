/** Parts of the follower's side, step by step; the stories are in test/scenario/follower_session.txt. */
import assert from "node:assert/strict";
import test from "node:test";
import { seqOf, wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { ApplyPace } from "../../src/replication/apply_pace.ts";
import { Bisection } from "../../src/replication/bisection.ts";
import { Backoff } from "../../src/replication/backoff.ts";
import { EntryParts } from "../../src/replication/entry_parts.ts";
import { FollowerTail } from "../../src/replication/follower_tail.ts";
import { probedAt } from "../../src/replication/judge_position.ts";
import { LeaderView } from "../../src/replication/leader_view.ts";
import { errorOfRefusal, refusedMessage } from "../../src/replication/refusal.ts";
import type { Position } from "../../src/storage/log.ts";
import type { Append } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "../tool/fake_database.ts";
import { identityOf } from "../tool/replication_rig.ts";
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
  const held = leader.copy(5), tail = new FollowerTail(held);
  assert.equal(tail.add(append(6, 8)), null);
  assert.equal(tail.add(append(4, 9)), null);
  assert.equal(tail.count, 4);
  assert.equal(tail.bytes, 400);
  const gap = tail.add(append(11, 12));
  assert.equal(gap?.code, "gap");
  assert.deepEqual(gap?.details, { have: 9, got: 11 });
  const taken = (entriesMax: number, bytesMax: number, lastSeq: number | null): number[] =>
    tail.take({ entriesMax, bytesMax, lastSeq }).map((entry) => entry.seq);
  assert.deepEqual(taken(3, 1_000, 5), [], "nothing after 5");
  assert.deepEqual(taken(3, 1_000, 7), [6, 7]);
  assert.equal(tail.first?.seq, 6, "taken and not applied");
  assert.equal(tail.firstWaiting?.seq, 8);
  assert.equal(tail.add(append(6, 10)), null, "what was taken is still held");
  held.apply(leader.kept.slice(5, 7));
  tail.settled();
  assert.equal(tail.first?.seq, 8);
  assert.deepEqual(taken(2, 1_000, null), [8, 9]);
  held.apply(leader.kept.slice(7, 9));
  assert.deepEqual(taken(3, 1, null), [10], "at least one");
  tail.settled();
  assert.equal(tail.first, null);
  assert.equal(tail.count, 0);
  assert.equal(tail.bytes, 0);
});

test("parts of an entry make an append of one, and nothing is kept of it", () => {
  const [entry] = append(6, 6).entries, previous = append(6, 6).previous, parts = new EntryParts();
  assert.ok(entry !== undefined);
  const { term: { epoch, run }, chain, wallMs, payload } = entry, length = payload.length;
  for (let round = 0; round < 2; round++) {
    for (let offset = 0; offset < length; offset += 30) {
      const bytes = payload.subarray(offset, offset + 30);
      const got = parts.add({ type: "part", previous, epoch, run, chain, wallMs, length, offset, bytes });
      assert.equal(parts.open, offset + 30 < length);
      assert.deepEqual(got, parts.open ? null : append(6, 6));
    }
  }
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
  pace.took(400, 9_000);
  assert.equal(pace.entries, 64, "fewer would cost no less");
});

test("the pace does not count what every apply costs", () => {
  for (const fixedMs of [5, 30, 60, 400]) {
    const pace = new ApplyPace(50, 2_000), took = (entries: number): number => fixedMs + entries / 100;
    pace.took(2_000, 3_000);
    const applies: number[] = [];
    while (pace.entries < 2_000 && applies.length < 100) {
      applies.push(pace.entries);
      pace.took(pace.entries, took(pace.entries));
    }
    assert.ok(applies.length < 20, `${fixedMs} ms: ${applies.join(" ")}`);
    for (let i = 0; i < 20; i++) pace.took(pace.entries, took(pace.entries));
    assert.equal(pace.entries, 2_000, `${fixedMs} ms: it stays`);
  }
});

test("the pace ends where the entries themselves fill the time", () => {
  for (const fixedMs of [0, 60]) {
    const pace = new ApplyPace(50, 2_000);
    // 200 entries take 50 ms.
    for (let i = 0; i < 50; i++) pace.took(pace.entries, fixedMs + pace.entries / 4);
    assert.ok(pace.entries >= 100 && pace.entries <= 300, `${fixedMs} ms: ${pace.entries}`);
    pace.took(1, 10_000);
    pace.took(pace.entries, fixedMs + pace.entries);
    assert.ok(pace.entries < 300, "one that was held up is no licence");
  }
});

test("ages are told by the leader's clock", () => {
  const view = new LeaderView(), welcome = sampleMessages.find((message) => message.type === "welcome");
  const { nodeId, nodeName, httpUrl, wireAddress } = identityOf("a");
  const leaderNode = { nodeId, nodeName, httpUrl, wireAddress };
  assert.equal(view.ageOf(wallMsOf(0), 5 as never), null);
  assert.ok(welcome !== undefined);
  view.welcomed(leaderNode, welcome, 1_000 as never);
  assert.equal(view.ageOf(wallMsOf(welcome.wallMs - 30), 1_200 as never), 230);
  assert.equal(view.ageOf(wallMsOf(welcome.wallMs + 9_999), 1_200 as never), 0);
});

test("a refusal keeps its code, sentence and details over the wire", () => {
  const refused = sampleMessages.find((message) => message.type === "refused");
  assert.ok(refused !== undefined);
  assert.deepEqual(refusedMessage(errorOfRefusal(refused)), refused);
});

test("halving finds every point in common, wherever either log begins, in few questions", () => {
  for (const common of [1, 2, 19, 20, 21, 63, 64]) {
    for (const mineFirst of [1, 2, 20, 64, 65, 80]) {
      for (const theirsFirst of [1, 30, 70]) {
        const theirs = new FakeDatabase();
        theirs.lead(1, runOf("1"));
        theirs.write(common - 1);
        const mine = theirs.copy();
        mine.lead(1, runOf("2"));
        mine.write(99 - common);
        theirs.lead(2, runOf("3"));
        theirs.write(80);
        if (mineFirst > 1) mine.trim(mineFirst - 1);
        if (theirsFirst > 1) theirs.trim(theirsFirst - 1);
        const bisection = new Bisection(mine, theirs.last.seq),
          told = `${common} ${mineFirst} ${theirsFirst}`;
        let questions = 0, found: number | null | undefined;
        while (found === undefined) {
          const next = bisection.next;
          const answer = typeof next === "object" ? next : bisection.answered(probedAt(theirs, next));
          assert.ok(!(answer instanceof Error), told);
          if (answer !== null) found = answer.common;
          assert.ok(++questions < 12, told);
        }
        assert.equal(found, mineFirst - 1 > common ? null : common, told);
      }
    }
  }
});

test("the own log may be trimmed between a question and its answer: then everything is kept", () => {
  const cases = [
    { first: 1, trims: [90], found: null },
    { first: 5, trims: [5], found: null },
    { first: 5, trims: [0, 5, 10], found: 20 },
    { first: 5, trims: [30], found: null },
    { first: 1, trims: [0, 10, 10, 10, 20], found: 20 },
    { first: 1, trims: [0, 10, 10, 10, 21], found: null },
  ];
  for (const { first, trims, found } of cases) {
    const theirs = new FakeDatabase();
    theirs.lead(1, runOf("1"));
    theirs.write(19);
    const mine = theirs.copy();
    mine.lead(1, runOf("2"));
    mine.write(78);
    theirs.lead(2, runOf("3"));
    if (first > 1) mine.trim(first - 1);
    const bisection = new Bisection(mine, theirs.last.seq);
    let common: number | null | undefined;
    for (let i = 0; common === undefined; i++) {
      const next = bisection.next, to = trims[i] ?? 0;
      if (mine.first <= to) mine.trim(to);
      const answer = typeof next === "object" ? next : bisection.answered(probedAt(theirs, next));
      assert.ok(!(answer instanceof Error), `${first} ${trims}: ${String(answer)}`);
      if (answer !== null) common = answer.common;
    }
    assert.equal(common, found, `${first} ${trims}`);
  }
});
