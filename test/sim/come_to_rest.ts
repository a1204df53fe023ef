/** The end of a world: with nothing wrong any more, all must come to one state within a bounded virtual time. */
import type { Checks } from "./checks.ts";
import type { Client } from "./client.ts";
import type { Cluster, Machine } from "./cluster.ts";
import type { Nemesis } from "./nemesis.ts";
import { changeTo, type OperationParts } from "./operations.ts";
import type { Operator } from "./operator.ts";
import type { Swarm } from "./swarm.ts";
import { type Observed, Violation } from "./types.ts";
import type { World } from "./world.ts";

export interface RestParts {
  readonly world: World;
  readonly cluster: Cluster;
  readonly checks: Checks;
  readonly nemesis: Nemesis;
  readonly operator: Operator;
  readonly operation: OperationParts;
  readonly clients: readonly Client[];
  readonly swarm: Swarm;
}

/** Virtual time within which nodes must be up, writable and equal, ms. */
const boundMs = 180_000;

export async function comeToRest(parts: RestParts): Promise<void> {
  const { world, cluster, checks, nemesis, clients, swarm } = parts;
  await reached(world, "operations end", () => !nemesis.operating);
  nemesis.stop();
  await reached(world, "all nodes are up", () => cluster.machines.every(({ node }) => node !== null));
  await settled(parts, () => true);
  await world.pass(2_000);
  for (const client of clients) client.stop();
  await reached(world, "all clients are answered", () => clients.every(({ running }) => !running));
  await settled(parts, () => equal(cluster));
  // Long enough for an acknowledgement of the last entry.
  await world.pass(2 * swarm.heartbeatMs + 1_000);
  checks.final(cluster.leader.observed as Observed, cluster);
  for (const machine of [...cluster.followers, cluster.leader]) await stopped(world, machine, nemesis);
}

/** All hold what the leader holds. */
function equal({ machines, leader }: Cluster): boolean {
  const end = leader.node?.storage.log.last;
  return machines.every(({ node }) => {
    const own = node?.storage.log.last;
    return own !== undefined && own.seq === end?.seq && own.chain === end.chain;
  });
}

/**
 * Waits until the leader is writable and `done` holds, and does meanwhile what an operator is told to do: what is read-only by his word
 * becomes writable, what followers may know and nobody told is given up at last, and a node of a newer epoch leads.
 */
async function settled(parts: RestParts, done: () => boolean): Promise<void> {
  const { world, cluster, operator, checks } = parts, until = world.now + boundMs;
  for (let tries = 0;; tries++) {
    const { leader } = cluster, reason = leader.node?.role.readOnly.reason ?? null;
    if (leader.node !== null && reason === null && done()) return;
    if (world.now > until) {
      throw new Violation(
        "liveness",
        `not at rest within ${boundMs / 1000} s; read-only: ${reason}. ${describe(cluster)}`,
      );
    }
    const newer = cluster.followers.find((machine) => epochOf(machine) > epochOf(leader));
    if (tries % 20 === 19 && newer !== undefined) await asked(world, changeTo(parts.operation, newer));
    else if (reason === "operator") await asked(world, operator.readWrite(leader.name));
    else if ((reason === "behind_followers" || isAhead(cluster)) && tries % 20 === 19) {
      await asked(world, operator.acceptLoss(leader.name));
      checks.lossBefore = world.now;
    }
    await world.until(() => done() && cluster.leader.node?.role.readOnly.reason === null, 1_000);
  }
}

/** A follower holds what its leader lacks, and the leader has gone on since. */
function isAhead({ followers }: Cluster): boolean {
  return followers.some(({ node }) => node?.replication.following?.status().state === "ahead");
}

function epochOf({ node }: Machine): number {
  return node?.storage.log.last.epoch ?? 0;
}

/** Lets the world go on until it is answered. */
async function asked<Value>(world: World, promise: Promise<Value>): Promise<Value> {
  let over = false;
  promise.finally(() => over = true).catch(() => {});
  await world.until(() => over, 120_000);
  return await promise;
}

async function reached(
  world: World,
  what: string,
  done: () => boolean,
  more = (): string => "",
): Promise<void> {
  if (!await world.until(done, boundMs)) {
    throw new Violation("liveness", `not within ${boundMs / 1000} s: ${what}. ${more()}`);
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
      ? node?.role.kind
      : `${status.state} ${status.lastError?.code ?? ""} ${status.lastError?.message ?? ""}`;
    return `${name} (${command.role}) ${where} ${how}`;
  }).join("; ");
}
