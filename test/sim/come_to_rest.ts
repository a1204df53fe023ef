/** The end of a world: with nothing wrong any more, all must come to one state within a bounded virtual time. */
import type { FollowingStatus } from "../../src/replication/types.ts";
import type { Checks } from "./checks.ts";
import type { Client } from "./client.ts";
import type { Cluster, Machine } from "./cluster.ts";
import type { FeedClient } from "./feed_client.ts";
import type { Nemesis } from "./nemesis.ts";
import type { OperationParts } from "./operations.ts";
import type { Operator } from "./operator.ts";
import type { SimEtcd } from "./sim_etcd.ts";
import type { Swarm } from "./swarm.ts";
import { type Observed, Violation } from "./types.ts";
import type { World } from "./world.ts";

export interface RestParts {
  readonly world: World;
  readonly cluster: Cluster;
  /** Null: nobody is asked who may lead. */
  readonly etcd: SimEtcd | null;
  readonly checks: Checks;
  readonly nemesis: Nemesis;
  readonly operator: Operator;
  readonly operation: OperationParts;
  readonly clients: readonly Client[];
  readonly feeds: readonly FeedClient[];
  readonly swarm: Swarm;
}

/** Virtual time within which nodes must be up, writable and equal, ms; besides, followers wait for copies as long as those must take. */
const boundMs = 180_000;

/** Snapshots that a follower takes one after the other: the log has gone on beyond the one that was under way. */
const copiesMax = 2;

export async function comeToRest(parts: RestParts): Promise<void> {
  const { world, cluster, etcd, checks, nemesis, clients, feeds, swarm } = parts;
  for (const feed of feeds) feed.peace();
  await reached(world, "operations end", () => !nemesis.operating);
  nemesis.stop();
  // Who is about to end is no node that rests: what it has to do before may take longer than all that follows.
  const stays = ({ node, stopping, failing }: Machine): boolean => node !== null && !stopping && !failing;
  await reached(world, "all nodes are up", () => cluster.machines.every(stays));
  // While it is busy a lease goes on that may be lost then.
  const answers = (): boolean => (etcd?.process?.busyUntil ?? 0) <= world.now;
  await reached(world, "etcd answers", () => etcd === null || (etcd.process !== null && answers()));
  await settled(parts, () => cluster.leaders.length === 1);
  await world.pass(2_000);
  for (const client of clients) client.stop();
  await reached(world, "all clients are answered", () => clients.every(({ running }) => !running));
  const rests = (): boolean => cluster.leaders.length === 1 && equal(cluster, world);
  // A lease that ran while etcd stood still may end after the world seemed to rest; documents whose time comes still go; and who stood
  // still may have had a write before it of a client that gave up long ago.
  for (let tries = 0; tries === 0 || (!rests() && tries < 5); tries++) {
    await settled(parts, rests);
    // Long enough for an acknowledgement of the last entry.
    await world.pass(2 * swarm.heartbeatMs + 1_000);
  }
  if (swarm.workload.features.ttl) await expired(parts, rests);
  checks.final(cluster.leader.observed as Observed, cluster);
  for (const feed of feeds) {
    feed.rests();
    feed.stop();
  }
  for (const machine of [...cluster.followers, cluster.leader]) await stopped(world, machine, nemesis);
}

/** Waits until nothing was deleted for some seconds, and all know of it. */
async function expired(parts: RestParts, rests: () => boolean): Promise<void> {
  const { world, cluster, swarm } = parts;
  const quietMs = 3_000 + 2 * swarm.heartbeatMs;
  let end = "", since = world.now;
  const quiet = (): boolean => {
    const last = cluster.leader.node?.storage.log.last, now = `${last?.epoch} ${last?.seq}`;
    if (now !== end || !rests()) since = world.now;
    end = now;
    return world.now - since >= quietMs;
  };
  // Looked at often enough, also when nothing happens.
  for (let looks = 0; !quiet() && looks < boundMs / 200; looks++) await world.pass(200);
  // A short log may have gone on beyond a follower.
  await reached(world, "nothing more expires", rests, boundMs + copiesMs(parts));
}

