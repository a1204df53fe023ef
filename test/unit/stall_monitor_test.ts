import assert from "node:assert/strict";
import test from "node:test";
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import type { LogFields } from "../../src/base/logger.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { stallMonitor } from "../../src/node/stall_monitor.ts";
import type { Clock } from "../../src/runtime/runtime.ts";
import { ClockWorld } from "../sim/clock_world.ts";

/** A monitor whose thread can be held: time passes, and no timer runs. */
function rig() {
  const world = new ClockWorld(1), warnings: LogFields[] = [];
  let held = 0, slept = 0;
  const clock: Clock = {
    monotonic: () => monotonicMsOf(world.monotonic() + held),
    wall: () => wallMsOf(world.wall() + slept),
    timer: (ms, run) => world.timer(ms, run),
    macrotask: (run) => world.macrotask(run),
  };
  const logger = { ...silentLogger, warn: (_: string, fields: LogFields = {}) => void warnings.push(fields) };
  const stood: number[] = [];
  const monitor = stallMonitor({ clock, logger, onStandstill: (ms) => void stood.push(ms) });
  const run = (ms: number) => {
    let over = false;
    world.timer(ms, () => over = true);
    return world.until(() => over, ms);
  };
  const hold = (ms: number): void => void (held += ms);
  const sleep = (ms: number): void => void (slept += ms);
  return { monitor, warnings, run, hold, sleep, stood, world };
}

test("stall monitor: a thread that is not held has no stalls", async () => {
  const { monitor, warnings, run, world } = rig();
  await run(10_000);
  assert.deepEqual(monitor.look(), { longestMs: 0, recentMs: 0, over: 0 });
  assert.deepEqual(warnings, []);
  monitor.stop();
  const before = world.events;
  await run(1_000);
  assert.equal(world.events, before + 1, "stopped: only the test's own timer");
});

test("stall monitor: tells the longest since the start and since it was last asked, and counts those over the bound", async () => {
  const { monitor, run, hold } = rig();
  await run(100);
  hold(200);
  await run(100);
  assert.deepEqual(monitor.look(), { longestMs: 200, recentMs: 200, over: 0 });
  assert.deepEqual(monitor.take(), { longestMs: 200, recentMs: 200, over: 0 });
  hold(100);
  await run(100);
  assert.deepEqual(monitor.take(), { longestMs: 200, recentMs: 100, over: 0 });
  hold(700);
  await run(100);
  assert.deepEqual(monitor.take(), { longestMs: 700, recentMs: 700, over: 1 });
  monitor.stop();
});

test("stall monitor: one warning a minute, with how many there were", async () => {
  const { monitor, warnings, run, hold } = rig();
  for (let i = 0; i < 5; i++) {
    hold(300);
    await run(1_000);
  }
  assert.deepEqual(warnings, [{ ms: 300, timesSinceStart: 1 }]);
  await run(60_000);
  hold(400);
  await run(100);
  assert.deepEqual(warnings.at(-1), { ms: 400, timesSinceStart: 6 });
  assert.equal(monitor.look().over, 6);
  monitor.stop();
});

test("stall monitor: how long the thread stood still is known before the timer runs, and told by it", async () => {
  const { monitor, run, hold, stood } = rig();
  await run(120);
  assert.ok(monitor.standstillMs() <= 50);
  hold(3_000);
  assert.ok(monitor.standstillMs() >= 3_000, "nothing ran since");
  assert.deepEqual(stood, []);
  await run(100);
  assert.equal(stood.length, 1);
  assert.ok((stood[0] ?? 0) >= 3_000 && (stood[0] ?? 0) <= 3_050, `${stood[0]}`);
  assert.ok(monitor.standstillMs() <= 50);
  monitor.stop();
});

test("stall monitor: a machine that slept stood still, though its monotonic clock did, too; that is no stall", async () => {
  const { monitor, run, sleep, stood } = rig();
  await run(100);
  sleep(900);
  await run(100);
  assert.deepEqual(stood, [], "a clock that is set by less than a second");
  sleep(8_000);
  assert.ok(monitor.standstillMs() >= 8_000);
  await run(100);
  assert.equal(stood.length, 1);
  assert.equal(monitor.look().over, 0);
  monitor.stop();
});
