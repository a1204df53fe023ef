/** The target's side of a handover, step by step; together with the leader's side: handover_test.ts. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, monotonicMsOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import type { TakeoverEffect, TakeoverInput } from "../../src/cluster/handover_events.ts";
import { takeover } from "../../src/cluster/takeover.ts";
import type { Position, TermRecord } from "../../src/storage/log.ts";

const id = "1".repeat(32), other = "2".repeat(32);
const position = (seq: number, chain = seq): Position => ({
  seq: seqOf(seq),
  epoch: epochOf(3),
  run: runIdOf("e".repeat(32)),
  chain,
});
const term: TermRecord = {
  epoch: epochOf(4),
  run: runIdOf("f".repeat(32)),
  nodeId: nodeIdOf("b".repeat(32)),
  firstSeq: seqOf(8),
};
const taken = new DfdbError("port_in_use", "The port is taken");

function told(effect: TakeoverEffect): string {
  if (effect.type === "answer") return `answer ${effect.outcome}`;
  if (effect.type !== "send") return effect.type;
  const { message } = effect;
  return message.type === "declined" ? `declined ${message.code}` : message.type;
}

function rig(facts: { leads?: boolean; refusal?: DfdbError } = {}) {
  const machine = takeover({ mayLead: () => facts.leads ?? false, refusal: () => facts.refusal ?? null });
  const step = (input: TakeoverInput): string[] => machine.step(input, monotonicMsOf(0)).map(told);
  const prepared = (): string[] => [
    ...step({ type: "holds", position: position(7) }),
    ...step({ type: "prepare", id, position: position(7) }),
    ...step({ type: "bound", wireAddress: ":5500" }),
  ];
  return { machine, step, prepared };
}

test("from prepare to promoted", () => {
  const { machine, step, prepared } = rig();
  assert.deepEqual(prepared(), ["bind", "prepared"]);
  assert.deepEqual(step({ type: "commit", id }), ["promote"]);
  assert.deepEqual(step({ type: "asked", id }), ["answer unknown"], "it may or may not have happened yet");
  assert.deepEqual(step({ type: "promoted", term }), ["promoted"]);
  assert.deepEqual(step({ type: "asked", id }), ["answer promoted"]);
  assert.equal(machine.state, "promoted");
});

test("it binds when it holds the final position, and only that one", () => {
  const { step } = rig();
  step({ type: "holds", position: position(5) });
  assert.deepEqual(step({ type: "prepare", id, position: position(7) }), []);
  assert.deepEqual(step({ type: "holds", position: position(6) }), []);
  assert.deepEqual(step({ type: "holds", position: position(7) }), ["bind"]);
  for (const held of [position(8), position(7, 99)]) {
    const beyond = rig();
    beyond.step({ type: "holds", position: held });
    assert.deepEqual(beyond.step({ type: "prepare", id, position: position(7) }), ["declined conflict"]);
    assert.equal(beyond.machine.state, "idle");
  }
});

test("an entry that comes after the final one ends it", () => {
  const { step, prepared, machine } = rig();
  prepared();
  assert.deepEqual(step({ type: "holds", position: position(8) }), ["declined conflict", "unbind"]);
  assert.equal(machine.state, "idle");
});

test("a commit is taken only for what is prepared", () => {
  const idle = rig();
  assert.deepEqual(idle.step({ type: "commit", id }), ["declined conflict"]);
  const { step, prepared } = rig();
  prepared();
  assert.deepEqual(step({ type: "commit", id: other }), ["declined conflict"]);
  assert.deepEqual(step({ type: "prepare", id: other, position: position(7) }), ["declined conflict"]);
  assert.deepEqual(step({ type: "commit", id }), ["promote"], "the first one goes on");
  assert.deepEqual(step({ type: "commit", id }), [], "told twice");
});

test("a commit before it is prepared ends it for good", () => {
  const { step, machine } = rig();
  step({ type: "holds", position: position(7) });
  step({ type: "prepare", id, position: position(7) });
  assert.deepEqual(step({ type: "commit", id }), ["declined conflict"]);
  assert.deepEqual(step({ type: "bound", wireAddress: null }), ["unbind"]);
  assert.equal(machine.state, "idle");
});

test("before the commit the end of the session, an abort or a question ends it", () => {
  const ends: readonly (readonly [TakeoverInput, readonly string[]])[] = [
    [{ type: "left" }, ["unbind"]],
    [{ type: "abort", id }, ["unbind"]],
    [{ type: "stop" }, ["declined going_away", "unbind"]],
    [{ type: "asked", id }, ["dropSession", "answer not_promoted", "unbind"]],
  ];
  for (const [input, effects] of ends) {
    const { step, prepared, machine } = rig();
    prepared();
    assert.deepEqual(step({ type: "abort", id: other }), [], "not this one");
    assert.deepEqual(step(input), effects, input.type);
    assert.equal(machine.state, "idle", input.type);
    assert.deepEqual(step({ type: "commit", id }), ["declined conflict"], `a commit after ${input.type}`);
  }
});

test("after the commit nothing but the promotion ends it", () => {
  const { step, prepared, machine } = rig();
  prepared();
  step({ type: "commit", id });
  for (const input of [{ type: "left" }, { type: "abort", id }, { type: "stop" }] as const) {
    assert.deepEqual(step(input), [], input.type);
  }
  assert.equal(machine.state, "promoting");
  assert.deepEqual(step({ type: "promoted", term }), [], "there is nobody to tell");
});

test("a promotion that failed is declined", () => {
  const { step, prepared } = rig();
  prepared();
  step({ type: "commit", id });
  assert.deepEqual(
    step({ type: "promotionFailed", error: new DfdbError("no_lease", "Somebody else leads") }),
    [
      "declined no_lease",
      "unbind",
    ],
  );
  assert.deepEqual(step({ type: "asked", id }), ["answer not_promoted"]);
});

test("a port that is taken, and one that is bound too late", () => {
  const { step, machine } = rig();
  step({ type: "holds", position: position(7) });
  assert.deepEqual(step({ type: "prepare", id, position: position(7) }), ["bind"]);
  assert.deepEqual(step({ type: "bindFailed", error: taken }), ["declined port_in_use"]);
  step({ type: "prepare", id, position: position(7) });
  assert.deepEqual(step({ type: "left" }), []);
  assert.deepEqual(step({ type: "prepare", id: other, position: position(7) }), ["declined conflict"]);
  assert.deepEqual(step({ type: "bound", wireAddress: null }), ["unbind"]);
  assert.equal(machine.state, "idle");
});

test("a node that cannot lead says so, and one that leads denies nothing", () => {
  const { step } = rig({ refusal: new DfdbError("not_caught_up", "A snapshot is being installed here") });
  assert.deepEqual(step({ type: "prepare", id, position: position(7) }), ["declined not_caught_up"]);
  assert.deepEqual(step({ type: "asked", id }), ["answer not_promoted"]);
  const leading = rig({ leads: true });
  assert.deepEqual(leading.step({ type: "asked", id }), ["answer unknown"], "perhaps by this handover");
});
