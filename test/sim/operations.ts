/** What an operator does to the leadership, step by step, while faults go on. */
import type { Chance } from "./chance.ts";
import type { Cluster, Command, Machine } from "./cluster.ts";
import type { HandoverCheck } from "./handover_check.ts";
import type { Operator } from "./operator.ts";
import { Violation } from "./types.ts";
import type { Swarm } from "./swarm.ts";
import type { World } from "./world.ts";

export interface OperationParts {
  readonly world: World;
  readonly cluster: Cluster;
  readonly operator: Operator;
  readonly nemesis: { hold(machine: Machine, on: boolean): void };
  readonly draw: Chance;
  readonly handovers: HandoverCheck;
  readonly swarm: Pick<Swarm, "secret">;
  /** An operator made somebody a follower by force: it may be that nobody leads. */
  readonly onDemoted: () => void;
}

/** Lets virtual time pass inside an operation. */
export function after(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.at(null, ms, resolve));
}

/** Failover by hand: the old leader is down for certain, a follower is promoted, the others and the old one find it. Null: there is nobody else. */
export function changeLeader(parts: OperationParts): Promise<void> | null {
  return parts.cluster.followers.some(({ node }) => node !== null) ? failover(parts) : null;
}

async function failover(parts: OperationParts): Promise<void> {
  const { world, cluster, nemesis, draw } = parts, old = cluster.leader;
  nemesis.hold(old, true);
  if (draw.flip(0.5)) old.end(draw.pick(["kill", "power"]));
  else await old.stop();
  await after(world, draw.pick([0, 1_000, 10_000]));
  // Who never held anything is no follower yet.
  const candidates = cluster.machines.filter((machine) =>
    machine !== old && machine.node !== null && machine.node.storage.log.last.seq > 0
  );
  if (candidates.length > 0) await promote(parts, draw.pick(candidates));
  await after(world, draw.pick([0, 1_000, 10_000]));
  if (draw.flip(0.2)) anotherCommand(parts, old, true);
  nemesis.hold(old, false);
}

/** Promotes; where the guards refuse, with force, since the old leader is known to be down. */
async function promote({ operator, draw, world }: OperationParts, next: Machine): Promise<void> {
  for (let tries = 0; tries < 3; tries++) {
    const done = await operator.promote(next.name, tries > 0);
    if (done !== "refused" || operator.refusal === "bad_request") return;
    if (draw.flip(0.3)) return;
    await after(world, draw.pick([0, 500]));
  }
}

/**
 * Handover by hand, in two steps: the leader is made read-only, then a follower is promoted, which its leader agrees to. Null: there
 * is nobody to hand over to.
 */
export function promoteBeside(parts: OperationParts): Promise<void> | null {
  const { cluster, draw } = parts;
  const candidates = cluster.followers.filter(({ node }) => node !== null);
  return candidates.length === 0 || cluster.leader.node === null
    ? null
    : twoSteps(parts, draw.pick(candidates));
}

async function twoSteps({ world, cluster, operator, draw }: OperationParts, next: Machine): Promise<void> {
  const old = cluster.leader;
  if (await operator.readOnly(old.name) !== "done") return;
  for (let tries = 0; tries < 5; tries++) {
    await after(world, draw.pick([0, 200, 2_000]));
    const done = await operator.promote(next.name, false);
    if (done === "done") return;
    if (done === "unknown") break;
  }
  if (await operator.readWrite(old.name) === "unknown") await operator.readWrite(old.name);
}

export interface IsolatingParts extends OperationParts {
  /** Cuts a machine off from the others of the cluster; what is returned heals it. */
  readonly isolate: (machine: Machine) => () => void;
}

/** Handover in one call; now and then it is called off, or one of the two is gone in the middle. Null: there is nobody to hand over to. */
export function handOver(parts: IsolatingParts): Promise<void> | null {
  const { cluster, draw } = parts, from = cluster.leader;
  const candidates = cluster.followers.filter(({ node }) => node !== null);
  return candidates.length === 0 || from.node === null ? null : oneCall(parts, from, draw.pick(candidates));
}

async function oneCall(parts: IsolatingParts, from: Machine, to: Machine): Promise<void> {
  const { world, operator, handovers, draw, isolate } = parts;
  const seconds = draw.pick([0.2, 2, 10]);
  if (draw.flip(0.1)) {
    world.at(null, draw.between(0, 200), () => void operator.abortHandover(from.name));
  }
  if (draw.flip(0.4)) await inTheMiddle(parts, from);
  if (draw.flip(0.3)) goneInDoubt(parts, from, to);
  else if (draw.flip(0.4)) {
    const gone = draw.flip(0.7) ? from : to,
      cut = draw.flip(0.5),
      how = draw.pick(["kill", "power"] as const);
    world.at(null, draw.between(0, draw.pick([2, 20, 300])), () => {
      if (cut) isolate(gone);
      gone.end(how);
    });
  }
  const asked = handovers.begin(from, to);
  const answer = await operator.handover(from.name, to.name, seconds);
  to.atLabel = null;
  asked.answered(answer, operator.refusal);
}

