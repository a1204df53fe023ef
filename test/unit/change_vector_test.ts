import assert from "node:assert/strict";
import process from "node:process";
import test from "node:test";
import { hex, unhex } from "../../src/base/bytes.ts";
import type { RunId } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { prng } from "../../src/base/prng.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { ChangeVector } from "../../src/document/change_vector.ts";
import {
  checkDatabases,
  checkVector,
  compareVectors,
  decodeVector,
  emptyVector,
  encodeVector,
  equalVectors,
  joinVectors,
  parseVector,
  vectorCovers,
  vectorOf,
  vectorText,
} from "../../src/document/change_vector.ts";
import type { Dot, RunNode } from "../../src/document/run_tree.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import { databaseId, dotOf, dotText, node, randomHistory, runId, shuffled } from "../tool/version_world.ts";
import { mine } from "../tool/shared_out.ts";

/** r0 1–10, r1 11–20 continues it; r2 continues r0 from 8: what r0 wrote from 8 on was lost, r1 with it. r3 is another database. */
const [r0, r1, r2, r3] = [runId(0), runId(1), runId(2), runId(3)];
const nodes = [node(r0, 1, null), node(r1, 11, r0), node(r2, 8, r0), node(r3, 1, null, databaseId(1))];

function treeOf(all: readonly RunNode[]): RunTree {
  const tree = new RunTree();
  for (const one of all) tree.add(one);
  return tree;
}

const tree = treeOf(nodes);
const vector = (...dots: (readonly [RunId, number])[]): ChangeVector =>
  vectorOf(tree, dots.map(([run, seq]) => dotOf(run, seq)));

test("a run covers itself and what it continues, up to where it left it", () => {
  const covered: (readonly [RunId, number, RunId, number, boolean])[] = [
    [r0, 5, r0, 5, true],
    [r0, 5, r0, 6, false],
    [r1, 15, r0, 10, true],
    [r1, 15, r1, 16, false],
    [r2, 9, r0, 7, true],
    // What was lost, and what took its place.
    [r2, 9, r0, 8, false],
    [r2, 9, r0, 9, false],
    [r2, 9, r1, 11, false],
    [r0, 9, r2, 8, false],
    [r1, 15, r2, 8, false],
    [r3, 99, r0, 1, false],
    [r1, 15, runId(9), 1, false],
  ];
  for (const [byRun, bySeq, run, seq, expected] of covered) {
    const [by, dot] = [dotOf(byRun, bySeq), dotOf(run, seq)];
    assert.equal(tree.covers(by, dot), expected, `${dotText(by)} ${dotText(dot)}`);
  }
});

test("a run is added once, after the one that it continues; what contradicts it is refused", () => {
  const own = treeOf(nodes);
  assert.deepEqual(nodes.map((one) => own.add({ ...one })), [false, false, false, false]);
  assert.deepEqual([...own.nodes()], nodes);
  const refused: (readonly [RunNode, string])[] = [
    [node(r1, 12, r0), "data_corrupt"],
    [node(r1, 11, r2), "data_corrupt"],
    [node(r1, 11, r0, databaseId(1)), "data_corrupt"],
    [node(r1, 11, r0, databaseId(0), 2), "data_corrupt"],
    [node(runId(4), 1, r0), "data_corrupt"],
    [node(runId(4), 11, r1), "data_corrupt"],
    [node(runId(4), 12, r3), "data_corrupt"],
    [node(runId(4), 12, runId(5)), "bad_request"],
    [node("0".repeat(32) as RunId, 1, null), "bad_request"],
    [node("X" as RunId, 1, null), "bad_request"],
    [node(runId(4), 1.5, r0), "bad_request"],
    [node(runId(4), 2 ** 53, r0), "bad_request"],
    [node(runId(4), 20, r0, databaseId(0), 0), "bad_request"],
  ];
  for (const [one, code] of refused) assert.throws(() => own.add(one), { code }, JSON.stringify(one));
  const later = node(runId(6), 30, r1, databaseId(0), 3);
  assert.equal(own.add(later), true);
  assert.throws(() => own.add(node(runId(7), 40, runId(6), databaseId(0), 2)), { code: "data_corrupt" });
  assert.deepEqual([...own.nodes()], [...nodes, later]);
});

