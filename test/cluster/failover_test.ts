/** Leaders that die under load: their candidates take over, and what that costs. */
import assert from "node:assert/strict";
import test from "node:test";
import { prng } from "../../src/base/prng.ts";
import type { ChaosProxy } from "./chaos_proxy.ts";
import { chaosProxy } from "./chaos_proxy.ts";
import { eventually, status } from "./cluster.ts";
import type { Peer } from "./group.ts";
import { follows, group, nameOf, post, sameContents, watching, writable } from "./group.ts";
import { inserters } from "./inserters.ts";
import { twoLeaders } from "./one_leader.ts";
import { rescuedOps } from "./rescued_ops.ts";
import type { SplitNet } from "./split_net.ts";
import { splitNet } from "./split_net.ts";

const silenceSeconds = 1;
const candidate: readonly string[] = ["--auto-failover-seconds", String(silenceSeconds)];
const sync: readonly string[] = ["--min-sync-replicas", "1", "--sync-timeout-seconds", "20"];

/** Starts it with the command line that it had; every write is refused until it follows `leader`. */
async function comesBack(old: Peer, leader: Peer): Promise<void> {
  await old.start();
  const code = (): Promise<unknown> =>
    post(old, "/collections/inserted", { op: "never" }).then(({ body }) => body["code"]);
  const codes = new Set<unknown>([await code()]);
  await eventually(`${old.name} follows ${leader.name}`, async () => {
    codes.add(await code());
    const { follower } = await status(old);
    return follower.state === "streaming" ? true : null;
  });
  for (const each of codes) assert.ok(each === "read_only" || each === "not_leader", String(each));
  assert.equal((await status(old)).role, "follower");
  await follows(old, leader);
}

test("kill -9 of the leader, semi-synchronous, the candidate slow and the third node fast: nothing answered is lost", async (t) => {
  const flags = (i: number): readonly string[] =>
    i === 1 ? [...sync, ...candidate, "--document-bytes-max", "5000"] : sync;
  const runtimes = ["deno", "bun", "node"] as const, nets: SplitNet[] = [];
  const g = await group({
    runtimes,
    flags,
    async lines(wirePorts) {
      nets.push(await splitNet(wirePorts, (i) => nameOf(i, runtimes[i] ?? "node")));
      return nets[0] as SplitNet;
    },
  });
  t.after(() => g.stop());
  const [old, next, third] = g.peers as [Peer, Peer, Peer];
  await watching(next);
  const load = inserters({ members: g.peers, clients: 16 });
  t.after(() => load.stop());
  nets[0]?.cut(0, 1, "slow");
  await load.more(150);
  const killedMs = performance.now();
  await old.kill9();
  nets[0]?.healAll();
  const led = await writable(next);
  await load.more(200);
  const first = load.accepted.find(({ url }) => url === next.url);
  t.diagnostic(
    `first accepted write ${((first?.answeredMs ?? NaN) - killedMs).toFixed(0)} ms after the kill`,
  );
  assert.deepEqual([led.leader.port, led.leader.minSyncReplicas, led.roleOrigin], [
    next.wirePort,
    1,
    "failover",
  ]);
  const large = await post(next, "/collections/inserted", { op: "large", padding: "x".repeat(6_000) });
  assert.equal(large.status, 413, "its own limits hold");
  await follows(third, next);
  await comesBack(old, next);
  await load.more(100);
  await load.stop();
  await sameContents(next, g.peers);
  const { lost, duplicated } = await load.tally(next);
  assert.deepEqual({ lost, duplicated }, { lost: [], duplicated: [] });
  assert.deepEqual(twoLeaders(load.accepted), []);
  assert.deepEqual(await g.stop(), [0, 0, 0]);
});

test("without semi-synchronous replication: what was lost is in rescued/, to the last write", async (t) => {
  const proxies: ChaosProxy[] = [];
  const g = await group({
    runtimes: ["node", "deno"],
    flags: (i) => i === 1 ? candidate : [],
    async through(port) {
      const proxy = await chaosProxy(port, prng(1));
      proxies.push(proxy);
      return proxy.port;
    },
  });
  t.after(() => proxies.forEach((proxy) => void proxy.close()));
  t.after(() => g.stop());
  const [old, next] = g.peers as [Peer, Peer], load = inserters({ members: g.peers, clients: 16 });
  t.after(() => load.stop());
  await watching(next);
  await load.more(100);
  proxies[0]?.set("slow");
  await load.more(1_000);
  await old.kill9();
  await writable(next);
  await load.more(100);
  await comesBack(old, next);
  await load.stop();
  await sameContents(next, g.peers);
  const { lost, duplicated } = await load.tally(next), rescued = rescuedOps(old);
  assert.deepEqual(duplicated, []);
  assert.ok(lost.length > 0, "the candidate was behind");
  assert.deepEqual(lost.filter((op) => !rescued.has(op)), []);
  t.diagnostic(`${lost.length} writes were not at the candidate; ${rescued.size} rescued`);
  assert.equal((await status(old)).follower.rescues, 1);
});
