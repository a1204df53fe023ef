/** Sets of versions: joins, and the design review's case C11. Each change in a world is compared with a model that keeps whole histories. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { wallMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { emptyVector, equalVectors, vectorCovers } from "../../src/document/change_vector.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { Version, VersionSet } from "../../src/document/version_set.ts";
import {
  checkVersion,
  joinSets,
  nextModified,
  vectorOfSet,
  writeOver,
} from "../../src/document/version_set.ts";
import type { Master } from "../tool/version_world.ts";
import { dotOf, node, randomHistory, runId, setText, shuffled, VersionWorld } from "../tool/version_world.ts";
import { mine } from "../tool/shared_out.ts";

const seeds = mine(Array.from({ length: 150 }, (_, seed) => seed));

const bodies = (set: VersionSet): (string | null)[] =>
  set.map(({ body }) => body === null ? null : utf8Text(body)).sort();

/** `from` tells `to` of all its keys. */
function tell(from: Master, to: Master): boolean {
  return from.keys.map((key) => to.receive(from.message(key))).includes(true);
}

function settled(...masters: readonly Master[]): void {
  while (masters.flatMap((from) => masters.map((to) => from !== to && tell(from, to))).includes(true));
}

test("random histories: what each set holds is what full histories say, and all nodes end equal", () => {
  let losses = 0, restarts = 0, compared = 0, conflicts = 0;
  for (const seed of seeds) {
    const random = prng(seed), { world, ...history } = randomHistory(random, 150);
    world.settle(random);
    for (const key of "abc") {
      const ends = world.masters.map((master) => setText(master.set(key)));
      assert.deepEqual(new Set(ends).size, 1, `seed ${seed}, key ${key}`);
      if (world.master(0).set(key).length > 1) conflicts++;
    }
    losses += history.losses;
    restarts += history.restarts;
    compared += world.compared;
  }
  const each = seeds.length;
  assert.ok(
    losses > each && restarts > each && compared > 50 * each && conflicts > each,
    `${losses} ${conflicts}`,
  );
});

test("every delivery order of the same messages, repeats included, gives the same end", () => {
  let orders = 0;
  for (const seed of seeds) {
    const random = prng(1_000 + seed), { world, messages } = randomHistory(random, 100), tree = new RunTree();
    for (const { runs } of messages) for (const run of runs) tree.add(run);
    assert.equal(world.masters.length > 1, true);
    for (const key of "abc") {
      const sets = messages.filter((message) => message.key === key).map(({ set }) => set);
      const ends = new Set(
        Array.from({ length: 5 }, () => {
          const order = shuffled([...sets, ...sets.slice(0, 3)], random);
          return setText(order.reduce((held, set) => joinSets(tree, held, set), []));
        }),
      );
      assert.equal(ends.size, 1, `seed ${seed}, key ${key}`);
      orders += sets.length > 2 ? 1 : 0;
    }
  }
  assert.ok(orders > seeds.length, `${orders}`);
});

test("joins are commutative, associative and idempotent", () => {
  let changed = 0;
  for (const seed of seeds) {
    const random = prng(2_000 + seed), { messages } = randomHistory(random, 100), tree = new RunTree();
    for (const { runs } of messages) for (const run of runs) tree.add(run);
    const of = messages.filter(({ key }) => key === "a").map(({ set }) => set);
    if (of.length === 0) continue;
    const any = (): VersionSet => of[random.below(of.length)] as VersionSet;
    const join = (a: VersionSet, b: VersionSet): VersionSet => joinSets(tree, a, b);
    for (let i = 0; i < 20; i++) {
      const a = any(), b = any(), c = any(), both = join(a, b);
      assert.equal(setText(both), setText(join(b, a)));
      assert.equal(setText(join(both, c)), setText(join(a, join(b, c))));
      assert.equal(join(both, a), both, "what is known already changes nothing");
      assert.equal(join(both, [...a]), both);
      assert.equal(join(a, a), a);
      for (const { vector } of [...a, ...b]) {
        for (const dot of vector) assert.ok(vectorCovers(tree, vectorOfSet(tree, both), dot));
      }
      if (both !== a) changed++;
    }
  }
  assert.ok(changed > seeds.length, `${changed}`);
});