test("a copied database goes on after seq 1, in a tree of its own", () => {
  const tree = new RunTree(), [old, later, own, next] = [runId(0), runId(1), runId(2), runId(3)];
  for (
    const one of [
      node(old, 1, null),
      node(later, 30, old),
      node(own, 21, null, databaseId(1)),
      node(next, 40, own, databaseId(1)),
    ]
  ) {
    assert.equal(tree.add(one), true);
  }
  assert.equal(tree.covers(dotOf(own, 25), dotOf(old, 5)), false, "another history");
  assert.equal(tree.covers(dotOf(later, 35), dotOf(own, 25)), false);
  assert.equal(tree.covers(dotOf(next, 45), dotOf(own, 39)), true);
  assert.equal(tree.covers(dotOf(next, 45), dotOf(own, 41)), false);
  assert.deepEqual(vectorOf(tree, [dotOf(old, 5), dotOf(own, 25), dotOf(next, 45)]).length, 2);
  assert.throws(() => tree.add(node(runId(4), 50, old, databaseId(1))), { code: "data_corrupt" });
});

test("the lineage of runs: each once, parents first, without what was told", () => {
  assert.deepEqual(tree.lineage([r1, r2, r1], () => false), [nodes[0], nodes[1], nodes[2]]);
  assert.deepEqual(tree.lineage([r1, r3], (run) => run === r0), [nodes[1], nodes[3]]);
  assert.deepEqual(tree.lineage([r1], (run) => run === r1), []);
  const told = new Set<RunId>(), other = new RunTree();
  for (const run of [r2, r1, r3]) {
    for (const one of tree.lineage([run], (known) => told.has(known))) {
      assert.equal(other.add(one), true, "told once");
      told.add(one.run);
    }
  }
  assert.equal(other.size, tree.size);
});

/** Restarts and, rarely, forks, with the whole history of each run. */
function longTree(random: Prng, runs: number): { tree: RunTree; histories: RunId[][]; lasts: number[] } {
  const grown = new RunTree(), histories: RunId[][] = [], lasts: number[] = [];
  for (let i = 0; i < runs; i++) {
    const fork = i > 0 && random.below(50) === 0, from = fork ? random.below(i) : i - 1;
    const before = histories[from], run = runId(i);
    const kept = before === undefined ? 0 : fork ? 1 + random.below(before.length) : before.length;
    const history = before === undefined ? [] : before.slice(0, kept);
    grown.add(node(run, kept + 1, history.at(-1) ?? null));
    for (let left = 1 + random.below(3); left > 0; left--) history.push(run);
    histories.push(history);
    lasts.push(history.length);
  }
  return { tree: grown, histories, lasts };
}

test("covers() says what whole histories say, in long lineages with forks", () => {
  const random = prng(11);
  let yes = 0, no = 0;
  for (let round = 0; round < 3; round++) {
    const { tree: grown, histories, lasts } = longTree(random, 1_500);
    for (let i = 0; i < 40_000; i++) {
      const r = random.below(histories.length), history = histories[r] as RunId[];
      const other = histories[random.below(histories.length)] as RunId[];
      const seq = 1 + random.below(other.length), by = dotOf(runId(r), 1 + random.below(lasts[r] as number));
      const dot = dotOf((random.below(2) === 0 ? other : history)[seq - 1] ?? runId(0), seq);
      const expected = seq <= by.seq && history[seq - 1] === dot.run;
      assert.equal(grown.covers(by, dot), expected, `${dotText(by)} ${dotText(dot)}`);
      if (expected) yes++;
      else no++;
    }
  }
  assert.ok(yes > 10_000 && no > 10_000, `${yes} and ${no}`);
});

test("covers() says what whole histories say, after random failovers, restores and restarts", () => {
  let compared = 0;
  for (const seed of mine(Array.from({ length: 60 }, (_, i) => i))) {
    const { world } = randomHistory(prng(seed), 150),
      all = treeOf(world.masters.flatMap(({ tree }) => [...tree.nodes()]));
    const dots: Dot[] = [...world.histories].flatMap(([run, history]) =>
      history.flatMap((writer, seq) => writer === run ? [dotOf(run, seq)] : [])
    ).filter(({ run }) => all.get(run) !== undefined);
    for (const by of dots) {
      for (const dot of dots) {
        if (all.covers(by, dot) !== world.covers(by, dot)) {
          assert.fail(`${dotText(by)} ${dotText(dot)} of seed ${seed}`);
        }
        compared++;
      }
    }
  }
  assert.ok(compared > 50_000, `${compared}`);
});

