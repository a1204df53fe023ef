/** Leaders and candidates that stand still for longer than the silence, and wake up. */
import assert from "node:assert/strict";
import test from "node:test";
import { eventually, status } from "./cluster.ts";
import type { Peer } from "./group.ts";
import { follows, group, onlyOneWritable, sameContents, watching, writable } from "./group.ts";
import { inserters } from "./inserters.ts";

const silenceSeconds = 1;
const candidate: readonly string[] = ["--auto-failover-seconds", String(silenceSeconds)];

test("a candidate that stood still for longer than the silence stays a follower beside a living leader", async (t) => {
  const g = await group({ runtimes: ["bun", "node"], flags: (i) => i === 1 ? candidate : [] });
  t.after(() => g.stop());
  const [leader, follower] = g.peers as [Peer, Peer], load = inserters({ members: [leader], clients: 4 });
  t.after(() => load.stop());
  await watching(follower);
  for (let round = 0; round < 2; round++) {
    await follower.process.pause();
    await load.more(10);
    await eventually("the follower is silent for long", async () => {
      const { lagMs = 0 } = (await status(leader)).leader.followers[0] ?? {};
      return lagMs > 1_500 * silenceSeconds ? true : null;
    });
    follower.process.signal("SIGCONT");
    await load.more(200);
    const { position } = await status(leader);
    await eventually("it catches up", async () => {
      const now = await status(follower);
      assert.equal(now.role, "follower");
      return Number(now.position.split("-")[1]) >= Number(position.split("-")[1]) ? true : null;
    });
    await eventually("it listens to its leader again", async () => {
      const { role, autoFailover } = await status(follower);
      assert.equal(role, "follower");
      return autoFailover?.state === "watching" ? true : null;
    });
  }
  await onlyOneWritable(g.peers, leader);
  assert.equal((await status(leader)).term.epoch, 1);
});

test("a leader that stood still for longer than the silence takes no write before it asked its candidate", async (t) => {
  const g = await group({ runtimes: ["deno", "node"], flags: (i) => i === 1 ? candidate : [] });
  t.after(() => g.stop());
  const [old, next] = g.peers as [Peer, Peer];
  await watching(next);
  const before = inserters({ members: [old], clients: 8, collection: "before" });
  t.after(() => before.stop());
  await before.more(50);
  await before.stop();
  await old.process.pause();
  const stoppedMs = performance.now();
  // What these send waits in its sockets: it finds them when it wakes, before any news.
  const late = inserters({ members: [old], clients: 8, collection: "late" });
  const load = inserters({ members: [next], clients: 8 });
  t.after(() => Promise.all([late.stop(), load.stop()]));
  await writable(next);
  // On a busy machine the silence may have begun long before: the leader is to stand still for longer than it.
  do {
    await load.more(50);
  } while (performance.now() - stoppedMs < 1_500 * silenceSeconds);
  old.process.signal("SIGCONT");
  await follows(old, next);
  await load.more(50);
  await Promise.all([late.stop(), load.stop()]);
  assert.deepEqual(late.accepted, []);
  assert.deepEqual(
    [...late.errors.keys()].filter((code) => code !== "read_only" && code !== "not_leader"),
    [],
  );
  await sameContents(next, g.peers);
  assert.deepEqual(await load.tally(next), { lost: [], duplicated: [] });
});
