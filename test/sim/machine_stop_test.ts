/** A process that is told to stop has its time for it; the world's stalls take nothing of it, and do not hide one that hangs. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Machine } from "./cluster.ts";
import { inQuietWorld } from "./quiet_world.ts";
import type { World } from "./world.ts";

/** Tells the machine to stop, stalls its thread `times` times by 25 s after that, and says whether it stopped in time, and when. */
async function stopped(
  world: World,
  machine: Machine,
  times: number,
): Promise<[inTime: boolean, ms: number]> {
  const since = world.now, { process } = machine;
  let inTime: boolean | null = null;
  process?.stall(5_000);
  machine.stop().then((value) => inTime = value);
  for (let i = 1; i <= times; i++) world.at(null, i * 1_000, () => process?.stall(25_000));
  await world.until(() => inTime !== null, 600_000);
  assert.ok(inTime !== null);
  return [inTime, world.now - since];
}

test("stalls that come after a process was told to stop take nothing of its time for that", async () => {
  await inQuietWorld({ seed: 1, machines: 1 }, async ({ world, cluster: { leader }, start }) => {
    await start();
    const [inTime, ms] = await stopped(world, leader, 4);
    assert.equal(inTime, true);
    assert.ok(ms >= 105_000 && ms < 110_000, `${ms}`);
  });
});

for (const times of [0, 4]) {
  test(`a process that does not stop is noticed, also with ${times} stalls after it was told to`, async () => {
    await inQuietWorld({ seed: 1, machines: 1 }, async ({ world, cluster: { leader }, start }) => {
      await start();
      assert.ok(leader.node !== null);
      leader.node = { ...leader.node, stop: () => new Promise(() => {}) };
      const [inTime, ms] = await stopped(world, leader, times);
      assert.deepEqual([inTime, ms], [false, 65_000 + times * 25_000]);
      assert.equal(leader.process, null);
    });
  });
}

test("a process that keeps its own thread busy has no more time to stop than another one", async () => {
  await inQuietWorld({ seed: 1, machines: 1 }, async ({ world, cluster: { leader }, start }) => {
    await start();
    const { node, process } = leader;
    assert.ok(node !== null && process !== null);
    const turn = (): void => {
      process.work(1_000);
      process.later(0, turn);
    };
    leader.node = { ...node, stop: () => (turn(), new Promise(() => {})) };
    assert.deepEqual(await stopped(world, leader, 0), [false, 65_000]);
  });
});
