/** Two and more leaders; a story of each rule is in test/scenario/fencing.txt. */
import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, monotonicMsOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import type { Claim } from "../../src/cluster/claim.ts";
import type { FencingEffect, FencingInput } from "../../src/cluster/fencing.ts";
import { fencing, goesOn } from "../../src/cluster/fencing.ts";
import type { TermRecord } from "../../src/storage/log.ts";
import type { KnownNode } from "../../src/wire/message.ts";

const node = (digit: string): KnownNode => ({
  nodeId: nodeIdOf(digit.repeat(32)),
  nodeName: `node-${digit}`,
  httpUrl: null,
  wireAddress: `node-${digit}:1`,
});
const runOf = (random: Prng) =>
  runIdOf(Array.from({ length: 32 }, () => random.below(4).toString(16)).join(""));
const termOf = (random: Prng, by: KnownNode, epoch = 1 + random.below(3)): TermRecord => ({
  epoch: epochOf(epoch),
  run: runOf(random),
  nodeId: by.nodeId,
  firstSeq: seqOf(1 + random.below(3)),
});

/** A node with its machine; what the machine decides is done at once. */
class Node {
  readonly barred = new Set<string>();
  following: KnownNode | null = null;
  newest: TermRecord;
  readonly #machine = fencing();
  readonly #random: Prng;
  readonly known: KnownNode;
  readonly asks: KnownNode[] = [];
  now = 0;

  constructor(known: KnownNode, term: TermRecord, random: Prng, ask: readonly KnownNode[] = []) {
    this.known = known;
    this.newest = term;
    this.#random = random;
    this.lead(term, ask);
  }

  get claim(): Claim {
    const leads = this.following === null ? this.#machine.leads : null;
    const { known: peer, newest, following } = this;
    return { peer, leads, newest, leader: following, follows: following !== null };
  }

  lead({ epoch, run, firstSeq, nodeId }: TermRecord, ask: readonly KnownNode[] = []): void {
    this.step({
      type: "lead",
      term: { epoch, run },
      firstSeq,
      nodeId,
      ask,
      waitMs: 30_000,
      knowsHigher: null,
    });
  }

  step(input: FencingInput): void {
    for (const effect of this.#machine.step(input, monotonicMsOf(this.now))) this.#perform(effect);
  }

  pass(ms: number): void {
    this.now += ms;
    this.step({ type: "tick" });
  }

  #perform(effect: FencingEffect): void {
    switch (effect.type) {
      case "bar":
        if (effect.on) this.barred.add(effect.cause);
        else this.barred.delete(effect.cause);
        return;
      case "ask":
        this.asks.push(effect.peer);
        return;
      case "follow":
        this.following = effect.leader;
        return this.step({ type: "follow" });
      case "raise":
        this.newest = { ...termOf(this.#random, this.known, effect.above + 1), firstSeq: seqOf(50) };
        return this.lead(this.newest);
    }
  }
}

test("two leaders of one epoch come to opposite conclusions from the same two terms", () => {
  const random = prng(1);
  let decided = 0;
  for (let i = 0; i < 5_000; i++) {
    const [a, b] = [termOf(random, node("a"), 3), termOf(random, node("b"), 3)];
    if (a.run === b.run) continue;
    decided++;
    assert.notEqual(goesOn(a, b), goesOn(b, a));
    const [one, two] = [new Node(node("a"), a, random), new Node(node("b"), b, random)];
    const [ofOne, ofTwo] = [one.claim, two.claim];
    one.step({ type: "met", claim: ofTwo });
    two.step({ type: "met", claim: ofOne });
    assert.equal(one.following === null, two.following !== null, `${i}`);
    const goes = one.following === null ? one : two;
    assert.equal(goes.newest.epoch, 4, "and it raised its epoch");
  }
  assert.ok(decided > 4_000);
});

test("of any leaders that meet, in any order, one is left, and it may write", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const random = prng(seed), names = ["a", "b", "c", "d"].slice(0, 2 + random.below(3));
    const nodes = names.map((name) => new Node(node(name), termOf(random, node(name)), random));
    for (let round = 0; round < 12; round++) {
      for (const from of [...nodes].sort(() => random.float() - 0.5)) {
        for (const to of nodes) {
          if (from === to || random.below(4) === 0) continue;
          to.step({ type: "met", claim: from.claim });
          for (const peer of to.asks.splice(0)) {
            const asked = nodes.find(({ known }) => known.nodeId === peer.nodeId);
            to.step({ type: "asked", nodeId: peer.nodeId, claim: asked?.claim ?? null });
          }
        }
      }
      for (const one of nodes) one.pass(1_000);
    }
    const leaders = nodes.filter(({ following }) => following === null);
    const told = nodes.map(({ newest, following }) => `${newest.epoch} ${following?.nodeName ?? "leads"}`)
      .join(", ");
    assert.equal(leaders.length, 1, `seed ${seed}: ${told}`);
    assert.deepEqual([...leaders[0]?.barred ?? []], [], `seed ${seed}`);
  }
});

