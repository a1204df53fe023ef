/** The leader's side of a handover; both sides together in thousands of bad days. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { type Epoch, epochOf, monotonicMsOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { Claim } from "../../src/cluster/claim.ts";
import { handover } from "../../src/cluster/handover.ts";
import type { HandoverEffect, HandoverInput } from "../../src/cluster/handover_events.ts";
import type { TermRecord } from "../../src/storage/log.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import { HandoverWorld } from "../tool/handover_world.ts";

const runs = 3_000;

test(`in ${runs} handovers on bad days never both write, and in the end one does`, () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= runs; seed++) {
    const world = new HandoverWorld(seed);
    world.run(12_000);
    const { writes: { leader, target }, violations, committed, settled, unanswered } = world;
    const told = `seed ${seed}\n${world.trace.join("\n")}`;
    assert.deepEqual(violations, [], told);
    assert.equal(Number(leader) + Number(target), 1, `one writes: ${told}`);
    if (!committed) assert.ok(leader, `the leader comes back: ${told}`);
    assert.ok(settled && !unanswered, `nothing is open: ${told}`);
    for (const [what, times] of world.seen) seen.set(what, (seen.get(what) ?? 0) + times);
  }
  const ways = [
    "L done by received",
    "L follow by met",
    "L follow by asked",
    "L open by returned",
    "L open by asked",
    "L open by received",
    "L open by cancel",
    "L fail outcome_unknown by tick",
    "L fail not_caught_up by tick",
    "T dropSession by asked",
    "T answer unknown by asked",
    "T answer promoted by asked",
    "T unbind by left",
    "T unbind by abort",
    "T send by promotionFailed",
    "T send by bindFailed",
  ];
  assert.deepEqual(ways.filter((way) => !seen.has(way)), [], "each of these ways was gone");
});

const node = (digit: string): KnownNode => ({
  nodeId: nodeIdOf(digit.repeat(32)),
  nodeName: `node-${digit}`,
  httpUrl: null,
  wireAddress: `node-${digit}:1`,
});
const target = node("b"), id = "1".repeat(32);
const term = (epoch: number, nodeId = target.nodeId): TermRecord => ({
  epoch: epochOf(epoch),
  run: runIdOf("f".repeat(32)),
  nodeId,
  firstSeq: seqOf(8),
});
const position = { seq: seqOf(7), epoch: epochOf(3), run: runIdOf("e".repeat(32)), chain: 7 };
const claimOf = (given: Partial<Claim>): Claim => ({
  peer: target,
  leads: null,
  newest: null,
  leader: null,
  follows: false,
  ...given,
});

/** A machine, and the effects of inputs as text. */
function rig(given: Epoch | null = null) {
  const machine = handover({ nodeId: node("a").nodeId, epoch: () => epochOf(3), given: () => given });
  let now = 0;
  const step = (input: HandoverInput): string[] => machine.step(input, monotonicMsOf(now)).map(told);
  const pass = (ms: number): string[] => {
    now += ms;
    return step({ type: "tick" });
  };
  const start = (as = id): string[] => step({ type: "start", id: as, target, timeoutMs: 10_000 });
  const commit = (as = id): string[] => [
    ...start(as),
    ...step({ type: "holds", seq: seqOf(7) }),
    ...step({ type: "quiet", position }),
    ...step({ type: "received", message: { type: "prepared", id: as, wireAddress: "node-b:2" } }),
  ];
  return { machine, step, pass, start, commit };
}

function told(effect: HandoverEffect): string {
  switch (effect.type) {
    case "send":
      return effect.message.type;
    case "fail":
      return `fail ${effect.error.code}`;
    case "follow":
      return `follow ${effect.target.wireAddress}`;
    case "done":
      return `done ${effect.finalSeq} ${effect.epoch} ${effect.pausedMs}`;
    case "ask":
    case "store":
      return `${effect.type} ${effect.target.wireAddress}`;
    default:
      return effect.type;
  }
}

