/** Nodes that die between the messages of a handover (SIGKILL at crash points) and come back: one of the two leads, and which one is certain. */
import assert from "node:assert/strict";
import test from "node:test";
import { died, startDying } from "../crash/follower_rig.ts";
import type { NodeProcess } from "../tool/node_process.ts";
import { status } from "./cluster.ts";
import type { Peer } from "./group.ts";
import { follows, handOver, secret, writable } from "./group.ts";
import { goesOn, named, pair, wentOver } from "./handover_pair.ts";

/** Starts it again so that it dies at `label`. */
async function restartDying(peer: Peer, label: string): Promise<NodeProcess> {
  await peer.stop();
  return startDying(peer, { label, nth: 1, role: peer.role, flags: secret });
}

test("a target that dies right after commit, before it is a leader: in doubt until it is back as a follower", (t) =>
  pair(t, ["node", "deno"], async (all) => {
    const { from, to } = all, label = "promote:listening";
    const dying = await restartDying(to, label);
    await follows(to, from);
    const answer = handOver(from, to, 3);
    await died(dying, label);
    named(await answer, "outcome_unknown");
    const { readOnly, readOnlyReason } = await status(from);
    assert.deepEqual([readOnly, readOnlyReason], [true, "handover_in_doubt"]);
    await to.start();
    await goesOn(all);
    assert.equal((await status(to)).role, "follower");
  }));

for (
  const [label, runtimes] of [["promote:kept", ["bun", "node"]], ["promote:begun", ["deno", "bun"]]] as const
) {
  test(`a target that dies at ${label} leads when it is back`, (t) =>
    pair(t, runtimes, async (all) => {
      const { from, to } = all, dying = await restartDying(to, label);
      await follows(to, from);
      const answer = handOver(from, to);
      await died(dying, label);
      await to.start();
      const { status, body } = await answer;
      assert.equal(status, 200, JSON.stringify(body));
      await wentOver(all);
    }));
}

test("a leader that dies between its note and commit: it asks the target, and leads on", (t) =>
  pair(t, ["bun", "node"], async (all) => {
    const { from, to } = all, label = "handover:stored";
    const dying = await restartDying(from, label);
    await follows(to, from);
    const answer = handOver(from, to).catch(() => null);
    await died(dying, label);
    assert.equal(await answer, null);
    await from.start();
    await writable(from);
    await follows(to, from);
    await all.load.more(20);
  }));