test("a higher epoch whose leader is gone does not leave the others without one", () => {
  const random = prng(2), own = termOf(random, node("a"), 2);
  const leader = new Node(node("a"), own, random);
  const burned = termOf(random, node("b"), 7);
  const claim = { peer: node("c"), leads: null, newest: burned, leader: node("b"), follows: true };
  leader.step({ type: "met", claim });
  assert.deepEqual([...leader.barred], ["fenced"], "not a write more");
  assert.deepEqual(leader.asks, [node("b")]);
  for (let i = 0; i < 3; i++) {
    leader.step({ type: "asked", nodeId: node("b").nodeId, claim: null });
    leader.pass(1_000);
  }
  assert.deepEqual([leader.newest.epoch, leader.following, [...leader.barred]], [8, null, []]);
});

test("a run without an entry yields to any other of its epoch, and is told to nobody", () => {
  const random = prng(3), machine = fencing();
  const other = termOf(random, node("b"), 3);
  const lead = { type: "lead", nodeId: node("a").nodeId, ask: [], waitMs: 0, knowsHigher: null } as const;
  const step = (input: FencingInput) => machine.step(input, monotonicMsOf(0)).map(({ type }) => type);
  step({ ...lead, term: { epoch: epochOf(3), run: runOf(random) }, firstSeq: null });
  const told = () => machine.leads?.firstSeq ?? null;
  assert.equal(told(), null);
  step({ type: "begun", firstSeq: seqOf(90) });
  assert.equal(told(), 90);
  step({ ...lead, term: { epoch: epochOf(3), run: runOf(random) }, firstSeq: null });
  const claim = { peer: node("b"), leads: other, newest: other, leader: null, follows: false };
  assert.deepEqual(step({ type: "met", claim }), ["bar", "follow"]);
});

test("a leader that is heard while a new epoch is begun is not forgotten", () => {
  const random = prng(4), machine = fencing();
  const lead = { type: "lead", nodeId: node("a").nodeId, ask: [], waitMs: 0, knowsHigher: null } as const;
  const step = (input: FencingInput, now = 0) =>
    machine.step(input, monotonicMsOf(now)).map(({ type }) => type);
  step({ ...lead, term: { epoch: epochOf(3), run: runOf(random) }, firstSeq: seqOf(5) });
  const burned = {
    peer: node("c"),
    leads: null,
    newest: termOf(random, node("b"), 4),
    leader: null,
    follows: true,
  };
  assert.deepEqual(step({ type: "met", claim: burned }), ["bar"]);
  assert.deepEqual(step({ type: "tick" }, 3_000), ["raise"]);
  const living = termOf(random, node("d"), 9);
  const claim = { peer: node("d"), leads: living, newest: living, leader: null, follows: false };
  assert.deepEqual(step({ type: "met", claim }, 3_001), []);
  const begun = step({ ...lead, term: { epoch: epochOf(5), run: runOf(random) }, firstSeq: seqOf(6) }, 3_002);
  assert.deepEqual(begun.at(-1), "follow");
});

test("a leader that has written nothing since its restart leads under its last term, for others and in a collision", () => {
  const random = prng(7), own = node("a"), other = node("b"), now = monotonicMsOf(0);
  const before = { ...termOf(random, own, 2), firstSeq: seqOf(9) };
  const machine = fencing(), nothing = { ask: [], waitMs: 0, knowsHigher: null };
  machine.step({
    type: "lead",
    term: { epoch: before.epoch, run: runOf(random) },
    firstSeq: null,
    before,
    nodeId: own.nodeId,
    ...nothing,
  }, now);
  assert.deepEqual(machine.leads, before);
  const theirs = { ...termOf(random, other, 2), firstSeq: seqOf(8) };
  const claim: Claim = { peer: other, leads: theirs, newest: theirs, leader: null, follows: false };
  const effects = machine.step({ type: "met", claim }, now);
  assert.deepEqual(effects, [{ type: "raise", above: before.epoch, why: "epoch_collision" }]);
});