test("a write has seen the whole set, and is never older than what it replaces", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  a.write("k", '{"by":"a"}', 5_000);
  b.write("k", '{"by":"b"}', 9_000);
  settled(a, b);
  assert.deepEqual(bodies(a.set("k")), ['{"by":"a"}', '{"by":"b"}']);
  const resolved = a.write("k", '{"by":"both"}', 7_000);
  assert.equal(resolved.modifiedMs, 9_001);
  assert.equal(resolved.vector.length, 2);
  settled(a, b);
  assert.deepEqual(b.set("k"), [resolved]);
  assert.equal(b.write("k", null, 20_000).modifiedMs, 20_000);
  assert.equal(nextModified([], wallMsOf(3)), 3);
});

test("two people resolve at once: a new conflict between the two resolutions", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  a.write("k", '{"by":"a"}');
  b.write("k", '{"by":"b"}');
  settled(a, b);
  a.write("k", '{"resolved":"on a"}');
  b.write("k", '{"resolved":"on b"}');
  settled(a, b);
  assert.deepEqual(bodies(a.set("k")), ['{"resolved":"on a"}', '{"resolved":"on b"}']);
  assert.equal(setText(a.set("k")), setText(b.set("k")));
});

test("1,000 edits of one document on A while B is away: no conflict", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  b.write("k", '{"n":0}');
  tell(b, a);
  for (let n = 1; n <= 1_000; n++) a.write("k", `{"n":${n}}`);
  assert.equal(tell(a, b), true);
  assert.deepEqual(bodies(b.set("k")), ['{"n":1000}']);
  assert.equal(b.set("k")[0]?.vector.length, 2);
  assert.equal(tell(a, b), false, "a repeat changes nothing");
  assert.equal(tell(b, a), false);
});

test("deleting a document on both sides merges; writing it again continues both", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  a.write("k", "{}");
  settled(a, b);
  a.write("k", null);
  b.write("k", null);
  settled(a, b);
  assert.deepEqual(bodies(a.set("k")), [null, null]);
  const again = b.write("k", '{"again":true}');
  settled(a, b);
  assert.deepEqual(a.set("k"), [again]);
});

test("vectors do not grow with restarts", () => {
  const world = new VersionWorld(3), [a, b, c] = [world.master(0), world.master(1), world.master(2)];
  for (let i = 0; i < 300; i++) {
    const writer = world.master(i % 3), next = world.master((i + 1) % 3);
    writer.restart();
    writer.write("k", `{"n":${i}}`);
    next.receive(writer.message("k"));
  }
  settled(a, b, c);
  assert.deepEqual(bodies(a.set("k")), ['{"n":299}']);
  assert.equal(vectorOfSet(a.tree, a.set("k")).length, 3);
});

test("C11: a failover that lost the tail, a peer that has it: nothing is ignored, all versions are kept", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  for (let i = 0; i < 10; i++) a.write(`kept ${i}`, "{}");
  const at = a.seq;
  for (let i = 0; i < 10; i++) a.write(`both ${i}`, '{"side":"lost"}');
  for (let i = 0; i < 3; i++) a.write(`lost ${i}`, '{"side":"lost"}');
  tell(a, b);
  a.backTo(at);
  for (let i = 0; i < 20; i++) a.write(`both ${i % 10}`, `{"side":"new","edit":${i}}`);
  // The new numbers pass the lost ones, and a later edit does not cover them either.
  assert.ok(a.seq > at + 13);
  assert.equal(tell(a, b), true);
  for (let i = 0; i < 10; i++) {
    assert.deepEqual(bodies(b.set(`both ${i}`)), ['{"side":"lost"}', `{"side":"new","edit":${10 + i}}`]);
  }
  tell(b, a);
  for (const key of b.keys) assert.equal(setText(a.set(key)), setText(b.set(key)));
  assert.deepEqual(
    bodies(a.set("lost 2")),
    ['{"side":"lost"}'],
    "the peer gives back what the failover lost",
  );
});

