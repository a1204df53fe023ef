/** What an operator does to the leadership, step by step, while faults go on. */
import type { Chance } from "./chance.ts";
import type { Cluster, Machine } from "./cluster.ts";
import { wirePort } from "./cluster.ts";
import type { Operator } from "./operator.ts";
import { Violation } from "./types.ts";
import type { World } from "./world.ts";

export interface OperationParts {
  readonly world: World;
  readonly cluster: Cluster;
  readonly operator: Operator;
  readonly nemesis: { hold(machine: Machine, on: boolean): void };
  readonly draw: Chance;
  /** Promises of before now may be broken. */
  readonly onLoss: () => void;
  /** The newest epoch in which anything was written. */
  readonly newestEpoch: () => number;
}

/** Lets virtual time pass inside an operation. */
function after(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.at(null, ms, resolve));
}

/**
 * Failover by hand: the old leader is down for certain, another node is started as the leader, the others are told, the old
 * one comes back as its follower. Null: there is nobody else.
 */
export function changeLeader(parts: OperationParts): Promise<void> | null {
  const { cluster, draw, newestEpoch } = parts;
  // Until epochs collide in a way that is settled, only who has an entry of the newest one is promoted by hand.
  const fits = ({ node }: Machine): boolean => node !== null && epochOf(node) >= newestEpoch();
  const candidates = cluster.followers.filter(fits);
  if (candidates.length === 0) return null;
  const next = draw.pick(candidates);
  return changeTo(parts, next, () => fits(next));
}

/** Epoch of the last entry; an empty database would begin a history of its own. */
function epochOf({ storage }: NonNullable<Machine["node"]>): number {
  return storage.log.last.seq === 0 ? -1 : storage.log.last.epoch;
}

/** `next` leads from now on, unless `still` says no when the old leader, which may have written until then, is down. */
export async function changeTo(
  parts: OperationParts,
  next: Machine,
  still: () => boolean = () => true,
): Promise<void> {
  const { world, cluster, nemesis, draw, onLoss } = parts, old = cluster.leader;
  nemesis.hold(old, true);
  if (draw.flip(0.5)) old.end(draw.pick(["kill", "power"]));
  else await old.stop();
  await after(world, draw.pick([0, 1_000, 10_000]));
  if (!still()) return nemesis.hold(old, false);
  await takeOver(parts, next);
  onLoss();
  old.command = { role: "follower", leader: next.name };
  await after(world, draw.pick([0, 1_000, 10_000]));
  nemesis.hold(old, false);
}

/** `next` is started anew as the leader, and the others follow it. */
async function takeOver({ cluster, world, nemesis, draw }: OperationParts, next: Machine): Promise<void> {
  nemesis.hold(next, true);
  if (draw.flip(0.5)) next.end("kill");
  else await next.stop();
  next.command = { role: "leader" };
  cluster.leader = next;
  nemesis.hold(next, false);
  for (const other of cluster.followers) {
    const before = other.command;
    other.command = { role: "follower", leader: next.name };
    if (other.process === null || before.role === "leader") continue;
    // A follower can be told only by a new command line.
    nemesis.hold(other, true);
    await other.stop();
    nemesis.hold(other, false);
    await after(world, draw.between(0, 500));
  }
}

/**
 * Handover by hand, without loss: read-only, wait until the next leader has all, start it as the leader, let the old one
 * follow by HTTP. Null: there is nobody to hand over to.
 */
export function handOver(parts: OperationParts): Promise<void> | null {
  const { cluster, draw } = parts, old = cluster.leader;
  const candidates = cluster.followers.filter(({ node }) => node !== null);
  if (candidates.length === 0 || old.node === null) return null;
  return handOverTo(parts, draw.pick(candidates));
}

async function handOverTo(parts: OperationParts, next: Machine): Promise<void> {
  const { world, cluster, operator } = parts, old = cluster.leader;
  const quiet = await operator.readOnly(old.name);
  if (quiet !== "done" || old.node === null) return;
  const process = old.process, final = old.node.storage.log.last.seq;
  for (let tries = 0; tries < 100 && (next.node?.storage.log.last.seq ?? 0) < final; tries++) {
    await after(world, 200);
  }
  const whole = final > 0 && old.process === process && old.node !== null &&
    next.node?.storage.log.last.seq === final;
  if (!whole) {
    if (await operator.readWrite(old.name) === "unknown") await operator.readWrite(old.name);
    return;
  }
  await takeOver(parts, next);
  old.command = { role: "follower", leader: next.name };
  if (old.process !== process) return restart(parts, old);
  const told = await operator.startFollower(old.name, next.name, wirePort);
  if (told !== "done") await restart(parts, old);
}

async function restart({ nemesis }: OperationParts, machine: Machine): Promise<void> {
  nemesis.hold(machine, true);
  await machine.stop();
  nemesis.hold(machine, false);
}

/** Null: there is no leader to make read-only. */
export function readOnlyForAWhile(parts: OperationParts): Promise<void> | null {
  return parts.cluster.leader.node === null ? null : quietFor(parts);
}

async function quietFor({ world, cluster, operator, draw }: OperationParts): Promise<void> {
  const { leader } = cluster;
  if (await operator.readOnly(leader.name) === "done") {
    const before = leader.node?.storage.log.last.seq, process = leader.process;
    await after(world, draw.pick([10, 1_000, 5_000]));
    const now = leader.node?.storage.log.last.seq;
    if (leader.process === process && before !== undefined && now !== undefined && now > before) {
      throw new Violation(
        "read-only",
        `${leader.name} wrote entries ${before + 1} to ${now} while it was read-only`,
      );
    }
  }
  await operator.readWrite(leader.name);
}
