/** Many failovers by kill -9 under load, of three nodes of three runtimes in turn, with a slow candidate. */
import { runtimeNames } from "../tool/node_process.ts";
import { eventually } from "./cluster.ts";
import type { Group, Peer } from "./group.ts";
import { follows, group, heartbeatSeconds, nameOf, post, sameContents, watching } from "./group.ts";
import type { Inserters } from "./inserters.ts";
import { inserters, quantile } from "./inserters.ts";
import { twoLeaders } from "./one_leader.ts";
import { rescuedOps } from "./rescued_ops.ts";
import type { SplitNet } from "./split_net.ts";
import { splitNet } from "./split_net.ts";

export interface FailoversPlan {
  readonly count: number;
  /** True: semi-synchronous, nothing may be lost. False: what is lost must be in the old leader's `rescued/`. */
  readonly sync: boolean;
}

const silenceSeconds = 1, minutesMax = 60, compareEvery = 10;

interface Sums {
  readonly tookMs: number[];
  accepted: number;
  unknown: number;
  lost: number;
  duplicated: number;
  /** Lost, and not rescued where that is asked for. */
  missing: number;
  readonly errors: Map<string, number>;
  readonly sentences: string[];
}

/** True when every promise held. */
export async function failovers({ count, sync }: FailoversPlan): Promise<boolean> {
  const flags = sync ? ["--min-sync-replicas", "1", "--sync-timeout-seconds", "20"] : [];
  const nets: SplitNet[] = [];
  const g = await group({
    runtimes: runtimeNames,
    flags: () => flags,
    async lines(wirePorts) {
      nets.push(await splitNet(wirePorts, (i) => nameOf(i, runtimeNames[i] ?? "node")));
      return nets[0] as SplitNet;
    },
  });
  const end = performance.now() + minutesMax * 60_000;
  const sums: Sums = {
    ...{ tookMs: [], accepted: 0, unknown: 0, lost: 0, duplicated: 0, missing: 0 },
    ...{ errors: new Map(), sentences: [] },
  };
  try {
    for (let i = 0; i < count; i++) {
      if (performance.now() > end) throw new Error(`${i} failovers took more than ${minutesMax} minutes`);
      await one(g, nets[0] as SplitNet, i, sync, sums);
      if ((i + 1) % compareEvery === 0 || i === count - 1) {
        await sameContents(g.peers[(i + 1) % 3] as Peer, g.peers);
        console.log(`failover ${i + 1}/${count}: ${sums.accepted} writes accepted so far, lost ${sums.lost}`);
      }
    }
  } finally {
    await g.stop();
  }
  report(count, sync, sums);
  return sums.missing + sums.duplicated + sums.sentences.length === 0;
}

/** The leader dies, the next one in the ring takes over, the dead one comes back with its old command line. */
async function one({ peers }: Group, net: SplitNet, i: number, sync: boolean, sums: Sums): Promise<void> {
  const [old, next, third] = [0, 1, 2].map((n) => peers[(i + n) % 3] as Peer) as [Peer, Peer, Peer];
  const enabled = await post(next, "/replication/auto-failover/enable", { silenceSeconds });
  if (enabled.status !== 200) throw new Error(`auto-failover: ${JSON.stringify(enabled.body)}`);
  await follows(third, old);
  await watching(next);
  const load = inserters({ members: peers, clients: 16, collection: `round${i}` });
  net.cut(i % 3, (i + 1) % 3, "slow");
  try {
    await load.more(300);
    const killedMs = performance.now();
    await old.kill9();
    net.healAll();
    const first = await firstAt(load, next);
    sums.tookMs.push(first - killedMs);
    console.log(
      `failover ${i + 1}: ${(first - killedMs).toFixed(0)} ms from ${old.runtime} to ${next.runtime}`,
    );
    await follows(third, next);
    await old.start();
    await follows(old, next);
    await load.more(50);
  } finally {
    net.healAll();
    await load.stop();
  }
  const { lost, duplicated } = await load.tally(next), rescued = sync ? new Set<string>() : rescuedOps(old);
  sums.accepted += load.accepted.length;
  sums.unknown += load.unknown;
  sums.lost += lost.length;
  sums.duplicated += duplicated.length;
  sums.missing += lost.filter((op) => !rescued.has(op)).length;
  sums.sentences.push(...twoLeaders(load.accepted));
  for (const [code, n] of load.errors) sums.errors.set(code, (sums.errors.get(code) ?? 0) + n);
}

/** When `peer` accepted its first write. */
function firstAt(load: Inserters, { url, name }: Peer): Promise<number> {
  return eventually(
    `a write at ${name}`,
    () => Promise.resolve(load.accepted.find((write) => write.url === url)?.answeredMs ?? null),
  );
}

function report(count: number, sync: boolean, sums: Sums): void {
  const { tookMs, accepted, unknown, lost, duplicated, missing, errors, sentences } = sums;
  console.log(
    `${count} failovers by kill -9, ${
      sync ? "semi-synchronous" : "asynchronous"
    }: writes accepted ${accepted}, ` +
      `without a certain answer ${unknown}, lost ${lost}${
        sync ? "" : ` (not rescued: ${missing})`
      }, duplicated ${duplicated}`,
  );
  console.log(
    `from the kill to the first accepted write: median ${quantile(tookMs, 0.5).toFixed(0)} ms, p99 ${
      quantile(tookMs, 0.99).toFixed(0)
    } ms (silence ${silenceSeconds * 1000} ms, heartbeat ${heartbeatSeconds * 1000} ms)`,
  );
  console.log(`errors by code: ${[...errors].map((each) => each.join(" ")).join(", ")}`);
  for (const sentence of sentences.slice(0, 20)) console.log(sentence);
}
