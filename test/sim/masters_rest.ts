/** The end of a world of masters: with nothing wrong any more each site must be one, and all must have told each other everything. */
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Cluster, Machine } from "./cluster.ts";
import type { MastersClient } from "./masters_client.ts";
import type { MastersNemesis } from "./masters_nemesis.ts";
import type { Master, MastersOperator } from "./masters_site.ts";
import { Violation } from "./types.ts";
import type { World } from "./world.ts";

export interface MastersRestParts {
  readonly world: World;
  readonly masters: readonly Master[];
  readonly operator: MastersOperator;
  readonly nemesis: MastersNemesis;
  /** Somebody is at work who may write what the operator wanted once. */
  readonly operating: () => boolean;
  readonly clients: readonly MastersClient[];
  /** What is shown depends on when it was judged: conflicts are to be resolved anew. */
  readonly resolve: boolean;
  readonly mayLose: (site: string) => void;
}

/** Virtual time within which a site must be one again, ms. */
const boundMs = 180_000;
/** And within which masters that have nothing to send must be quiet. */
const quietBoundMs = 120_000, quietMs = 10_000;
/** A destination with more failures in a row than this is not tried in each pass. */
const triedAlways = 10;

/** Resolves when all are up, equal within their sites, told what they should do, and have had the time for one pass to everybody. */
export async function mastersRest(parts: MastersRestParts): Promise<void> {
  const { world, masters, operator, nemesis, clients, resolve } = parts;
  // What was lost is written over by those who go on.
  if (world.chance("masters rest").flip(0.5)) { for (const client of clients) client.stop(); }
  await reached(world, "operations end", () => !parts.operating());
  nemesis.stop();
  const stays = ({ node, stopping, failing }: Machine): boolean => node !== null && !stopping && !failing;
  await reached(world, "all nodes are up", () =>
    operator.running().every(stays) &&
    masters.every(({ cluster }) => cluster.machines.every(stays)));
  for (const master of masters) await settled(parts, master, () => true);
  for (const master of masters) await told(parts, master);
  await world.pass(2_000);
  for (const client of clients) client.stop();
  await reached(world, "all clients are answered", () => clients.every(({ running }) => !running));
  for (const master of masters) await settled(parts, master, () => equal(master.cluster));
  // What was on its way for long may have come since.
  for (const master of masters) await told(parts, master);
  await allTried(parts);
  for (let round = 0; resolve && round < 2; round++) {
    for (const master of masters) {
      const answer = await asked(
        world,
        operator.ask(master, { method: "POST", path: "/replication/resolve" }),
      );
      if (answer?.status !== 200) {
        throw new Violation("operator", `resolve: ${answer?.status} ${answer?.text}`);
      }
    }
    await quiet(parts);
  }
  for (const master of masters) await settled(parts, master, () => equal(master.cluster));
}

/**
 * Five quiet minutes, after which whoever failed often is tried again; clocks drift. What came in meanwhile has begun them anew at that site: as many more then.
 * It came because somebody was reached, so that ends. Where each destination is tried in every pass there is nothing to wait for.
 */
async function allTried(parts: MastersRestParts): Promise<void> {
  const { world, masters, operator } = parts;
  for (let rounds = operator.edges.length + 2; rounds > 0; rounds--) {
    const before = new Map(masters.map((master) => [master, endOf(master)]));
    await world.pass(1.03 * limits.masterQuietMs + 10_000);
    await quiet(parts);
    let late = false;
    for (const master of masters.filter((one) => endOf(one) !== before.get(one))) {
      late ||= await thinsOut(parts, master);
    }
    if (!late) return;
    world.say(() => "not all were tried");
  }
}

function endOf({ cluster: { leader } }: Master): string {
  const last = leader.node?.storage.log.last;
  return `${leader.name} ${last?.run} ${last?.seq}`;
}

/** Somebody to whom the site sends failed so often that it is not tried in each pass. */
async function thinsOut({ world, operator }: MastersRestParts, master: Master): Promise<boolean> {
  const answer = await asked(world, operator.ask(master, { method: "GET", path: "/replication/info" }));
  if (answer?.status !== 200) throw new Violation("operator", `info: ${answer?.status} ${answer?.text}`);
  const { Stats } = JSON.parse(answer.text) as { Stats: readonly { FailureCount: number }[] };
  return Stats.some(({ FailureCount }) => FailureCount > triedAlways);
}

