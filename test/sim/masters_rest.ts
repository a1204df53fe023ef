/** The end of a world of masters: with nothing wrong any more each site must be one, and all must have told each other everything. */
import { seqOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { Cluster, Machine } from "./cluster.ts";
import type { MastersClient } from "./masters_client.ts";
import type { MastersNemesis } from "./masters_nemesis.ts";
import type { Master, MastersOperator } from "./masters_site.ts";
import { applyLimits } from "./small_limits.ts";
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
  /** Something was done at a site that may lose answered writes. */
  readonly someLost: () => boolean;
  /** What comes next gets a limit of its own for its events. */
  readonly allow: () => void;
}

/** Virtual time within which a site must be one again, ms. */
const boundMs = 180_000;
/** And within which masters that have nothing to send must be quiet. */
const quietBoundMs = 120_000, quietMs = 10_000;
/** Within which a site that commits nothing tries all its destinations; clocks drift. */
const passMs = (): number => 1.03 * limits.masterQuietMs + 10_000;

/** Resolves when all are up, equal within their sites, told what they should do, and have had the time for one pass to everybody. */
export async function mastersRest(parts: MastersRestParts): Promise<void> {
  const { world, masters, operator, nemesis, clients, resolve } = parts;
  // What was lost is written over by those who go on.
  const goOn = world.chance("masters rest").flip(parts.someLost() ? 0.5 : 0.2);
  if (!goOn) { for (const client of clients) client.stop(); }
  await reached(world, "operations end", () => !parts.operating());
  nemesis.stop();
  const stays = ({ node, stopping, failing }: Machine): boolean => node !== null && !stopping && !failing;
  await reached(world, "all nodes are up", () =>
    operator.running().every(stays) &&
    masters.every(({ cluster }) => cluster.machines.every(stays)));
  const writable = (master: Master): Promise<void> => settled(parts, master, () => true);
  for (const master of masters) await writable(master);
  // A follower that holds more may have come to a leader only since, which waits for its operator's word then.
  for (const master of masters) await told(parts, master, () => writable(master));
  await world.pass(500);
  for (const client of clients) client.stop();
  await reached(world, "all clients are answered", () => clients.every(({ running }) => !running));
  for (const master of masters) await settled(parts, master, () => equal(master.cluster));
  // What was on its way for long may have come since. Followers have come: nobody is to need an operator's word any more.
  for (const master of masters) await told(parts, master);
  // Nothing is written from here on that could be trimmed: looking for it so often would be all that happens.
  applyLimits({ trimAgeEveryMs: Math.max(limits.trimAgeEveryMs, 30_000) });
  // Whoever failed often is tried again in the pass after a quiet time.
  parts.allow();
  await world.pass(passMs());
  await allReached(parts);
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
    await allReached(parts);
  }
  for (const master of masters) await settled(parts, master, () => equal(master.cluster));
}

/**
 * Quiet, and nobody has a destination left that failed and was not reached since. Whatever a site commits begins its quiet time anew, also what another one sends to it
 * in its own pass after that. Such a pass reaches all that its site had failed to reach: there are not more of them than sites.
 */
async function allReached(parts: MastersRestParts): Promise<void> {
  const { world, masters } = parts;
  for (let passes = 0;; passes++) {
    await quiet(parts);
    const failing = await failingAt(parts);
    if (failing.length === 0) return;
    if (passes === masters.length) {
      throw new Violation(
        "liveness",
        `destinations are not reached after all is healed: ${failing.join("; ")}`,
      );
    }
    parts.allow();
    await world.pass(passMs());
  }
}

async function failingAt({ world, masters, operator }: MastersRestParts): Promise<readonly string[]> {
  const failing: string[] = [];
  for (const master of masters) {
    const answer = await asked(world, operator.ask(master, { method: "GET", path: "/replication/info" }));
    const { Stats } = JSON.parse(answer?.text ?? "") as {
      Stats: readonly { Url: string; FailureCount: number; LastError: string | null }[];
    };
    for (const { Url, FailureCount, LastError } of Stats) {
      if (FailureCount > 0) failing.push(`${master.site.name} to ${Url}: ${FailureCount}, ${LastError}`);
    }
  }
  return failing;
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

/** `refused`: what an operator does before he tries once more. */
async function told(
  { world, operator }: MastersRestParts,
  master: Master,
  refused: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const until = world.now + boundMs;
  while (!await asked(world, operator.ensure(master))) {
    if (world.now > until) {
      throw new Violation("liveness", `${master.site.name} takes no documents of an operator`);
    }
    await refused();
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
