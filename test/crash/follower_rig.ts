/** A follower that dies at a crash point and is started again, and what must be true of it afterwards. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Cluster, ClusterPlan, Member } from "../cluster/cluster.ts";
import { cluster, converged, equalContents, eventually, json, status } from "../cluster/cluster.ts";
import { writers } from "../cluster/writers.ts";
import type { NodeProcess } from "../tool/node_process.ts";
import { startNodeProcess } from "../tool/node_process.ts";

const entry = fileURLToPath(new URL("./follower_entry.ts", import.meta.url));

export const secret: readonly string[] = ["--replication-secret", "cluster-secret"];

export interface Death {
  readonly label: string;
  readonly nth: number;
  readonly role: readonly string[];
  readonly flags: readonly string[];
}

/** Starts a member whose process will die; returns at once. */
export function startDying(member: Member, { label, nth, role, flags }: Death): NodeProcess {
  const { httpPort, dataDir, name, runtime } = member;
  const own = ["--port", String(httpPort), "--data-dir", dataDir, "--node-name", name];
  return startNodeProcess({
    runtime,
    entry,
    args: ["serve", ...own, ...flags, "--heartbeat-seconds", "0.5", ...role],
    env: { CRASH_LABEL: label, CRASH_NTH: String(nth) },
  });
}

/** Waits for the death at the label; fails when it ends in another way, or not at all. */
export async function died(node: NodeProcess, label: string): Promise<void> {
  const ended = () => Promise.resolve(node.running ? null : true);
  await eventually(`${node.runtime} ends at ${label}`, ended).catch((error) => {
    throw new Error(`${error}:\n${node.output()}`);
  }).finally(() => node.kill9());
  assert.ok(node.output().includes(`dies at ${label}\n`), `${label}: ended otherwise:\n${node.output()}`);
}

/** Waits until it streams, in another process than the cluster's own. */
export function streams(member: Member): Promise<true> {
  return eventually(
    `${member.name} streams`,
    async () => (await status(member)).follower.state === "streaming" ? true : null,
  );
}

/** `count` documents of 10 KB in one request. */
export async function fill(leader: Member, collection: string, prefix: string, count: number): Promise<void> {
  const padding = "y".repeat(10_000);
  const list = Array.from({ length: count }, (_, i) => ({ _id: `${prefix}${i}`, padding }));
  const answer = await json<{ count: number }>(`${leader.url}/collections/${collection}/bulk`, {
    method: "POST",
    body: JSON.stringify(list),
  });
  assert.equal(answer.count, count);
}

export async function post(member: Member, path: string): Promise<void> {
  const answer = await fetch(`${member.url}${path}`, { method: "POST", signal: AbortSignal.timeout(60_000) });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
}

/** Two clients write to the leader all the time; `crash` lets the follower die; it starts again, and then all is as promised. */
export async function underWrites(c: Cluster, label: string, crash: () => Promise<void>): Promise<void> {
  const collection = label.replace(":", "-"), seed = 1 + label.length;
  const load = writers({
    leader: () => c.leader.url,
    writers: 2,
    documentsEach: 10,
    seed,
    collection,
    // The processes that start meanwhile need the processor more.
    pauseMs: 5,
  });
  try {
    await crash();
    for (const follower of c.followers) await follower.start();
  } finally {
    await load.stop();
  }
  await converged(c);
  await sound(c, label);
  assert.ok(load.acknowledged > 0, label);
  assert.deepEqual(await load.broken(c.leader), [], label);
}

/** Same content and etags on all; no gap was ever met, and every error has a code. */
export async function sound(c: Cluster, label: string): Promise<void> {
  await equalContents(c, label);
  for (const follower of c.followers) {
    const { follower: { state, gapsDetected, lastError } } = await status(follower);
    assert.deepEqual([state, gapsDetected], ["streaming", 0], label);
    if (lastError !== null) assert.match(lastError.code, /^[a-z_]+$/, label);
  }
}

/** Runs `check`, then `dfdb verify` over all nodes, then ends them; all must end with 0. */
export async function withCluster(plan: ClusterPlan, check: (c: Cluster) => Promise<void>): Promise<void> {
  const c = await cluster(plan);
  let codes: readonly (number | null)[] = [];
  try {
    await check(c);
    const { exited, output } = startNodeProcess({
      runtime: "node",
      args: ["verify", ...c.members.map(({ url }) => url)],
    });
    assert.equal(await exited, 0, output());
  } finally {
    codes = await c.stop();
  }
  assert.ok(codes.every((code) => code === 0), `exit codes ${codes.join(" ")}`);
}

/** As if the node had never been. */
export function forget({ dataDir }: Member): void {
  rmSync(dataDir, { recursive: true, force: true });
}