/** All hold what the leader holds, and none stands still: who does may have a write before it. */
function equal({ machines, leader }: Cluster, { now }: World): boolean {
  const end = leader.node?.storage.log.last;
  return machines.every(({ node, process }) => {
    const own = node?.storage.log.last;
    return own !== undefined && own.seq === end?.seq && own.chain === end.chain &&
      (process?.busyUntil ?? 0) <= now;
  });
}

/**
 * Waits until the leader is writable and `done` holds, and does meanwhile what an operator is told to do: what is read-only by his word
 * becomes writable, what followers may know and nobody told is given up at last. Where an operator has made leaders followers, one
 * follower is promoted when nobody leads. Who leads is settled by the nodes themselves.
 */
async function settled(parts: RestParts, done: () => boolean): Promise<void> {
  const { world, cluster } = parts, since = world.now;
  for (let tries = 0;; tries++) {
    const { leader } = cluster, reason = leader.node?.role.readOnly.reason ?? null;
    if (leader.node !== null && leader.node.role.leadership !== null && reason === null && done()) return;
    const ms = world.now - since;
    if (ms > boundMs && ms > boundMs + copiesMs(parts)) {
      const seconds = Math.floor(ms / 1000);
      throw new Violation(
        "liveness",
        `not at rest within ${seconds} s; read-only: ${reason}. ${describe(cluster)}`,
      );
    }
    await helped(parts, tries % 20 === 19);
    await world.until(() => done() && cluster.leader.node?.role.readOnly.reason === null, 1_000);
  }
}

/** What snapshots take at the rate that was set for this world, whatever the nodes do, ms. */
function copiesMs({ cluster, swarm }: RestParts): number {
  const bytes = cluster.leader.node?.storage.stats().fileBytes ?? 0;
  return copiesMax * bytes / swarm.snapshotBytesPerSecond * 1000;
}

/** `patient`: the nodes had time enough to help themselves. */
async function helped(parts: RestParts, patient: boolean): Promise<void> {
  const { world, cluster, operator, nemesis, checks, swarm } = parts,
    { leader } = cluster,
    reason = leader.node?.role.readOnly.reason ?? null;
  const { restoreLeader = 0, restoreFollower = 0 } = nemesis.injected;
  // A node that is older than what it once had asks for an operator's word, and who lost the lease before anything was written does.
  const older = restoreLeader + restoreFollower > 0;
  // A leader by its command line, which may not lead: whom etcd would let was made a follower, or older, and waits for a word.
  const keptOut = reason === "no_lease" && patient && (nemesis.demoted || older);
  if (cluster.leaders.length === 0 || keptOut) {
    const empty = swarm.authority === "etcd" &&
      cluster.machines.every(({ node }) => node?.storage.log.last.seq === 0);
    if (patient && (nemesis.demoted || older || empty) && !await promoted(parts) && empty) {
      await founded(parts);
    }
  } else if (reason === "handover_in_doubt" && patient && nemesis.demoted) {
    // Whoever was told to lead was made a follower: only an operator knows that.
    checks.leadership.begins(leader.name, { cause: "forced", over: false });
    await asked(world, operator.readWrite(leader.name, true));
  } else if (reason === "operator") await asked(world, operator.readWrite(leader.name));
  else if ((reason === "behind_followers" || isAhead(cluster)) && patient) {
    await asked(world, operator.acceptLoss(leader.name));
  } else if (patient) { for (const machine of cluster.followers) await pointed(parts, machine); }
}

