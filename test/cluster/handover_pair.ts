/** Two nodes and their clients, for handovers that go wrong; afterwards nothing is lost, and no two nodes took writes at the same time. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { RuntimeName } from "../tool/node_process.ts";
import { status } from "./cluster.ts";
import type { Answer, Group, Peer } from "./group.ts";
import { follows, group, sameContents, writable } from "./group.ts";
import type { Inserters } from "./inserters.ts";
import { inserters } from "./inserters.ts";
import { twoLeaders } from "./one_leader.ts";

export interface Pair {
  readonly from: Peer;
  readonly to: Peer;
  readonly load: Inserters;
}

/** Two nodes; clients of both, which never change sides. */
export async function pair(
  t: TestContext,
  runtimes: readonly [RuntimeName, RuntimeName],
  run: (pair: Pair) => Promise<void>,
  through?: (wirePort: number) => Promise<number>,
): Promise<void> {
  const g: Group = await group({ runtimes, ...(through === undefined ? {} : { through }) });
  t.after(() => g.stop());
  const [from, to] = g.peers as [Peer, Peer];
  const load = inserters({ members: g.peers, clients: 4, faithful: true, timeoutMs: 5_000 });
  t.after(() => load.stop());
  await load.more(20);
  await run({ from, to, load });
  await load.stop();
  assert.deepEqual(twoLeaders(load.accepted), []);
  const leader = (await status(to)).role === "leader" ? to : from;
  await sameContents(leader, g.peers);
  const { lost, duplicated } = await load.tally(leader);
  assert.deepEqual({ lost, duplicated }, { lost: [], duplicated: [] });
}

export function named({ status, body }: Answer, code: string): void {
  assert.notEqual(status, 200);
  assert.equal(body["code"], code, JSON.stringify(body));
}

/** The old leader goes on in its epoch, and takes writes. */
export async function goesOn({ from, load }: Pair): Promise<void> {
  const { term } = await writable(from);
  assert.equal(term.epoch, 1);
  await load.more(20);
}

/** The target leads, in a higher epoch; the old leader follows it. */
export async function wentOver({ from, to, load }: Pair): Promise<void> {
  const { term } = await writable(to);
  assert.ok(term.epoch > 1);
  await follows(from, to);
  await load.more(20);
}
