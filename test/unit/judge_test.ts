/** What is shown of several versions under each policy, and the design review's case C13. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { hex, utf8, utf8Text } from "../../src/base/bytes.ts";
import { prng } from "../../src/base/prng.ts";
import { encodeVector, equalVectors } from "../../src/document/change_vector.ts";
import type { Candidate, ConflictPolicy, Outcome, Resolve } from "../../src/document/judge.ts";
import { contentHash, judge } from "../../src/document/judge.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import { vectorOfSet } from "../../src/document/version_set.ts";
import { databaseId, randomHistory, setText, shuffled, VersionWorld } from "../tool/version_world.ts";
import type { Master } from "../tool/version_world.ts";
import { mine } from "../tool/shared_out.ts";

const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());
const documents = { bytesMax: 1_000, nestingMax: 10 };
const manual: ConflictPolicy = { kind: "manual" }, latest: ConflictPolicy = { kind: "latest" };
const prefer = (...databases: number[]): ConflictPolicy => ({
  kind: "prefer",
  databases: databases.map(databaseId),
});
const byFunction = (resolve: Resolve): ConflictPolicy => ({ kind: "function", resolve, documents });

/** All contents of the conflict in a list, sorted. */
const merge = byFunction((candidates) =>
  utf8(JSON.stringify({ all: candidates.map(({ body }) => body === null ? null : utf8Text(body)).sort() }))
);
const policies: readonly ConflictPolicy[] = [manual, latest, prefer(2, 0), prefer(), merge];

const shownText = ({ shown }: Outcome): string =>
  "body" in shown ? utf8Text(shown.body) : shown.kind === "conflict" ? "conflict" : "deleted";
const loserTexts = ({ losers }: Outcome): string[] =>
  losers.map(({ body }) => body === null ? "deleted" : utf8Text(body));

function shownOn(master: Master, policy: ConflictPolicy, key = "k"): Outcome {
  return judge(master.tree, master.set(key), policy);
}

function settled(world: VersionWorld): void {
  world.settle(prng(1));
}

/** One document, written apart on each of so many masters, at the times given; null: deleted there. */
function apart(texts: readonly (string | null)[], times: readonly number[]): VersionWorld {
  const world = new VersionWorld(texts.length);
  texts.forEach((text, i) => world.master(i).write("k", text, times[i] as number));
  settled(world);
  return world;
}

function outcomeText({ shown, vector, modifiedMs, losers }: Outcome): string {
  const hash = contentHash(shown, sha256), dot = shown.kind === "version" ? shown.dot : null;
  return JSON.stringify([
    shown.kind,
    dot,
    hash === null ? null : hex(hash),
    vector,
    modifiedMs,
    setText(losers),
  ]);
}

test("random histories: under every policy the end is the same on every node, and equal vectors are equal bytes", () => {
  let judged = 0, conflicts = 0;
  for (const seed of mine(Array.from({ length: 90 }, (_, i) => i))) {
    const random = prng(seed),
      { world, messages } = randomHistory(random, 120),
      byVector = new Map<string, string>();
    const note = (key: string, policy: number, outcome: Outcome): void => {
      const vector = `${key} ${policy} ${encodeVector(outcome.vector)}`, text = outcomeText(outcome);
      assert.equal(byVector.get(vector) ?? text, text, `seed ${seed}`);
      byVector.set(vector, text);
      judged++;
      if (outcome.shown.kind === "conflict") conflicts++;
    };
    world.settle(random);
    const tree = new RunTree();
    for (const { runs } of messages) for (const run of runs) tree.add(run);
    for (const [i, policy] of policies.entries()) {
      for (const { key, set } of messages) {
        if (set.length > 0) note(key, i, judge(tree, shuffled(set, random), policy));
      }
      for (const master of world.masters) {
        for (const key of master.keys) {
          if (master.set(key).length > 0) note(key, i, shownOn(master, policy, key));
        }
      }
    }
  }
  assert.ok(judged > 3_000 && conflicts > 200, `${judged} ${conflicts}`);
});

test("one version is shown under every policy, and no function is called", () => {
  const world = new VersionWorld(1), master = world.master(0), { dot, vector } = master.write("k", "{}", 77);
  const never = byFunction(() => assert.fail("called"));
  for (const policy of [...policies, never]) {
    const outcome = shownOn(master, policy);
    assert.deepEqual(outcome, {
      shown: { kind: "version", dot, body: utf8("{}") },
      vector,
      modifiedMs: 77,
      losers: [],
    });
  }
  master.write("k", null, 99);
  assert.deepEqual(shownOn(master, never).shown, { kind: "deleted" });
});

