/** The real composition root on the fourth runtime: two nodes, one write, virtual time. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { silentLogger } from "../../src/base/logger.ts";
import { startNode } from "../../src/node/node.ts";
import { readSettings } from "../../src/node/read_settings.ts";
import { memoryFiles, SimNetwork, simRuntime } from "./sim_runtime.ts";
import { World } from "./world.ts";

const leaderFlags = {
  "data-dir": "leader",
  "replication-role": "leader",
  port: "5000",
  "replication-port": "5500",
};
const followerFlags = {
  "data-dir": "follower",
  "replication-role": "follower",
  port: "5010",
  "leader-host": "leader",
  "leader-port": "5500",
};

interface Outcome {
  readonly trace: string;
  readonly virtualMs: number;
  readonly document: string;
}

/** Writes while the network is cut again and again, then waits for the follower. */
async function story(seed: number): Promise<Outcome> {
  const root = mkdtempSync(join(tmpdir(), "dfdb-sim-"));
  const world = new World(seed), network = new SimNetwork(world), trace: string[] = [];
  let over: unknown = null;
  const settle = async <Value>(promise: Promise<Value>): Promise<Value> => {
    let settled = false;
    promise.then(() => settled = true, () => settled = true);
    assert.ok(
      await world.until(() => settled, 60_000),
      `nothing came within a virtual minute: ${trace.join(" ")}`,
    );
    return await promise;
  };
  const start = async (flags: Record<string, string>) => {
    const path = join(root, flags["data-dir"] as string);
    const runtime = simRuntime(network, memoryFiles(path));
    const settings = readSettings({ flags: { ...flags, "data-dir": path }, env: {}, file: null });
    return await settle(startNode(runtime, settings, silentLogger));
  };
  const url = (port: number, i: number) => `http://x:${port}/collections/orders/${i}`;
  try {
    const follower = await start(followerFlags); // its leader is down at start
    const leader = await start(leaderFlags);
    for (let i = 0; i < 20; i++) {
      const answer = await settle(network.fetch(url(5000, i), { method: "PUT", body: `{"n":${i}}` }));
      trace.push(`${answer.status}@${world.now.toFixed(2)}`);
      if (world.between(0, 1) < 0.3) network.net.cut();
    }
    const caughtUp = () => follower.storage.log.last.seq === leader.storage.log.last.seq;
    assert.ok(
      await world.until(caughtUp, 60_000),
      `not caught up: ${JSON.stringify(follower.replication.following?.status())}`,
    );
    assert.deepEqual(follower.storage.log.last, leader.storage.log.last);
    const document = await (await settle(network.fetch(url(5010, 19)))).text();
    const refused = await settle(network.fetch(url(5010, 19), { method: "PUT", body: "{}" }));
    assert.equal(refused.status, 421);
    const virtualMs = world.now;
    await settle(follower.stop());
    await settle(leader.stop());
    return { trace: trace.join(" "), virtualMs, document };
  } catch (error) {
    over = error;
    throw error;
  } finally {
    if (over === null) rmSync(root, { recursive: true });
  }
}

test("two simulated nodes replicate through cuts in virtual time", async () => {
  const { document, virtualMs } = await story(1);
  assert.match(document, /"n":19/);
  assert.ok(virtualMs > 100, `reconnecting takes time: ${virtualMs}`);
});

test("the same seed gives the same run, another seed another", async () => {
  const [first, again, other] = [await story(7), await story(7), await story(8)];
  assert.deepEqual(first, again);
  assert.notEqual(first.trace, other.trace);
});