test("a check does not walk through thousands of restarts", () => {
  const grown = new RunTree(), runs = Array.from({ length: 10_000 }, (_, i) => runId(i));
  for (const [i, run] of runs.entries()) grown.add(node(run, 1 + 10 * i, runs[i - 1] ?? null));
  const before = process.cpuUsage();
  for (let i = 0; i < 50_000; i++) {
    const from = 9_900 + i % 100, to = i * 7 % 100;
    if (!grown.covers(dotOf(runs[from] as RunId, 10 * from + 5), dotOf(runs[to] as RunId, 10 * to + 5))) {
      assert.fail(`${from} ${to}`);
    }
  }
  // About 50; step by step it takes some seconds.
  const { user } = process.cpuUsage(before);
  assert.ok(user < 1_000_000, `${user} µs`);
});

test("a vector is sorted and holds nothing that it covers anyway", () => {
  assert.deepEqual(vector([r0, 5], [r0, 3]), [dotOf(r0, 5)]);
  assert.deepEqual(vector([r0, 10], [r1, 11]), [dotOf(r1, 11)]);
  assert.deepEqual(vector([r0, 7], [r2, 8]), [dotOf(r2, 8)]);
  const lost = vector([r0, 8], [r2, 8], [r3, 4]);
  assert.equal(lost.length, 3);
  assert.deepEqual(lost.map(({ run }) => run), [r0, r2, r3].sort());
  assert.deepEqual(vectorOf(tree, []), emptyVector);
});

test("comparison: equal, before, after, concurrent", () => {
  assert.equal(compareVectors(tree, vector([r0, 5]), vector([r0, 5])), "equal");
  assert.equal(compareVectors(tree, vector([r0, 5]), vector([r1, 12])), "before");
  assert.equal(compareVectors(tree, vector([r2, 12], [r3, 1]), vector([r0, 7])), "after");
  assert.equal(compareVectors(tree, vector([r2, 12]), vector([r0, 8])), "concurrent");
  assert.equal(compareVectors(tree, vector([r3, 2], [r0, 1]), vector([r3, 1], [r0, 2])), "concurrent");
  assert.equal(compareVectors(tree, emptyVector, vector([r0, 1])), "before");
});

test("joins are commutative, associative, idempotent, and the least that covers both", () => {
  const random = prng(5), { tree: grown, histories } = longTree(random, 200);
  const some = (): Dot => {
    const history = histories[random.below(histories.length)] as RunId[],
      seq = 1 + random.below(history.length);
    return dotOf(history[seq - 1] as RunId, seq);
  };
  const any = (): ChangeVector => vectorOf(grown, Array.from({ length: random.below(5) }, some));
  const join = (a: ChangeVector, b: ChangeVector): ChangeVector => joinVectors(grown, a, b);
  for (let i = 0; i < 3_000; i++) {
    const a = any(), b = any(), c = any(), both = join(a, b), dot = some();
    assert.deepEqual(both, join(b, a));
    assert.deepEqual(join(both, c), join(a, join(b, c)));
    assert.equal(join(both, a), both);
    assert.equal(join(a, a), a);
    assert.equal(vectorCovers(grown, both, dot), vectorCovers(grown, a, dot) || vectorCovers(grown, b, dot));
    assert.deepEqual(vectorOf(grown, shuffled([...a, ...b, ...a], random)), both);
    const order = compareVectors(grown, a, b), back = compareVectors(grown, b, a);
    assert.equal(back, order === "before" ? "after" : order === "after" ? "before" : order);
    assert.equal(order === "before" || order === "equal", equalVectors(both, b));
    assert.doesNotThrow(() => checkVector(grown, both));
    assert.deepEqual(decodeVector(encodeVector(both)), both);
  }
});

