/** Entries above a frame, and above the window, reach followers as one entry each, also when a follower dies in the middle of one. */
import assert from "node:assert/strict";
import test from "node:test";
import { runtimeNames } from "../tool/node_process.ts";
import type { Member } from "./cluster.ts";
import { checksum, cluster, converged, eventually, status } from "./cluster.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";

const MiB = 1024 * 1024;

async function send(leader: Member, method: string, path: string, body: unknown): Promise<void> {
  const answer = await fetch(`${leader.url}${path}`, {
    method,
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text.slice(0, 200)}`);
}

for (const leader of leaderRuntimes(2)) {
  const followers = runtimeNames.filter((name) => name !== leader);
  test(`leader on ${leader}: a document of 5 MiB and a transaction of 12 MiB are one entry each on ${followers.join(" and ")}`, async (t) => {
    const c = await cluster({ leader, followers });
    t.after(() => c.stop());
    await send(c.leader, "PUT", "/collections/large/first", {});
    await converged(c);
    const before = (await status(c.leader)).log.lastSeq;
    await send(c.leader, "PUT", "/collections/large/one", { text: "a".repeat(5 * MiB) });
    const insert = (i: number) => ({
      op: "insert",
      collection: "large",
      doc: { _id: `t${i}`, text: "b".repeat(4 * MiB) },
    });
    const [first, second] = c.followers as [Member, Member];
    await send(c.leader, "POST", "/tx/batch", [1, 2, 3].map(insert));
    await first.kill9(); // wherever it is
    await send(c.leader, "PUT", "/collections/large/last", {});
    assert.equal((await status(c.leader)).log.lastSeq, before + 3);
    await first.start();
    await converged(c);
    const sums = await Promise.all(c.members.map(checksum));
    assert.equal(new Set(sums).size, 1, sums.join(" "));
    for (const follower of [first, second]) {
      const { follower: { gapsDetected, snapshotsInstalled }, log } = await status(follower);
      assert.deepEqual([gapsDetected, snapshotsInstalled, log.lastSeq], [0, 0, before + 3], follower.name);
    }
    await eventually("acknowledged", async () => {
      const { leader: { followers } } = await status(c.leader);
      return followers.every(({ ackedSeq }) => ackedSeq === before + 3) ? true : null;
    });
    assert.deepEqual(await c.stop(), [0, 0, 0]);
  });
}