test("several versions of one content are that content, without a conflict and without losers", () => {
  const world = apart(['{"n":1}', '{"n":1}', '{"n":1}'], [10, 30, 20]);
  for (const policy of policies) {
    const outcome = shownOn(world.master(2), policy);
    assert.equal(shownText(outcome), '{"n":1}');
    assert.equal(outcome.modifiedMs, 30);
    assert.equal(outcome.vector.length, 3);
    assert.deepEqual(outcome.losers, []);
  }
});

test("manual: different contents, and a deletion against an edit, are a conflict", () => {
  for (const texts of [['{"n":1}', '{"n":2}'], [null, '{"n":1}'], ['{"n":1}', null, '{"n":1}']]) {
    const world = apart(texts, texts.map((_, i) => i)), outcome = shownOn(world.master(1), manual);
    assert.deepEqual(outcome.shown, { kind: "conflict", failure: null });
    assert.deepEqual(outcome.losers, []);
    assert.ok(equalVectors(outcome.vector, vectorOfSet(world.master(0).tree, world.master(0).set("k"))));
  }
});

test("latest: the time decides, between equal times the run", () => {
  const world = apart(['{"by":0}', '{"by":1}', '{"by":2}'], [10, 30, 20]),
    outcome = shownOn(world.master(0), latest);
  assert.equal(shownText(outcome), '{"by":1}');
  assert.equal(outcome.modifiedMs, 30);
  assert.deepEqual(loserTexts(outcome), ['{"by":2}', '{"by":0}']);
  const even = apart(['{"by":0}', '{"by":1}', '{"by":2}'], [5, 5, 5]), set = even.master(0).set("k");
  const highest = set.reduce((a, b) => a.dot.run > b.dot.run ? a : b);
  assert.equal(shownText(shownOn(even.master(1), latest)), utf8Text(highest.body as Uint8Array));
  assert.equal(shownText(shownOn(apart(['{"by":0}', null], [1, 2]).master(0), latest)), "deleted");
});

test("prefer: the first database that wrote one; those that are not listed come last, the latest of them", () => {
  const world = apart(['{"by":0}', '{"by":1}', '{"by":2}'], [10, 30, 20]), master = world.master(0);
  assert.equal(shownText(shownOn(master, prefer(2, 0))), '{"by":2}');
  assert.equal(shownText(shownOn(master, prefer(7, 0, 1))), '{"by":0}');
  assert.equal(shownText(shownOn(master, prefer(7))), '{"by":1}');
  assert.deepEqual(loserTexts(shownOn(master, prefer(0))), ['{"by":1}', '{"by":2}']);
  const forks = new VersionWorld(2), [a, b] = [forks.master(0), forks.master(1)], at = a.seq;
  a.write("k", '{"tail":"lost"}', 10);
  settled(forks);
  a.backTo(at);
  a.write("k", '{"tail":"new"}', 20);
  b.write("k", '{"tail":"b"}', 30);
  settled(forks);
  assert.equal(
    shownText(shownOn(b, prefer(0, 1))),
    '{"tail":"new"}',
    "of two histories of one database: the latest",
  );
});

test("a function gets all versions, the latest first, as copies, and what it makes is checked and stored as documents are", () => {
  const world = apart(['{"by":0}', null, '{"by":2}'], [10, 30, 20]), master = world.master(0);
  let seen: readonly Candidate[] = [];
  const outcome = shownOn(
    master,
    byFunction((candidates) => {
      seen = candidates;
      for (const { body } of candidates) body?.fill(0x20);
      return utf8(' { "made" : true, "_id": "x" } ');
    }),
  );
  assert.deepEqual(seen.map(({ database, modifiedMs }) => [database, modifiedMs]), [
    [databaseId(1), 30],
    [databaseId(2), 20],
    [databaseId(0), 10],
  ]);
  assert.ok(Object.isFrozen(seen) && seen.every((candidate) => Object.isFrozen(candidate)));
  assert.deepEqual(outcome.shown, { kind: "made", body: utf8('{"made":true}') });
  assert.deepEqual(
    loserTexts(outcome),
    ["deleted", '{"by":2}', '{"by":0}'],
    "the function did not reach the versions",
  );
  assert.equal(outcome.modifiedMs, 30);
  const gone = shownOn(master, byFunction(() => null));
  assert.deepEqual([gone.shown, loserTexts(gone)], [{ kind: "deleted" }, ['{"by":2}', '{"by":0}']]);
  const picked = shownOn(master, byFunction((candidates) => candidates[2]?.body));
  assert.deepEqual([picked.shown.kind, shownText(picked), picked.modifiedMs], ["version", '{"by":0}', 10]);
  assert.deepEqual(shownOn(master, byFunction(() => undefined)).shown, { kind: "conflict", failure: null });
});

