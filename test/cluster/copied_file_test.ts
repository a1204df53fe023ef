/** A leader's data file, copied, makes a follower: what belongs to the leader alone stays behind. A torn copy is refused. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import type { RuntimeName } from "../tool/node_process.ts";
import { runtimeNames, startNodeProcess } from "../tool/node_process.ts";
import { freePorts } from "../tool/ports.ts";
import type { Member, Status } from "./cluster.ts";
import { checksum, cluster, converged, eventually, json, status } from "./cluster.ts";
import type { Writers } from "./writers.ts";
import { writers } from "./writers.ts";
import { leaderRuntimes } from "../tool/shared_out.ts";

const answered = (load: Writers, count: number): Promise<true> =>
  eventually(`${count} writes`, () => Promise.resolve(load.acknowledged >= count ? true : null));

type Known = Status & { readonly nodeId: string };

const nodeId = async (member: Member): Promise<string> => (await status(member) as Known).nodeId;

for (const runtime of leaderRuntimes(1)) {
  const other = runtimeNames[(runtimeNames.indexOf(runtime) + 1) % 3] as RuntimeName;

  test(`a copy of the closed data file of a leader on ${runtime} becomes a follower on ${other}`, async (t) => {
    const c = await cluster({ leader: runtime, followers: [other], later: [0] });
    const follower = c.followers[0] as Member;
    t.after(() => c.stop());
    const load = writers({ leader: () => c.leader.url, writers: 2, documentsEach: 20, seed: 1, pauseMs: 5 });
    const filled = await json<{ count: number }>(`${c.leader.url}/collections/filled/bulk`, {
      method: "POST",
      body: JSON.stringify(Array.from({ length: 500 }, (_, n) => ({ n }))),
    });
    assert.equal(filled.count, 500);
    await load.stop();
    const before = await nodeId(c.leader), end = (await status(c.leader)).log.lastSeq;
    await fetch(`${c.leader.url}/replication/read-only`, { method: "POST" });
    assert.equal((await status(c.leader)).readOnly, true);
    assert.equal(await c.leader.stop(), 0);
    mkdirSync(follower.dataDir, { recursive: true });
    cpSync(join(c.leader.dataDir, "data.dfdb"), join(follower.dataDir, "data.dfdb"));
    await c.leader.start();
    assert.equal(await nodeId(c.leader), before);
    assert.equal(
      (await status(c.leader)).readOnly,
      true,
      "read-only belongs to the node, and outlives its restart",
    );

    await follower.start([]);
    const alone = await status(follower) as Known;
    assert.notEqual(alone.nodeId, before);
    assert.deepEqual([alone.role, alone.readOnly, alone.log.lastSeq], ["none", false, end]);
    assert.equal(await follower.stop(), 0);

    await fetch(`${c.leader.url}/replication/read-write`, { method: "POST" });
    await follower.start();
    const more = writers({ leader: () => c.leader.url, writers: 2, documentsEach: 20, seed: 2, pauseMs: 5 });
    await answered(more, 50);
    await more.stop();
    await converged(c);
    const { follower: { snapshotsInstalled, rescues, gapsDetected } } = await status(follower);
    assert.deepEqual(
      [snapshotsInstalled, rescues, gapsDetected],
      [0, 0, 0],
      "it goes on where the copy ends",
    );
    assert.equal(await checksum(follower), await checksum(c.leader));
    assert.deepEqual(await c.stop(), [0, 0]);
  });

  test(`a copy that was taken while a leader on ${runtime} wrote is refused on ${other}`, async (t) => {
    const c = await cluster({ leader: runtime, followers: [] }), torn = `${c.leader.dataDir}-torn`;
    t.after(() => c.stop());
    const load = writers({ leader: () => c.leader.url, writers: 4, documentsEach: 20, seed: 3, pauseMs: 5 });
    await answered(load, 50);
    mkdirSync(torn);
    for (const name of ["data.dfdb", "data.dfdb-wal"]) cpSync(join(c.leader.dataDir, name), join(torn, name));
    await load.stop();
    const [port] = await freePorts(1);
    const refused = startNodeProcess({
      runtime: other,
      args: ["serve", "--port", String(port), "--data-dir", torn],
    });
    assert.equal(await refused.exited, 1, refused.output());
    assert.match(refused.output(), /was copied while in use/);
    rmSync(torn, { recursive: true, force: true });
    assert.deepEqual(await c.stop(), [0]);
  });
}