/** Nothing is written any more for some seconds. */
async function quiet({ world, masters }: MastersRestParts): Promise<void> {
  const ends = (): string =>
    masters.map(({ cluster }) => cluster.machines.map(({ node }) => node?.storage.log.last.seq)).join();
  let end = ends(), since = world.now;
  const until = world.now + quietBoundMs;
  while (world.now - since < quietMs) {
    await world.pass(1_000);
    const now = ends();
    if (now !== end) since = world.now;
    end = now;
    if (world.now > until) throw new Violation("liveness", `masters do not come to rest: entries ${ends()}`);
  }
}

async function told({ world, operator }: MastersRestParts, master: Master): Promise<void> {
  const until = world.now + boundMs;
  while (!await asked(world, operator.ensure(master))) {
    if (world.now > until) {
      throw new Violation("liveness", `${master.site.name} takes no documents of an operator`);
    }
    await world.pass(500);
  }
}

/** All hold what the leader holds. */
export function equal({ machines, leader }: Cluster): boolean {
  const end = leader.node?.storage.log.last;
  return end !== undefined && machines.every(({ node }) => {
    const own = node?.storage.log.last;
    return own?.seq === end.seq && own.chain === end.chain;
  });
}

/** Waits until the site has one leader that takes writes, and `done` holds; does what an operator is told to do meanwhile. */
async function settled(
  parts: MastersRestParts,
  { site, cluster }: Master,
  done: () => boolean,
): Promise<void> {
  const { world, operator: { leadership: operator }, mayLose } = parts, until = world.now + boundMs;
  const rests = (): boolean => {
    const { node } = cluster.leader;
    return node !== null && node.role.leadership !== null && node.role.readOnly.reason === null &&
      cluster.leaders.length === 1 && done();
  };
  for (let tries = 0; !rests(); tries++) {
    if (world.now > until) {
      throw new Violation(
        "liveness",
        `site ${site.name} is not at rest within ${boundMs / 1_000} s: ${describe(cluster)}`,
      );
    }
    const { leader } = cluster, reason = leader.node?.role.readOnly.reason ?? null;
    const ahead = cluster.followers.some(({ node }) =>
      node?.replication.following?.status().state === "ahead"
    );
    if (reason === "operator") await asked(world, operator.readWrite(leader.name));
    else if (tries % 20 === 19) {
      mayLose(site.name);
      if (cluster.leaders.length === 0) await asked(world, operator.promote(longest(cluster).name, true));
      else if (reason === "behind_followers" || ahead) await asked(world, operator.acceptLoss(leader.name));
      else for (const machine of cluster.followers) await pointed(parts, cluster, machine);
    }
    await world.until(rests, 1_000);
  }
}

/** A follower that does not find its leader gets another command line. */
async function pointed(
  { world, nemesis }: MastersRestParts,
  { leader }: Cluster,
  machine: Machine,
): Promise<void> {
  if (machine.node?.replication.following?.status().state === "streaming") return;
  nemesis.hold(machine, true);
  await asked(world, machine.stop());
  machine.command = { role: "follower", leader: leader.name };
  nemesis.hold(machine, false);
}

function longest({ machines }: Cluster): Machine {
  const rank = ({ node }: Machine): number => {
    const last = node?.storage.log.last;
    return last === undefined ? -1 : last.epoch * 1e9 + last.seq;
  };
  return machines.toSorted((a, b) => rank(b) - rank(a))[0] as Machine;
}

/** Lets the world go on until it is answered. */
export async function asked<Value>(world: World, promise: Promise<Value>): Promise<Value> {
  let over = false;
  promise.finally(() => over = true).catch(() => {});
  await world.until(() => over, 120_000);
  return await promise;
}

export async function reached(world: World, what: string, done: () => boolean): Promise<void> {
  if (!await world.until(done, boundMs)) {
    throw new Violation("liveness", `not within ${boundMs / 1000} s: ${what}`);
  }
}

function describe({ machines }: Cluster): string {
  return machines.map(({ name, node }) => {
    const last = node?.storage.log.last, status = node?.replication.following?.status();
    const where = last === undefined ? "down" : `${last.epoch}.${last.run.slice(0, 8)}-${seqOf(last.seq)}`;
    return status === undefined
      ? `${name} ${where} ${node?.role.kind} ${node?.role.readOnly.reason ?? ""}`
      : `${name} ${where} ${status.state} ${status.lastError?.code ?? ""}`;
  }).join("; ");
}