test("C11: the same with a restored backup, and with two failovers that leave two tails", () => {
  const world = new VersionWorld(3), [a, b, c] = [world.master(0), world.master(1), world.master(2)];
  a.write("k", '{"n":"root"}');
  settled(a, b, c);
  const backup = a.seq;
  for (let i = 0; i < 100; i++) a.write("k", `{"n":"first ${i}"}`);
  tell(a, b);
  a.backTo(backup);
  a.restart();
  a.write("k", '{"n":"second"}');
  tell(a, c);
  a.backTo(backup);
  a.write("k", '{"n":"third"}');
  settled(a, b, c);
  assert.deepEqual(bodies(a.set("k")), ['{"n":"first 99"}', '{"n":"second"}', '{"n":"third"}']);
  assert.equal(vectorOfSet(a.tree, a.set("k")).length, 3);
  const resolved = b.write("k", '{"n":"resolved"}');
  settled(a, b, c);
  assert.deepEqual(a.set("k"), [resolved]);
  assert.deepEqual(c.set("k"), [resolved]);
});

test("C11: a failover that lost what a peer had sent gets it again", () => {
  const world = new VersionWorld(2), [a, b] = [world.master(0), world.master(1)];
  const at = a.seq;
  b.write("k", '{"by":"b"}');
  tell(b, a);
  a.write("k", '{"by":"a"}');
  a.backTo(at);
  assert.deepEqual(a.set("k"), []);
  const { runs } = b.message("k");
  assert.deepEqual(runs.map(({ run }) => a.tree.get(run)), [undefined], "the tree is as old as the rest");
  assert.equal(tell(b, a), true, "with the runs, that were lost as well");
  assert.deepEqual(bodies(a.set("k")), ['{"by":"b"}']);
});

// Two databases by hand.
const [ra, rb] = [runId(1), runId(2)];
const tree = new RunTree();
tree.add(node(ra, 1, null));
tree.add(node(rb, 1, null, undefined, 1));

function version(run: typeof ra, seq: number, text: string | null, before: VersionSet = []): Version {
  const body = text === null ? null : utf8(text);
  return writeOver(tree, before, dotOf(run, seq), wallMsOf(1_000), body)[0] as Version;
}

test("one dot with two contents, and versions that have seen each other, are refused; no set is emptied", () => {
  const one = version(ra, 5, "{}"), code = "data_corrupt";
  for (
    const other of [
      { ...one, body: utf8("[]") },
      { ...one, body: utf8('{"a":1}') },
      { ...one, body: null },
      { ...one, modifiedMs: wallMsOf(7) },
      { ...one, vector: [dotOf(ra, 5), dotOf(rb, 1)].sort((a, b) => a.run < b.run ? -1 : 1) },
    ]
  ) assert.throws(() => joinSets(tree, [one], [other]), { code });
  assert.doesNotThrow(() => joinSets(tree, [one], [{ ...one, body: utf8("{}") }]));
  const vector = [dotOf(ra, 5), dotOf(rb, 5)].sort((a, b) => a.run < b.run ? -1 : 1);
  const mutual = { ...version(rb, 5, "{}"), vector };
  assert.throws(() => joinSets(tree, [{ ...one, vector }], [mutual]), { code });
});

test("a version of a peer holds its own dot, and a time that a document can have", () => {
  const good = version(ra, 5, "{}", [version(rb, 3, "{}")]);
  assert.doesNotThrow(() => checkVersion(tree, good));
  for (
    const bad of [
      { ...good, dot: dotOf(ra, 4) },
      { ...good, dot: dotOf(runId(3), 5) },
      { ...good, vector: emptyVector },
      { ...good, vector: [dotOf(runId(3), 5)] },
      { ...good, vector: [...good.vector].reverse() },
      ...[-1, 1.5, Number.NaN, 2 ** 53, 253_402_300_800_000].map((ms) => ({
        ...good,
        modifiedMs: wallMsOf(ms),
      })),
    ]
  ) assert.throws(() => checkVersion(tree, bad), { code: "bad_request" });
});

test("equal joined vectors: one set, told in parts or at once", () => {
  const a = version(ra, 5, '{"a":1}'), b = version(rb, 3, '{"b":1}');
  const parts = joinSets(tree, joinSets(tree, [], [b]), [a]), whole = joinSets(tree, [a], [b]);
  assert.ok(equalVectors(vectorOfSet(tree, parts), vectorOfSet(tree, whole)));
  assert.equal(setText(parts), setText(whole));
});