/** The old leader dies, and is cut off, when the other one has been told to lead. */
function goneInDoubt({ draw, isolate }: IsolatingParts, from: Machine, to: Machine): void {
  const cut = draw.flip(0.7), how = draw.pick(["kill", "power"] as const);
  to.atLabel = (label) => {
    if (label !== "promote:kept") return;
    to.atLabel = null;
    if (cut) isolate(from);
    from.end(how);
  };
}

/** Resolves when a change of the machine's documents is being carried out that takes several events, or after a while. */
async function inTheMiddle({ world }: OperationParts, machine: Machine): Promise<void> {
  let began: number | null = null;
  await new Promise<void>((resolve) => {
    machine.atLabel = (label) => {
      if (label.startsWith("commit:")) began = null;
      else if (label === "apply:operation" && world.events !== (began ??= world.events)) resolve();
    };
    world.at(null, 2_000, resolve);
  });
  machine.atLabel = null;
}

/** A follower is promoted with force beside a leader that is cut off from all others, and may take writes. Null: there is nobody. */
export function splitPromote(parts: IsolatingParts): Promise<void> | null {
  const { cluster, draw } = parts, old = cluster.leader;
  const candidates = cluster.followers.filter(({ node }) => (node?.storage.log.last.seq ?? 0) > 0);
  return candidates.length === 0 || old.node === null ? null : split(parts, old, draw.pick(candidates));
}

async function split(
  { world, operator, draw, isolate }: IsolatingParts,
  old: Machine,
  next: Machine,
): Promise<void> {
  const heal = isolate(old);
  await after(world, draw.pick([0, 500, 3_000]));
  await operator.promote(next.name, true);
  await after(world, draw.pick([100, 1_000, 5_000]));
  heal();
}

/** A machine comes back with another command line, with force or without. Null: none runs. */
export function otherCommand(parts: OperationParts): Promise<void> | null {
  const running = parts.cluster.running();
  return running.length === 0 ? null : restartAs(parts, parts.draw.pick(running));
}

async function restartAs(parts: OperationParts, machine: Machine): Promise<void> {
  const { world, nemesis, draw } = parts;
  nemesis.hold(machine, true);
  const { storage, role } = machine.node ?? {};
  const belongs = (storage?.log.last.seq ?? 0) > 0 || (role?.leadership ?? null) !== null;
  if (draw.flip(0.5)) machine.end("kill");
  else await machine.stop();
  anotherCommand(parts, machine, belongs);
  await after(world, draw.pick([0, 500, 5_000]));
  nemesis.hold(machine, false);
}

/** `belongs`: it has this cluster's database; as a leader another machine would begin one of its own. */
function anotherCommand(
  { cluster, draw, onDemoted, swarm }: OperationParts,
  machine: Machine,
  belongs: boolean,
): void {
  // Without a secret nobody could be promoted where all are followers then.
  if (!swarm.secret) return;
  const others = cluster.machines.filter((other) => other !== machine);
  const leads = others.length === 0 || (draw.flip(0.4) && belongs);
  const command: Command = leads ? { role: "leader" } : { role: "follower", leader: draw.pick(others).name };
  machine.command = command;
  machine.forceRole = draw.flip(0.5);
  // A leader by its settings alone follows, too, when they say so.
  if (command.role === "follower") onDemoted();
}

/** Auto-failover on or off at one follower. Null: none runs. */
export function autoFailover(parts: OperationParts, heartbeatMs: number): Promise<void> | null {
  const { cluster, draw, operator } = parts, running = cluster.followers.filter(({ node }) => node !== null);
  if (running.length === 0) return null;
  const { name } = draw.pick(running), silenceMs = heartbeatMs * draw.pick([2, 3, 5, 10]);
  const change = draw.flip(0.7)
    ? operator.enableAutoFailover(name, silenceMs)
    : operator.disableAutoFailover(name);
  return change.then(() => {});
}

/** Null: there is no leader to make read-only. */
export function readOnlyForAWhile(parts: OperationParts): Promise<void> | null {
  return parts.cluster.leader.node === null ? null : quietFor(parts);
}

async function quietFor({ world, cluster, operator, draw }: OperationParts): Promise<void> {
  const { leader } = cluster;
  if (await operator.readOnly(leader.name) === "done" && leader.node?.role.leadership !== null) {
    const before = leader.node?.storage.log.last.seq, process = leader.process;
    const run = leader.node?.role.leadership?.run;
    await after(world, draw.pick([10, 1_000, 5_000]));
    const now = leader.node?.storage.log.last;
    // What another leader wrote meanwhile comes over the wire.
    if (
      leader.process === process && before !== undefined && now !== undefined && now.seq > before &&
      now.run === run
    ) {
      throw new Violation(
        "read-only",
        `${leader.name} wrote entries ${before + 1} to ${now.seq} while it was read-only`,
      );
    }
  }
  await operator.readWrite(leader.name);
}
