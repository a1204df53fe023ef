/** Lines between nodes are cut and healed: the candidate promotes itself while the old leader lives on, and then there is one leader again. */
import assert from "node:assert/strict";
import test from "node:test";
import type { TestContext } from "node:test";
import { eventually, status } from "./cluster.ts";
import type { Peer } from "./group.ts";
import { follows, group, nameOf, sameContents, watching, writable, writableNow } from "./group.ts";
import type { Inserters } from "./inserters.ts";
import { inserters } from "./inserters.ts";
import { rescuedOps } from "./rescued_ops.ts";
import type { Cut, SplitNet } from "./split_net.ts";
import { splitNet } from "./split_net.ts";

const runtimes = ["bun", "node", "deno"] as const;
const candidate: readonly string[] = ["--auto-failover-seconds", "1"];

interface Split {
  readonly peers: readonly [Peer, Peer, Peer];
  readonly net: SplitNet;
  readonly load: Inserters;
}

/** Three nodes, the second one is the candidate; clients that stay at theirs. */
async function started(t: TestContext): Promise<Split> {
  const nets: SplitNet[] = [];
  const g = await group({
    runtimes,
    flags: (i) => i === 1 ? candidate : [],
    async lines(wirePorts) {
      nets.push(await splitNet(wirePorts, (i) => nameOf(i, runtimes[i] ?? "node")));
      return nets[0] as SplitNet;
    },
  });
  t.after(() => g.stop());
  const peers = g.peers as unknown as Split["peers"];
  await watching(peers[1]);
  const load = inserters({ members: peers.slice(0, 2), clients: 8, faithful: true });
  t.after(() => load.stop());
  await load.more(50);
  return { peers, net: nets[0] as SplitNet, load };
}

/** After the cut: both of them take writes, which silence alone cannot prevent. A leader that stood still meanwhile asks in vain for a moment. */
async function bothLead({ peers: [old, next], load }: Split): Promise<void> {
  await writable(next);
  await load.more(100);
  await eventually("both lead", async () => (await writableNow([old, next])).length === 2 ? true : null);
}

/** One leader is left, the third node is with it, and what is not there was rescued. */
async function oneIsLeft(t: TestContext, { peers, net, load }: Split): Promise<void> {
  const [old, next, third] = peers, healedMs = performance.now();
  net.healAll();
  await eventually("one leader", async () => {
    const left = await writableNow(peers);
    return left.length === 1 && left[0] === next.name ? true : null;
  });
  t.diagnostic(`one leader ${(performance.now() - healedMs).toFixed(0)} ms after the line was whole`);
  await follows(old, next);
  await follows(third, next);
  t.diagnostic(`both others follow it after ${(performance.now() - healedMs).toFixed(0)} ms`);
  await load.more(50);
  await load.stop();
  await sameContents(next, peers);
  const { lost, duplicated } = await load.tally(next), rescued = rescuedOps(old);
  assert.deepEqual(duplicated, []);
  assert.ok(lost.length > 0, "the old leader accepted writes that nobody else had");
  assert.deepEqual(lost.filter((op) => !rescued.has(op)), []);
  assert.ok((await status(old)).follower.rescues === 1);
}

for (const how of ["hold", "reset"] satisfies Cut[]) {
  test(`the line between leader and candidate is cut (${how}); the third node follows the old leader, then the new one`, async (t) => {
    const split = await started(t), { peers: [old, , third], net } = split;
    net.cut(0, 1, how);
    await bothLead(split);
    await follows(third, old);
    await oneIsLeft(t, split);
  });
}

test("the leader is cut off from both: the third node finds the new one by itself", async (t) => {
  const split = await started(t), { peers: [, next, third], net } = split;
  net.cut(0, 1, "hold");
  net.cut(0, 2, "reset");
  await bothLead(split);
  await follows(third, next);
  await oneIsLeft(t, split);
});