test("from start to done", () => {
  const { machine, step, commit, pass } = rig();
  assert.deepEqual(commit(), ["close", "drain", "prepare", "store node-b:2", "commit"]);
  assert.equal(machine.inDoubt, true);
  assert.deepEqual(pass(20), []);
  const promoted: HandoverInput = { type: "received", message: { type: "promoted", id, term: term(4) } };
  assert.deepEqual(step(promoted), ["follow node-b:2", "clear", "done 7 4 20"]);
  assert.deepEqual([machine.progress, machine.deadline], [null, null]);
  assert.deepEqual(step(promoted), [], "it is over");
});

test("a drain that was cancelled does not end the next one", () => {
  const { step, start } = rig();
  start();
  assert.deepEqual(step({ type: "cancel" }), ["open", "fail conflict"]);
  start();
  step({ type: "holds", seq: seqOf(7) });
  assert.deepEqual(step({ type: "quiet", position: { ...position, seq: seqOf(5) } }), [], "of the first");
  assert.deepEqual(step({ type: "quiet", position }), ["prepare"]);
});

test("an answer about an earlier handover settles nothing", () => {
  const { step, commit } = rig();
  commit();
  assert.deepEqual(step({ type: "left" }), ["ask node-b:2"]);
  assert.deepEqual(step({ type: "returned" }), ["clear", "open", "fail unreachable"]);
  commit("2".repeat(32));
  assert.deepEqual(step({ type: "left" }), [], "one question is open");
  const asked: HandoverInput = { type: "asked", claim: claimOf({}), outcome: "not_promoted" };
  assert.deepEqual(step(asked), ["ask node-b:2"], "that was of the first");
  assert.deepEqual(step(asked), ["clear", "open", "fail unreachable"]);
});

test("a target that took over and leads no more ends the doubt where this node was given an epoch above since", () => {
  const met: HandoverInput = { type: "met", claim: claimOf({ newest: term(4), follows: true }) };
  for (const given of [null, epochOf(3), epochOf(4)]) {
    const { step, commit } = rig(given);
    commit();
    assert.deepEqual(step(met), [], `given ${given}`);
  }
  const { step, commit } = rig(epochOf(5));
  commit();
  assert.deepEqual(step({ type: "met", claim: claimOf({ newest: term(3), follows: true }) }), [], "not yet");
  assert.deepEqual(step({ type: "met", claim: claimOf({ ...met.claim, peer: node("c") }) }), [], "another");
  assert.deepEqual(step(met), ["clear", "open", "fail unreachable"]);
});

test("a target that answers nothing ends the doubt where somebody outside gives this node its place anew", () => {
  const none: HandoverInput = { type: "asked", claim: null, outcome: null };
  const unsure: HandoverInput = { type: "asked", claim: claimOf({}), outcome: "unknown" };
  const silentFor = ({ step, pass }: ReturnType<typeof rig>, ms: number): string[] => {
    const told: string[] = [];
    for (let at = 0; at < ms; at += 1_000) told.push(...step(none), ...pass(1_000));
    return told;
  };
  const inDoubt = (given: Epoch | null): ReturnType<typeof rig> => {
    const own = rig(given);
    own.commit();
    own.step({ type: "left" });
    return own;
  };
  const ends = (effects: string[]): string[] => effects.filter((effect) => !effect.startsWith("ask "));
  assert.deepEqual(ends(silentFor(inDoubt(null), 60_000)), ["fail outcome_unknown"], "nobody decides");
  assert.deepEqual(ends(silentFor(inDoubt(epochOf(3)), 12_000)), ["fail outcome_unknown", "clear", "open"]);
  const late = inDoubt(epochOf(3));
  assert.deepEqual(ends(silentFor(late, 8_000)), []);
  assert.deepEqual(ends(late.step(unsure)), [], "it is there, and may be about to lead");
  assert.deepEqual(ends([...late.pass(1_000), ...silentFor(late, 8_000)]), ["fail outcome_unknown"], "anew");
});

