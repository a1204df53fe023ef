/** The real composition root on the fourth runtime: two nodes, writes, cuts, virtual time. */
import assert from "node:assert/strict";
import test from "node:test";
import { inQuietWorld } from "./quiet_world.ts";

test("two simulated nodes replicate through cuts in virtual time", async () => {
  await inQuietWorld({ seed: 1, machines: 2 }, async ({ world, network, cluster, start, until, ask }) => {
    const { leader, followers: [follower] } = cluster;
    assert.ok(follower !== undefined);
    await start();
    await until("they are connected", () => leader.observed?.followers().length === 1);
    for (let i = 0; i < 20; i++) {
      const put = { method: "PUT", path: `/collections/orders/${i}`, body: `{"n":${i}}` } as const;
      assert.equal((await ask(leader, put)).status, 201);
      if (i % 3 > 0) continue;
      network.reset(() => true);
      await world.pass(300);
    }
    await until("the follower has all", () => follower.node?.storage.log.last.seq === 21);
    assert.deepEqual(follower.node?.storage.log.last, leader.node?.storage.log.last);
    const { text } = await ask(follower, { method: "GET", path: "/collections/orders/19" });
    assert.match(text, /"n":19/);
    const refused = await ask(follower, { method: "PUT", path: "/collections/orders/19", body: "{}" });
    assert.equal(refused.status, 421);
    assert.ok(network.figures.connections > 2, `connected ${network.figures.connections} times`);
    assert.ok(world.now > 100, `reconnecting takes time: ${world.now}`);
  });
});