test("bytes are the run and the seq of each entry, and one vector has one encoding", () => {
  const golden = "000102030405060708090a0b0c0d0e0f" + "0500000000000000" +
    "ff0102030405060708090a0b0c0d0eff" + "ffffffffffff1f00";
  const decoded = decodeVector(unhex(golden));
  assert.deepEqual(decoded, [
    dotOf("000102030405060708090a0b0c0d0e0f" as RunId, 5),
    dotOf("ff0102030405060708090a0b0c0d0eff" as RunId, Number.MAX_SAFE_INTEGER),
  ]);
  assert.equal(hex(encodeVector(decoded)), golden);
  assert.deepEqual(decodeVector(new Uint8Array(0)), emptyVector);
  const inside = unhex(`aaaaaa${golden}bb`).subarray(3, 51);
  assert.deepEqual(decodeVector(inside), decoded);
});

test("bytes that no vector is written as are refused with one code", () => {
  const a = "000102030405060708090a0b0c0d0e0f",
    b = "100102030405060708090a0b0c0d0e0f",
    five = "0500000000000000";
  const bad = [
    a,
    a + five + "00",
    b + five + a + five,
    a + five + a + five,
    a + "0000000000000000",
    a + "0000000000002000",
    a + "ffffffffffffffff",
    "0".repeat(32) + five,
  ];
  for (const bytes of bad) assert.throws(() => decodeVector(unhex(bytes)), { code: "corrupt" }, bytes);
  assert.throws(() => decodeVector(new Uint8Array(24 * (limits.vectorEntriesMax + 1))), { code: "corrupt" });
  const random = prng(3), known = encodeVector(vector([r0, 9], [r2, 8], [r3, 4]));
  let read = 0;
  for (let i = 0; i < 5_000; i++) {
    const bytes = random.below(2) === 0 ? random.bytes(24 * random.below(4)) : known.slice();
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
    try {
      assert.deepEqual(encodeVector(decodeVector(bytes)), bytes);
      read++;
    } catch (error) {
      assert.equal((error as { code?: string }).code, "corrupt", String(error));
    }
  }
  assert.ok(read > 100 && read < 5_000, `${read}`);
});

test("the text form names the database of each run, and is read back", () => {
  const both = vector([r0, 9], [r3, 4]), text = vectorText(tree, both);
  const entries = both.map(({ run, seq }) => `${tree.get(run)?.database}:${run}:${seq}`);
  assert.equal(text, entries.join(", "));
  const parsed = parseVector(text);
  assert.deepEqual(parsed.vector, both);
  assert.deepEqual(parsed.databases, both.map(({ run }) => tree.get(run)?.database));
  assert.doesNotThrow(() => checkDatabases(tree, parsed));
  assert.throws(() => checkDatabases(tree, { ...parsed, databases: [...parsed.databases].reverse() }), {
    code: "bad_request",
  });
  assert.deepEqual(parseVector(vectorText(tree, emptyVector)), { vector: emptyVector, databases: [] });
  const one = entries[0] as string;
  const bad = [
    ...[" ", one + ",", one + " ", `${one}, ${one}`, [...entries].reverse().join(", "), entries.join(",")],
    ...[
      one.toUpperCase(),
      one.slice(1),
      one + "0".repeat(16),
      one.replace(/\d+$/, "0"),
      one.replace(/\d+$/, "9".repeat(16)),
    ],
    ...[one.replace(/:\d+$/, ""), one.replace(/\d+$/, "05"), "x".repeat(1_000_000)],
  ];
  for (const wrong of bad) {
    assert.throws(() => parseVector(wrong), { code: "bad_request" }, wrong.slice(0, 100));
  }
  const many = Array.from(
    { length: limits.vectorEntriesMax + 1 },
    (_, i) => `${databaseId(0)}:${(i + 1).toString(16).padStart(32, "0")}:1`,
  );
  assert.equal(parseVector(many.slice(1).join(", ")).vector.length, limits.vectorEntriesMax);
  assert.throws(() => parseVector(many.join(", ")), { code: "bad_request" });
});

test("a vector of a peer: its runs are known, its entries are theirs, none covers another", () => {
  assert.doesNotThrow(() => checkVector(tree, vector([r0, 9], [r2, 8], [r3, 4])));
  const sorted = (...dots: Dot[]): Dot[] => dots.sort((a, b) => a.run < b.run ? -1 : 1);
  for (
    const bad of [
      [dotOf(runId(9), 1)],
      [dotOf(r1, 10)],
      sorted(dotOf(r0, 10), dotOf(r1, 11)),
      sorted(dotOf(r0, 9), dotOf(r3, 4)).reverse(),
    ]
  ) assert.throws(() => checkVector(tree, bad), { code: "bad_request" });
});