test("a function that fails or returns no document leaves the conflict, and it is said why", () => {
  const world = apart(['{"by":0}', '{"by":1}'], [1, 2]);
  const bad: (readonly [Resolve, RegExp])[] = [
    [() => {
      throw new Error("no idea");
    }, /failed: no idea/],
    [() => Promise.resolve(utf8("{}")), /neither/],
    [() => "{}", /neither/],
    [() => ({}), /neither/],
    [() => utf8("[]"), /expected a JSON object/],
    [() => utf8("{"), /failed/],
    [() => Uint8Array.of(0xff), /UTF-8/],
    [() => utf8(`{"a":"${"x".repeat(1_000)}"}`), /1000 bytes/],
    [(candidates) => (candidates as Candidate[]).pop()?.body, /failed/],
  ];
  for (const [resolve, reason] of bad) {
    const { shown, vector } = shownOn(world.master(0), byFunction(resolve));
    assert.equal(shown.kind, "conflict");
    assert.match(shown.kind === "conflict" ? shown.failure ?? "" : "", reason);
    assert.equal(vector.length, 2);
  }
});

test("expiry on both masters, and a deletion on both, is no conflict under any policy", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  a.write("k", '{"expires":1}');
  settled(world);
  a.write("k", null);
  b.write("k", null);
  settled(world);
  for (const policy of policies) {
    for (const master of [a, b]) {
      assert.deepEqual(shownOn(master, policy).shown, { kind: "deleted" });
      assert.deepEqual(shownOn(master, policy).losers, []);
    }
  }
  assert.equal(contentHash({ kind: "deleted" }, sha256)?.length, 32);
});

test("C13: each prefers its own (`local`): equal vectors, other contents; the hash tells, and manual is one conflict", () => {
  const world = apart(['{"by":"a"}', '{"by":"b"}'], [1, 2]), [a, b] = [world.master(0), world.master(1)];
  const onA = shownOn(a, prefer(0, 1)), onB = shownOn(b, prefer(1, 0));
  assert.ok(equalVectors(onA.vector, onB.vector));
  assert.notDeepEqual(contentHash(onA.shown, sha256), contentHash(onB.shown, sha256));
  assert.equal(outcomeText(shownOn(a, manual)), outcomeText(shownOn(b, manual)));
  assert.equal(contentHash(shownOn(a, manual).shown, sha256), null);
});

test("C13: both resolve by policy at once: the same outcome under the same vector, nothing is minted, nothing goes on", () => {
  for (const policy of policies) {
    const world = apart(['{"by":"a"}', '{"by":"b"}'], [5, 5]), [a, b] = [world.master(0), world.master(1)];
    const before = [a.seq, b.seq];
    const outcomes = [shownOn(a, policy), shownOn(b, policy)].map(outcomeText);
    assert.equal(outcomes[0], outcomes[1]);
    settled(world);
    assert.deepEqual([a.seq, b.seq], before, "two that hold the same have nothing to tell each other");
    const { vector } = shownOn(a, policy);
    assert.deepEqual(vector, vectorOfSet(a.tree, [...a.set("k")]));
  }
});

test("C13: a less preferred master edits the winner: one content under one vector, in every order", () => {
  for (const first of [true, false]) {
    const world = apart(['{"by":"a"}', '{"by":"b"}', '{"by":"c"}'], [3, 2, 1]);
    const [a, b, c] = [world.master(0), world.master(1), world.master(2)], policy = prefer(0, 1, 2);
    assert.equal(shownText(shownOn(c, policy)), '{"by":"a"}');
    c.write("k", '{"by":"c","edits":"a"}');
    b.write("k", '{"by":"b","at":"once"}');
    if (first) a.receive(c.message("k"));
    a.receive(b.message("k"));
    settled(world);
    const outcomes = world.masters.map((master) => outcomeText(shownOn(master, policy)));
    assert.equal(new Set(outcomes).size, 1);
    assert.equal(shownText(shownOn(a, policy)), '{"by":"b","at":"once"}');
    assert.deepEqual(loserTexts(shownOn(a, policy)), ['{"by":"c","edits":"a"}']);
  }
});

test("a loser that is superseded later, anywhere, gives the same outcome everywhere", () => {
  const world = new VersionWorld(3), [a, b, c] = [world.master(0), world.master(1), world.master(2)];
  a.write("k", '{"by":"a"}', 50);
  b.write("k", '{"by":"b"}', 10);
  a.receive(b.message("k"));
  assert.equal(shownText(shownOn(a, latest)), '{"by":"a"}');
  // C knows only the loser, and edits it.
  c.receive(b.message("k"));
  c.write("k", '{"by":"c"}', 60);
  settled(world);
  for (const master of [a, b, c]) {
    assert.equal(shownText(shownOn(master, latest)), '{"by":"c"}');
    assert.deepEqual(loserTexts(shownOn(master, latest)), ['{"by":"a"}']);
  }
});
