/** An event that is slow each time is a violation; one that was disturbed is not. */
import assert from "node:assert/strict";
import test from "node:test";
import { limits } from "../../src/base/limits.ts";
import { loneProcess } from "./lone_process.ts";
import type { SeedResult } from "./result.ts";
import { withStallsChecked } from "./stalls.ts";
import { World } from "./world.ts";

const fine: SeedResult = {
  seed: 1,
  violation: null,
  virtualMs: 0,
  wallMs: 0,
  events: 9,
  counts: {},
  longestMs: 300,
  slowEvents: [],
  hash: null,
};

/** Results with these slow events, one run after the other. */
function runs(...slow: readonly (readonly number[])[]): { run: () => Promise<SeedResult>; left: number } {
  const own = {
    left: slow.length,
    run: () => Promise.resolve({ ...fine, slowEvents: slow[slow.length - own.left--] ?? [] }),
  };
  return own;
}

test("an event that holds a thread too long each time is a violation", async () => {
  const { violation } = await withStallsChecked(runs([3, 7], [7], [1, 7]).run);
  assert.match(violation?.message ?? "", /event 7 held a thread for 300 ms, 3 times/);
});

test("events that were slow once are not; a seed without any runs once", async () => {
  for (const given of [runs([3], [4]), runs([3], [3, 4], [4]), runs([])]) {
    assert.deepEqual([(await withStallsChecked(given.run)).violation, given.left], [null, 0]);
  }
});

test("a world notes which of its processes' events took longer than the bound", async () => {
  const world = new World(1), process = loneProcess(world);
  const busyFor = (ms: number) => () => {
    for (const until = performance.now() + ms; performance.now() < until;);
  };
  process.later(1, () => {});
  process.later(2, busyFor(limits.stallMs + 20));
  world.at(null, 3, busyFor(limits.stallMs + 20));
  await world.pass(10);
  assert.deepEqual(world.slowEvents, [2]);
});
