/**
 * Lines between random nodes are cut and healed under load. With an etcd no two nodes may ever accept writes at the same time, and nothing
 * is lost; by silence alone one leader is left after each healing, and what it does not have was rescued.
 */
import { prng } from "../../src/base/prng.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { EtcdProcess } from "../tool/etcd.ts";
import { startEtcd, withoutEtcd } from "../tool/etcd.ts";
import { runtimeNames } from "../tool/node_process.ts";
import type { ChaosProxy } from "./chaos_proxy.ts";
import { chaosProxy } from "./chaos_proxy.ts";
import { eventually, status } from "./cluster.ts";
import type { Group, Peer } from "./group.ts";
import { group, nameOf, post, sameContents, watching, writableNow } from "./group.ts";
import type { Inserters } from "./inserters.ts";
import { inserters } from "./inserters.ts";
import { twoLeaders } from "./one_leader.ts";
import { rescuedOps } from "./rescued_ops.ts";
import type { Cut, SplitNet } from "./split_net.ts";
import { splitNet } from "./split_net.ts";

const silenceSeconds = 2, minutesMax = 45, cutMsMax = 8_000, writesWhileCut = 400, writesBetween = 100;
const sync: readonly string[] = ["--min-sync-replicas", "1", "--sync-timeout-seconds", "2"];

interface World {
  readonly g: Group;
  readonly net: SplitNet;
  /** Before the etcd, one for each node; none by silence alone. */
  readonly toEtcd: readonly ChaosProxy[];
  readonly load: Inserters;
}

/** True when every promise held. */
export async function partitions(count: number, seed: number): Promise<boolean> {
  let good = await bySilence(Math.max(1, Math.round(count / 4)), seed);
  const etcd = await startEtcd();
  if (etcd === null) {
    withoutEtcd((text) => console.log(text));
    return good;
  }
  try {
    good = await withEtcd(count, seed + 1, etcd) && good;
  } finally {
    await etcd.stop();
  }
  return good;
}

async function bySilence(count: number, seed: number): Promise<boolean> {
  const flags = (i: number): readonly string[] =>
    i === 1 ? ["--auto-failover-seconds", String(silenceSeconds)] : [];
  const world = await start(flags, []);
  return await inWorld(world, async () => {
    await cutAndHeal(world, count, prng(seed));
    const { g: { peers }, load } = world, leader = await leaderOf(peers);
    await load.stop();
    await sameContents(leader, peers);
    const { lost, duplicated } = await load.tally(leader);
    const rescued = new Set(peers.flatMap((peer) => [...rescuedOps(peer)]));
    const missing = lost.filter((op) => !rescued.has(op));
    console.log(
      `${count} partitions by silence: writes accepted ${load.accepted.length}, without a certain answer ${load.unknown}, ` +
        `given up ${lost.length} (not rescued: ${missing.length}), duplicated ${duplicated.length}; accepted by one while another led ` +
        `(silence alone cannot prevent that): ${twoLeaders(load.accepted).length}`,
    );
    return missing.length + duplicated.length === 0;
  });
}

async function withEtcd(count: number, seed: number, { url }: EtcdProcess): Promise<boolean> {
  const toEtcd: ChaosProxy[] = [];
  for (let i = 0; i < 3; i++) toEtcd.push(await chaosProxy(Number(new URL(url).port), prng(seed)));
  const flags = (i: number): readonly string[] => [
    ...sync,
    ...["--auto-failover-seconds", String(silenceSeconds)],
    ...["--failover-authority", `etcd=http://127.0.0.1:${toEtcd[i]?.port}`],
  ];
  const world = await start(flags, toEtcd);
  return await inWorld(world, async () => {
    await cutAndHeal(world, count, prng(seed));
    const { g: { peers }, load } = world, leader = await leaderOf(peers);
    await load.stop();
    await sameContents(leader, peers);
    const { lost, duplicated } = await load.tally(leader), two = twoLeaders(load.accepted);
    const epochs = new Set(load.accepted.map(({ epoch }) => epoch)).size;
    console.log(
      `${count} partitions with etcd: writes accepted ${load.accepted.length} under ${epochs} epochs, without a certain answer ` +
        `${load.unknown}, lost ${lost.length}, duplicated ${duplicated.length}, two leaders at once ${two.length}`,
    );
    for (const sentence of two.slice(0, 20)) console.log(sentence);
    return lost.length + duplicated.length + two.length === 0;
  });
}