test("each step has its own failure", () => {
  const draining = rig();
  draining.start();
  assert.deepEqual(draining.pass(10_000), ["open", "fail timeout"]);
  const waiting = rig();
  waiting.start();
  waiting.step({ type: "quiet", position });
  waiting.step({ type: "holds", seq: seqOf(6) });
  assert.deepEqual(waiting.pass(10_000), ["open", "fail not_caught_up"]);
  const preparing = rig();
  preparing.start();
  preparing.step({ type: "quiet", position });
  preparing.step({ type: "holds", seq: seqOf(7) });
  assert.deepEqual(preparing.pass(10_000), ["abort", "open", "fail timeout"]);
  const declined = rig();
  declined.start();
  declined.step({ type: "quiet", position });
  declined.step({ type: "holds", seq: seqOf(7) });
  const message = { type: "declined", id, code: "port_in_use", message: "The port is taken" } as const;
  assert.deepEqual(declined.step({ type: "received", message }), ["open", "fail port_in_use"]);
  const left = rig();
  left.start();
  const error = new DfdbError("going_away", "The target is stopping");
  assert.deepEqual(left.step({ type: "left", error }), ["open", "fail going_away"]);
});

test("in doubt only the caller's wait ends by the time", () => {
  const { machine, step, commit, pass } = rig();
  commit();
  assert.deepEqual(pass(3_000), ["ask node-b:2"], "no answer for too long");
  assert.deepEqual(step({ type: "cancel" }), [], "too late");
  step({ type: "asked", claim: null, outcome: null });
  assert.deepEqual(pass(7_000), ["fail outcome_unknown", "ask node-b:2"]);
  step({ type: "asked", claim: claimOf({}), outcome: "unknown" });
  assert.deepEqual(pass(600_000), ["ask node-b:2"]);
  assert.equal(machine.progress?.step, "in_doubt");
  assert.deepEqual(step({ type: "forced" }), ["clear", "open"]);
});

test("a target that took over and gave the role away ends no doubt in our favour", () => {
  const { step, commit } = rig();
  commit();
  step({ type: "left" });
  const claim = claimOf({ newest: term(4), leader: node("a") });
  assert.deepEqual(step({ type: "asked", claim, outcome: "not_promoted" }), []);
  const { step: again } = rig();
  again({ type: "resumed", id, target });
  const third = claimOf({ newest: term(5, node("c").nodeId), leader: node("c") });
  assert.deepEqual(again({ type: "asked", claim: third, outcome: "not_promoted" }), [
    "follow node-c:1",
    "clear",
  ]);
});

test("after a restart it asks, and nobody is answered", () => {
  const { step, machine } = rig();
  assert.deepEqual(step({ type: "resumed", id, target }), ["ask node-b:1"]);
  assert.equal(machine.inDoubt, true);
  assert.deepEqual(step({ type: "met", claim: claimOf({ leads: term(3) }) }), [], "not a higher epoch");
  assert.deepEqual(step({ type: "met", claim: claimOf({ leads: term(4) }) }), ["follow node-b:1", "clear"]);
});

test("another leader with a higher epoch ends it at any step", () => {
  const third = claimOf({ peer: node("c"), leads: term(9, node("c").nodeId) });
  const early = rig();
  early.start();
  assert.deepEqual(early.step({ type: "met", claim: third }), ["open", "fail stale_epoch"]);
  const { step, commit } = rig();
  commit();
  assert.deepEqual(step({ type: "met", claim: third }), ["follow node-c:1", "clear", "fail stale_epoch"]);
});

test("a node that stops in doubt keeps the doubt", () => {
  const { step, commit, machine } = rig();
  commit();
  assert.deepEqual(step({ type: "stop" }), ["fail outcome_unknown"]);
  assert.equal(machine.deadline, null);
});
