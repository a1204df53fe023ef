import assert from "node:assert/strict";
import test from "node:test";
import { SpacedCalls } from "../../src/replication/spaced_calls.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import { ManualClock } from "../tool/manual_clock.ts";

/** Calls that take `tookMs` each; `at`: when they were made. */
function rig(tookMs: number): { clock: ManualClock; calls: SpacedCalls; at: number[] } {
  const clock = new ManualClock(), at: number[] = [];
  let spent = 0;
  // Time passes inside a call, without anything else going on.
  const own: Clock = {
    monotonic: () => (clock.monotonic() + spent) as ReturnType<Clock["monotonic"]>,
    wall: () => clock.wall(),
    timer: (delayMs, run) => clock.timer(delayMs, run),
    macrotask: (run) => clock.macrotask(run),
  };
  const calls = new SpacedCalls(own, () => {
    at.push(own.monotonic());
    spent += tookMs;
  });
  return { clock, calls, at };
}

test("what asks until the macrotask comes shares one call", async () => {
  const { clock, calls, at } = rig(0);
  calls.ask();
  calls.ask();
  assert.equal(at.length, 0, "never inside the ask");
  await clock.settle();
  assert.equal(at.length, 1);
  calls.ask();
  await clock.settle();
  assert.equal(at.length, 2);
  assert.equal(clock.timers, 0);
});

test("after a long call the next one waits as long, at most 5 ms", async () => {
  for (const [tookMs, restMs] of [[0.4, 0], [3, 3], [80, 5]] as const) {
    const { clock, calls, at } = rig(tookMs);
    calls.ask();
    await clock.settle();
    calls.ask();
    calls.ask();
    await clock.advance(restMs);
    assert.equal(at.length, 2);
    assert.ok(Math.abs(at[1]! - tookMs - restMs) < 0.001, `${at[1]} after ${tookMs}`);
  }
});

test("a pause that has passed already costs nothing", async () => {
  const { clock, calls, at } = rig(2);
  calls.ask();
  await clock.settle();
  await clock.advance(10);
  calls.ask();
  await clock.settle();
  assert.equal(at.length, 2);
});

test("after a stop nothing is called and no timer is left", async () => {
  const { clock, calls, at } = rig(2);
  calls.ask();
  await clock.settle();
  calls.ask();
  assert.equal(clock.timers, 1);
  calls.stop();
  calls.ask();
  await clock.advance(100);
  assert.equal(at.length, 1);
  assert.equal(clock.timers, 0);
});