/** A follower that was never told of the leader gets another command line; of several candidates one stays. */
async function pointed(
  { world, cluster, operator, nemesis, swarm }: RestParts,
  machine: Machine,
): Promise<void> {
  const nodesOf = async (name: string) => {
    const status = await asked(world, operator.status(name));
    return status?.["nodes"] as
      | readonly { readonly nodeId: string; readonly candidate: boolean }[]
      | undefined;
  };
  const { leader } = cluster, nodeId = machine.node?.nodeId;
  if (machine.node?.replication.following?.status().state === "streaming") return;
  const others = (await nodesOf(machine.name))?.some((node) => node.nodeId === leader.node?.nodeId);
  const candidate = (await nodesOf(leader.name))?.find((node) => node.candidate && node.nodeId !== nodeId);
  if (
    swarm.authority === "silence" && candidate !== undefined &&
    machine.node?.replication.autoFailover !== null
  ) {
    machine.silenceMs = null;
    await asked(world, operator.disableAutoFailover(machine.name));
    return;
  }
  if (others !== false) return;
  nemesis.hold(machine, true);
  await asked(world, machine.stop());
  machine.command = { role: "follower", leader: leader.name };
  nemesis.hold(machine, false);
}

/** Who holds most of the newest epoch; with etcd the first one that is let. False: nobody. */
async function promoted({ world, cluster, operator, swarm }: RestParts): Promise<boolean> {
  const [first, ...others] = byLog(cluster);
  for (const { name } of [first as Machine, ...(swarm.authority === "etcd" ? others : [])]) {
    if (await asked(world, operator.promote(name, true)) === "done") return true;
  }
  return false;
}

/** The one that was to lead was made a follower before it ever had the lease: nobody is let, because nobody knows of a leader's database. */
async function founded({ world, cluster, nemesis }: RestParts): Promise<void> {
  const [first] = cluster.machines as [Machine];
  nemesis.hold(first, true);
  await asked(world, first.stop());
  Object.assign(first, { command: { role: "leader" }, forceRole: true });
  nemesis.hold(first, false);
}

/** Who holds most of the newest epoch comes first. */
function byLog({ machines }: Cluster): readonly Machine[] {
  const rank = ({ node }: Machine): number => {
    const last = node?.storage.log.last;
    return last === undefined ? -1 : last.epoch * 1e9 + last.seq;
  };
  return machines.toSorted((a, b) => rank(b) - rank(a));
}

/**
 * A follower holds what its leader lacks, and the leader has gone on since. A follower also stays `ahead` of one that leads no more until
 * another takes it: the leader of now has nothing to give up for it then, and it may be one that nobody told of that leader.
 */
function isAhead({ followers, leader }: Cluster): boolean {
  const refused = leader.node?.replication.server?.refused() ?? [];
  return followers.some(({ node }) =>
    node?.replication.following?.status().state === "ahead" &&
    refused.some(({ nodeId, code }) => nodeId === node.nodeId && code === "ahead")
  );
}

/** Lets the world go on until it is answered. */
async function asked<Value>(world: World, promise: Promise<Value>): Promise<Value> {
  let over = false;
  promise.finally(() => over = true).catch(() => {});
  await world.until(() => over, 120_000);
  return await promise;
}

async function reached(world: World, what: string, done: () => boolean, ms = boundMs): Promise<void> {
  if (!await world.until(done, ms)) {
    throw new Violation("liveness", `not within ${Math.floor(ms / 1000)} s: ${what}`);
  }
}

async function stopped(world: World, machine: Machine, nemesis: Nemesis): Promise<void> {
  nemesis.hold(machine, true);
  if (!await asked(world, machine.stop())) {
    throw new Violation("stop", `${machine.name} did not stop in time`);
  }
}

function describe({ machines }: Cluster): string {
  return machines.map(({ name, node, command }) => {
    const last = node?.storage.log.last, status = node?.replication.following?.status();
    const where = last === undefined ? "down" : `${last.epoch}.${last.run.slice(0, 8)}-${last.seq}`;
    const how = status === undefined
      ? `${node?.role.kind} ${node?.role.leadership?.epoch ?? ""} ${node?.role.readOnly.reason ?? ""}`
      : `${status.state}${copied(status)}; last error: ${status.lastError?.message ?? "none"}`;
    return `${name} (${command.role}) ${where} ${how}`;
  }).join("; ");
}

function copied({ snapshot }: FollowingStatus): string {
  return snapshot === null ? "" : ` ${snapshot.received} of ${snapshot.bytes} bytes`;
}