async function start(
  flags: (index: number) => readonly string[],
  toEtcd: readonly ChaosProxy[],
): Promise<World> {
  const nets: SplitNet[] = [];
  const g = await group({
    runtimes: runtimeNames,
    flags,
    async lines(wirePorts) {
      nets.push(await splitNet(wirePorts, (i) => nameOf(i, runtimeNames[i] ?? "node")));
      return nets[0] as SplitNet;
    },
  });
  const load = inserters({ members: g.peers, clients: 12, faithful: true, timeoutMs: 10_000 });
  return { g, net: nets[0] as SplitNet, toEtcd, load };
}

async function inWorld({ g, toEtcd, load }: World, run: () => Promise<boolean>): Promise<boolean> {
  try {
    return await run();
  } finally {
    await load.stop();
    await g.stop();
    await Promise.all(toEtcd.map((proxy) => proxy.close()));
  }
}

async function cutAndHeal(world: World, count: number, chance: Prng): Promise<void> {
  const { g: { peers }, net, toEtcd, load } = world, end = performance.now() + minutesMax * 60_000;
  await load.more(writesBetween);
  for (let i = 1; i <= count; i++) {
    if (performance.now() > end) throw new Error(`${i - 1} partitions took more than ${minutesMax} minutes`);
    if (toEtcd.length === 0) await candidateAnew(peers, chance);
    const cuts = Array.from({ length: 1 + chance.below(2) }, () => cutOne(world, chance));
    const wanted = load.accepted.length + writesWhileCut, until = performance.now() + cutMsMax;
    await eventually(
      "writes, or time enough",
      () =>
        Promise.resolve(
          load.accepted.length >= wanted && chance.below(50) === 0 || performance.now() > until ? true : null,
        ),
    );
    net.healAll();
    for (const proxy of toEtcd) proxy.set(null);
    const healedMs = performance.now(), leader = await leaderOf(peers);
    await load.more(writesBetween);
    const tookMs = (performance.now() - healedMs).toFixed(0);
    console.log(
      `partition ${i}/${count}: ${cuts.join(" and ")}; ${leader.name} leads, all follow after ${tookMs} ms`,
    );
  }
}

/** By silence there is one candidate: a random follower. */
async function candidateAnew(peers: readonly Peer[], chance: Prng): Promise<void> {
  const leader = await leaderOf(peers), followers = peers.filter((peer) => peer !== leader);
  for (const follower of followers) await post(follower, "/replication/auto-failover/disable");
  await leaderOf(peers);
  const candidate = followers[chance.below(followers.length)] as Peer;
  const { status: code, body } = await post(candidate, "/replication/auto-failover/enable", {
    silenceSeconds,
  });
  if (code !== 200) throw new Error(`auto-failover: ${JSON.stringify(body)}`);
  await watching(candidate);
}

/** Cuts one line at random, and says which. */
function cutOne({ net, toEtcd }: World, chance: Prng): string {
  const ends = 3 + (toEtcd.length === 0 ? 0 : 1), how: Cut = chance.below(2) === 0 ? "hold" : "reset";
  const one = chance.below(ends), other = (one + 1 + chance.below(ends - 1)) % ends;
  const node = Math.min(one, other), far = Math.max(one, other);
  if (far < 3) net.cut(node, far, how);
  else toEtcd[node]?.set(how === "hold" ? "freeze" : "refuse");
  return `${node + 1} from ${far < 3 ? far + 1 : "etcd"} (${how})`;
}

/** Waits until one node takes writes and the others follow it. */
function leaderOf(peers: readonly Peer[]): Promise<Peer> {
  return eventually("one leader, and all others follow it", async () => {
    const names = await writableNow(peers), leader = peers.find(({ name }) => name === names[0]);
    if (leader === undefined || names.length !== 1) return null;
    for (const peer of peers) {
      if (peer === leader) continue;
      const { role, follower: { state, leader: at } } = await status(peer);
      if (role !== "follower" || state !== "streaming") return null;
      if (at?.httpEndpoint?.endsWith(`:${leader.httpPort}`) !== true) return null;
    }
    return leader;
  }, 60_000).catch(async (error: unknown) => {
    for (const peer of peers) console.log(peer.name, JSON.stringify(await status(peer).catch(String)));
    throw error;
  });
}
