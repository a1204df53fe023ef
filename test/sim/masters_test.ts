/** Worlds of masters as tests: they end well, and equal seeds are equal; and what their checkers decide by is right by itself. */
import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { mine } from "../tool/shared_out.ts";
import { conflict, counted, gone, naiveShown, type PolicySeen, type VersionSeen } from "./masters_keys.ts";
import { RunsSeen } from "./masters_runs.ts";
import { runMasters } from "./masters_run.ts";
import { mastersSwarmOf } from "./masters_swarm.ts";
import type { RunOptions } from "./run_seed.ts";

const plain: RunOptions = { plant: null, hash: true, keep: false, trace: null };

/** A ring in which tombstones are purged, a star of which sites go back to older files, a mesh in which some have followers. */
const seeds = [90, 423, 339];

for (const seed of mine(seeds)) {
  test(`masters: world ${seed} ends well`, async () => {
    const { violation, counts } = await runMasters(seed, plain);
    assert.equal(violation?.stack, undefined);
    assert.ok((counts["ends.acknowledged"] ?? 0) > 0);
  });
}

test("masters: a seed says everything", async () => {
  const [first, again] = [await runMasters(90, plain), await runMasters(90, plain)];
  assert.equal(first.violation, null);
  const ofMachine = { wallMs: 0, longestMs: 0, slowEvents: [] };
  assert.deepEqual({ ...again, ...ofMachine }, { ...first, ...ofMachine });
});

test("masters: seeds draw worlds of every kind", () => {
  const swarms = Array.from({ length: 200 }, (_, seed) => mastersSwarmOf(seed));
  const kinds = (of: (swarm: (typeof swarms)[number]) => string) => [...new Set(swarms.map(of))].sort();
  assert.deepEqual(kinds(({ shape }) => shape), ["mesh", "mixed", "ring", "star"]);
  assert.deepEqual(kinds(({ policy }) => policy), ["latest", "manual", "prefer"]);
  assert.deepEqual(kinds(({ sites }) => `${sites.length}`), ["2", "3", "4", "5"]);
  assert.ok(swarms.some(({ sites }) => sites.some(({ silenceMs }) => silenceMs !== null)));
  for (const { purges, faults } of swarms) {
    assert.ok(
      !purges || faults.restore + faults.failover + faults.away === 0,
      "nothing is lost beside a purge",
    );
  }
});

/** Runs by one letter. */
const run = (letter: string) => runIdOf(letter.repeat(32));
const dot = (letter: string, seq: number) => ({ run: run(letter), seq });
const term = (letter: string, firstSeq: number) => ({
  epoch: epochOf(1),
  run: run(letter),
  nodeId: nodeIdOf("0".repeat(32)),
  firstSeq: seqOf(firstSeq),
});

function runs(): RunsSeen {
  const seen = new RunsSeen();
  seen.learn("a", [term("a", 1), term("b", 11)]);
  // A failover that lost what the run before had after entry 5.
  seen.learn("a", [term("a", 1), term("c", 6)]);
  seen.learn("z", [term("f", 1)]);
  return seen;
}

test("masters: an entry is covered by what goes on after it, not by what took its place", () => {
  const seen = runs();
  assert.ok(seen.covers(dot("b", 12), dot("a", 10)));
  assert.ok(seen.covers(dot("c", 6), dot("a", 5)));
  assert.ok(!seen.covers(dot("c", 9), dot("a", 6)), "it was lost");
  assert.ok(!seen.covers(dot("b", 12), dot("c", 6)));
  assert.ok(!seen.covers(dot("f", 99), dot("a", 1)), "of another database");
  assert.ok(!seen.covers(dot("a", 3), dot("a", 4)));
  const least = seen.least([dot("a", 3), dot("c", 7), dot("f", 2), dot("a", 9), dot("c", 7)]);
  assert.deepEqual(least, [dot("a", 9), dot("c", 7), dot("f", 2)]);
  assert.deepEqual([seen.siteOf(run("b")), seen.siteOf(run("f")), seen.siteOf(run("d"))], ["a", "z", null]);
});

test("masters: what is to be shown is decided here by the documentation alone", () => {
  const seen = runs(), dayMs = 86_400_000;
  const version = (letter: string, modifiedMs: number, body: string | null): VersionSeen => ({
    dot: dot(letter, 20),
    vector: [dot(letter, 20)],
    modifiedMs,
    body,
  });
  const shown = (policy: PolicySeen, ...versions: readonly VersionSeen[]) =>
    naiveShown(seen, versions, policy);
  const manual: PolicySeen = { kind: "manual" }, latest: PolicySeen = { kind: "latest" };
  const mineFirst: PolicySeen = { kind: "prefer", sites: ["a", "z"] };
  const [old, young] = [version("b", 1_000, '{"a":1}'), version("f", 2_000, '{"z":1}')];
  assert.equal(shown(manual, old, young), conflict);
  assert.equal(shown(latest, old, young), 'is {"z":1}');
  assert.equal(shown(mineFirst, old, young), 'is {"a":1}');
  assert.equal(shown(manual, old, version("f", 5, '{"a":1}')), 'is {"a":1}', "one content is no conflict");
  assert.equal(shown(manual, version("b", 1, null), version("f", 9, null)), gone);
  assert.equal(shown(latest, version("b", 7, "{}"), version("f", 7, null)), gone, "runs decide");
  const ancient = version("b", 1_000, null);
  assert.equal(shown(manual, ancient, version("f", 1_000 + 14 * dayMs, "{}")), "is {}");
  assert.equal(shown(manual, ancient, version("f", 999 + 14 * dayMs, "{}")), conflict);
  assert.equal(counted([ancient, version("f", 1_000 + 15 * dayMs, "{}")]).length, 1);
});
