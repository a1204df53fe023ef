import assert from "node:assert/strict";
import test from "node:test";
import { monotonicMsOf } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import type { SilenceInput } from "../../src/cluster/silence.ts";
import { silenceWatch } from "../../src/cluster/silence.ts";

const silenceMs = 10_000, heartbeatMs = 2_000, graceMs = 3_000;

/** A watch whose ticks come on time, unless `late` is given. */
function rig() {
  let now = 0, reason: string | null = null;
  const watch = silenceWatch({ graceMs, facts: () => reason });
  const effects: string[] = [];
  const step = (input: SilenceInput): void => {
    for (const effect of watch.step(input, monotonicMsOf(now))) effects.push(`${now} ${effect.type}`);
  };
  const pass = (ms: number): void => {
    const end = now + ms;
    for (let at = watch.deadline; at !== null && at <= end; at = watch.deadline) {
      now = Math.max(now, at);
      step({ type: "tick" });
    }
    now = end;
  };
  /** Nothing runs for `ms`, not even the timers. */
  const stall = (ms: number): void => {
    now += ms;
    if (watch.deadline !== null && watch.deadline <= now) step({ type: "tick" });
  };
  step({ type: "watch", silenceMs, heartbeatMs });
  const silentMs = (): number | null => watch.silentMs(monotonicMsOf(now));
  return { watch, effects, step, pass, stall, silentMs, bar: (why: string | null) => void (reason = why) };
}

test("grace, then the window, then one last attempt, then the promotion", () => {
  const { watch, effects, step, pass, silentMs } = rig();
  assert.equal(watch.state, "grace");
  pass(3_000);
  assert.equal(watch.state, "watching");
  pass(9_999);
  assert.deepEqual([effects, silentMs()], [[], 9_999]);
  pass(1);
  assert.deepEqual([effects, watch.state], [["13000 lastAttempt"], "attempting"]);
  pass(5_000);
  step({ type: "answered", yes: false });
  assert.deepEqual([effects.at(-1), watch.state, watch.deadline], ["18000 promote", "promoting", null]);
  step({ type: "unwatch" });
  assert.deepEqual([watch.state, watch.deadline, silentMs()], ["off", null, null]);
});

test("a sign begins the window anew and moves no timer", () => {
  const { watch, effects, step, pass } = rig();
  pass(12_500);
  const { deadline } = watch;
  step({ type: "heard" });
  assert.equal(watch.deadline, deadline);
  pass(9_999);
  assert.deepEqual(effects, []);
  pass(1_000);
  assert.deepEqual(effects, ["22500 lastAttempt"]);
});

test("a sign during the attempt cancels it, and its answer counts for no other", () => {
  const { watch, effects, step, pass } = rig();
  pass(13_000);
  step({ type: "heard" });
  assert.equal(watch.state, "watching");
  pass(11_000);
  assert.deepEqual(effects, ["13000 lastAttempt"], "the first one is not answered yet");
  step({ type: "answered", yes: false });
  assert.deepEqual(effects, ["13000 lastAttempt"]);
  pass(1_000);
  assert.deepEqual([effects.at(-1), watch.state], ["25000 lastAttempt", "attempting"]);
});

test("an answer of the leader begins the window anew", () => {
  const { watch, effects, step, pass } = rig();
  pass(14_000);
  step({ type: "answered", yes: true });
  assert.equal(watch.state, "watching");
  pass(9_900);
  assert.deepEqual(effects, ["13000 lastAttempt"]);
  pass(1_100);
  assert.equal(effects.length, 2);
});

test("a standstill is no silence, however long", () => {
  const { watch, effects, pass, stall, silentMs } = rig();
  pass(12_500);
  stall(60_000);
  assert.deepEqual([effects, watch.state, silentMs()], [[], "watching", 0]);
  pass(9_900);
  assert.deepEqual(effects, []);
  pass(100);
  assert.equal(effects.length, 1);
});

test("a standstill during the attempt spoils it", () => {
  const { watch, effects, step, pass, stall } = rig();
  pass(13_000);
  stall(7_000);
  step({ type: "answered", yes: false });
  assert.deepEqual([effects, watch.state], [["13000 lastAttempt"], "watching"]);
  pass(10_000);
  assert.equal(effects.length, 2);
});

test("a standstill is seen also where the answer comes before the tick", () => {
  const watch = silenceWatch({ graceMs: 0, facts: () => null });
  const at = (ms: number, input: SilenceInput) =>
    watch.step(input, monotonicMsOf(ms)).map(({ type }) => type);
  at(0, { type: "watch", silenceMs: 1_000, heartbeatMs: 400 });
  const effects = [250, 450, 650, 850, 1_050].flatMap((ms) => at(ms, { type: "tick" }));
  assert.deepEqual(effects, ["lastAttempt"]);
  assert.deepEqual(at(9_000, { type: "answered", yes: false }), []);
  assert.equal(watch.state, "watching");
});

test("what speaks against it is looked at again every heartbeat, before the attempt and after it", () => {
  const { watch, effects, step, pass, bar } = rig();
  bar("this node is behind");
  pass(13_000);
  assert.deepEqual([watch.state, watch.reason, effects], ["barred", "this node is behind", []]);
  bar(null);
  pass(2_000);
  assert.deepEqual([watch.state, watch.reason, effects], ["attempting", null, ["15000 lastAttempt"]]);
  bar("this node is in a handover");
  step({ type: "answered", yes: false });
  assert.deepEqual([watch.state, watch.reason], ["barred", "this node is in a handover"]);
  bar(null);
  pass(2_000);
  assert.equal(effects.at(-1), "17000 lastAttempt", "a new attempt, the old one is too old");
  step({ type: "heard" });
  step({ type: "answered", yes: false });
  pass(1_000);
  assert.equal(watch.state, "watching");
});

test("a promotion that failed is tried again after a pause, with another attempt", () => {
  const { watch, effects, step, pass } = rig();
  pass(13_000);
  step({ type: "answered", yes: false });
  step({ type: "failed" });
  assert.equal(watch.state, "barred");
  pass(2_000);
  assert.deepEqual(effects, ["13000 lastAttempt", "13000 promote", "15000 lastAttempt"]);
});

test("in any order of events no promotion comes after less than a window of silence while it listened", () => {
  let promotions = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const random = prng(seed), { watch, effects, step, pass, stall } = rig();
    let silentMs = -graceMs, attempts = 0;
    for (let i = 0; i < 60; i++) {
      const what = random.below(8), ms = random.below(4_000);
      const before = effects.length;
      if (what < 4) {
        pass(ms);
        silentMs += ms;
      } else if (what === 4) {
        step({ type: "heard" });
        silentMs = Math.min(silentMs, 0);
      } else if (what === 5) {
        const wait = watch.deadline;
        stall(5_000 + ms);
        if (wait !== null) silentMs = Math.min(silentMs + 5_000 + ms, 0);
      } else if (attempts > 0) {
        attempts--;
        step({ type: "answered", yes: what === 6 });
        if (what === 6) silentMs = Math.min(silentMs, 0);
      }
      for (const effect of effects.slice(before)) {
        if (effect.endsWith("lastAttempt")) attempts++;
        assert.ok(attempts <= 1, `seed ${seed}: one attempt at a time`);
        if (!effect.endsWith("promote")) continue;
        assert.ok(silentMs >= silenceMs, `seed ${seed}: promoted after ${silentMs} ms`);
        promotions++;
        step({ type: "unwatch" });
        step({ type: "watch", silenceMs, heartbeatMs });
        silentMs = -graceMs;
      }
    }
  }
  assert.ok(promotions > 20, `${promotions} promotions`);
});
