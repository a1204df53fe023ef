/** A leader on each runtime, followers on the two others; each side killed and started again in the middle of a load. */
import assert from "node:assert/strict";
import test from "node:test";
import type { RuntimeName } from "../tool/node_process.ts";
import { cluster, converged, equalContents, eventually, status } from "./cluster.ts";
import { writers } from "./writers.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";

const runtimes: readonly RuntimeName[] = ["node", "deno", "bun"];

for (const leader of leaderRuntimes(0)) {
  const followers = runtimes.filter((runtime) => runtime !== leader);
  test(`leader on ${leader}, followers on ${followers.join(" and ")}: kill -9 of each side loses nothing`, async () => {
    const c = await cluster({ leader, followers });
    const load = writers({ leader: () => c.leader.url, writers: 8, documentsEach: 40, seed: 1, pauseMs: 5 });
    const answered = (count: number) =>
      eventually(`${count} writes`, () => Promise.resolve(load.acknowledged >= count ? true : null));
    await answered(300);
    const [first, second] = c.followers;
    assert.ok(first !== undefined && second !== undefined);
    await first.kill9();
    await answered(600);
    await first.start();
    await answered(900);
    await c.leader.kill9();
    await c.leader.start();
    await answered(1_200);
    await second.kill9();
    await second.start();
    await answered(1_500);
    await load.stop();
    await converged(c);
    assert.deepEqual(await load.broken(c.leader), []);
    await equalContents(c);
    for (const follower of c.followers) {
      const state = await status(follower);
      assert.equal(state.follower.gapsDetected, 0);
      assert.equal(state.role, "follower");
    }
    assert.deepEqual(await c.stop(), [0, 0, 0], "SIGTERM ends every node with 0");
  });
}
