/** Who makes the trouble: one fault after the other, as often and of the kinds that the seed says; then puts all right. */
import { limits } from "../../src/base/limits.ts";
import { resyncCrashPoints } from "../../src/node/crash_points.ts";
import { snapshotCrashPoints, storageCrashPoints } from "../../src/storage/sqlite/crash_points.ts";
import type { Chance } from "./chance.ts";
import type { Cluster, Machine } from "./cluster.ts";
import { etcdFaults } from "./etcd_faults.ts";
import type { HandoverCheck } from "./handover_check.ts";
import { cutLinks, slowLink } from "./line_faults.ts";
import {
  autoFailover,
  changeLeader,
  handOver,
  type OperationParts,
  otherCommand,
  promoteBeside,
  readOnlyForAWhile,
  splitPromote,
} from "./operations.ts";
import type { Operator } from "./operator.ts";
import type { Restores } from "./restores.ts";
import type { SimEtcd } from "./sim_etcd.ts";
import type { SimNetwork } from "./sim_net.ts";
import type { FaultKind, Swarm } from "./swarm.ts";
import { faultKinds } from "./swarm.ts";
import type { Troubles } from "./troubles.ts";
import type { World } from "./world.ts";

export interface NemesisParts {
  readonly world: World;
  readonly network: SimNetwork;
  readonly cluster: Cluster;
  /** Null: nobody is asked who may lead. */
  readonly etcd: SimEtcd | null;
  readonly swarm: Swarm;
  readonly operator: Operator;
  readonly restores: Restores;
  /** Names of the hosts of clients. */
  readonly hosts: readonly string[];
  readonly handovers: HandoverCheck;
  readonly troubles: Troubles;
  /** A machine was told to take a new copy. */
  readonly onCopy: (machine: Machine) => void;
}

/** Those of who leads. */
const leadership: readonly string[] = [
  "promote:listening",
  "promote:kept",
  "promote:begun",
  "handover:stored",
];

const labels: readonly string[] = [
  ...storageCrashPoints,
  ...snapshotCrashPoints,
  ...resyncCrashPoints,
  ...leadership,
];

/** Those that every world meets. */
const usual: readonly string[] = ["commit:", "apply:", "trim:", "close:", "checkpoint:", "reclaim:"];

/** `commit:` for each label: many labels are never met in a world, but others of their kind are. */
const areas: readonly string[] = [...new Set(labels.map((label) => label.replace(/[^:]*$/, "")))];

export class Nemesis {
  /** Faults injected so far. */
  readonly injected: Partial<Record<FaultKind, number>> = {};
  readonly #parts: NemesisParts;
  readonly #draw: Chance;
  readonly #weighted: readonly FaultKind[];
  /** What undoes a fault that lasts. */
  readonly #undo = new Set<() => void>();
  /** Machines that are to stay down for now. */
  readonly #held = new Set<Machine>();
  /** One operation on the leadership at a time. */
  #operating = false;
  #over = false;
  /** An operator has made a follower of somebody: it may be that nobody leads. */
  demoted = false;

  constructor(parts: NemesisParts) {
    this.#parts = parts;
    this.#draw = parts.world.chance("nemesis");
    this.#weighted = faultKinds.flatMap((kind) => Array<FaultKind>(parts.swarm.faults[kind]).fill(kind));
  }

  /** Begins; `stop` ends it. */
  start(): void {
    if (this.#weighted.length > 0) this.#next();
  }

  /** A process has ended: it is started again some time. */
  ended(machine: Machine): void {
    if (this.#held.has(machine)) return;
    const delayMs = this.#over ? 100 : this.#draw.pick([10, 500, 3_000, 20_000]) * this.#draw.float();
    this.#parts.world.at(null, delayMs, () => {
      if (!this.#held.has(machine)) machine.start();
    });
  }

  /** Keeps a machine down, or lets it come up again. */
  hold(machine: Machine, on: boolean): void {
    if (on) this.#held.add(machine);
    else {
      this.#held.delete(machine);
      machine.start();
    }
  }

  get operating(): boolean {
    return this.#operating;
  }

  /** No more faults; what lasts is undone. Operations that have begun go on to their end. */
  stop(): void {
    this.#over = true;
    for (const undo of [...this.#undo]) undo();
    for (const machine of this.#parts.cluster.machines) {
      machine.crashAt = null;
      if (!this.#held.has(machine)) machine.start();
    }
  }

  #next(): void {
    const { world, swarm } = this.#parts;
    const delayMs = this.#draw.between(0, 2) * swarm.everyMs;
    world.at(null, delayMs, () => {
      if (this.#over) return;
      const kind = this.#draw.pick(this.#weighted);
      if (this.#inject(kind)) {
        world.say(() => `fault: ${kind}`);
        this.injected[kind] = (this.injected[kind] ?? 0) + 1;
      }
      this.#next();
    });
  }

  /** False: there was nothing to do it to. */
  #inject(kind: FaultKind): boolean {
    const { network } = this.#parts;
    switch (kind) {
      case "kill":
      case "power":
        return this.#onMachine((machine) => machine.end(kind));
      case "crashPoint":
        return this.#onMachine((machine) => this.#crashAt(machine));
      case "stop":
        return this.#onMachine((machine) => void this.#stop(machine));
      case "stall":
        return this.#onMachine((machine) =>
          this.#stall(machine, this.#draw.pick([60, 400, 3_000, 30_000]) * this.#draw.float())
        );
      case "leaderStall":
        return this.#longStall();
      case "leaderAway":
      case "fullCandidate":
        return this.#leaderAway(kind === "fullCandidate");
      case "cutLink":
      case "slowLink":
        return this.#onLink(kind);
      case "partition":
        return this.#partition();
      case "resetConnections":
        return network.reset(() => this.#draw.flip(0.7)) > 0;
      case "staleConnections":
        return this.#stale();
      case "clockJump":
        return this.#clockJump();
      case "diskFull":
      case "slowDisk":
      case "failedCommit":
      case "loseSidecar":
        return this.#onDisk(kind);
      case "etcdAway":
      case "etcdStall":
      case "etcdCut":
      case "etcdSlow":
        return this.#onEtcd(kind);
      default:
        return this.#operate(kind);
    }
  }

  /** Connections on which nothing comes any more, to either side, and nobody is told. */
  #stale(): boolean {
    const { network, troubles } = this.#parts, names = this.#hosts;
    for (const [i, a] of names.entries()) {
      for (const b of names.slice(i + 1)) {
        // A candidate that has just begun to listen counts silence from the end of its grace on.
        troubles.at([a, b], "stale connections of", limits.failoverGraceMs);
      }
    }
    return network.stale(() => this.#draw.flip(0.5)) > 0;
  }

  #onMachine(run: (machine: Machine) => void): boolean {
    const running = this.#parts.cluster.running();
    if (running.length === 0) return false;
    run(this.#draw.pick(running));
    return true;
  }

  #stall(machine: Machine, ms: number): void {
    const { troubles, world } = this.#parts, { process } = machine;
    if (process === null) return;
    process.stall(ms);
    // It comes after those before it.
    troubles.at(machine.name, "a stall of", process.busyUntil - world.now);
  }

  /** Of the leader or another one, for longer than any silence. */
  #longStall(): boolean {
    const { cluster, swarm, world } = this.#parts;
    const candidates = cluster.machines.filter(({ node }) =>
      (node?.replication.autoFailover ?? null) !== null
    );
    const others = candidates.length > 0 ? candidates : cluster.machines;
    const machine = this.#draw.flip(0.5) ? cluster.leader : this.#draw.pick(others);
    if (machine.process === null) return false;
    const ms = swarm.heartbeatMs * this.#draw.between(2, 12);
    const again = ms + this.#draw.between(0, this.#draw.pick([1, 5, 50]));
    this.#stall(machine, ms);
    // What was begun right after the first one is not over.
    if (this.#draw.flip(0.7)) world.at(null, again, () => this.#stall(machine, swarm.heartbeatMs * 2));
    return true;
  }

  /** The leader is gone for longer than a silence; the disks of the others are full meanwhile, or not. */
  #leaderAway(full: boolean): boolean {
    const { cluster, swarm } = this.#parts, { leader, followers } = cluster;
    if (this.#held.has(leader) || leader.process === null) return false;
    this.hold(leader, true);
    leader.end(this.#draw.pick(["kill", "power"]));
    this.#lasting(() => this.hold(leader, false), swarm.heartbeatMs * this.#draw.between(2, 15));
    if (!full) return true;
    for (const { disk } of followers) {
      disk.faults.full = true;
      this.#lasting(() => void (disk.faults.full = false), swarm.heartbeatMs * this.#draw.between(2, 15));
    }
    return true;
  }

  #crashAt(machine: Machine): void {
    const how = this.#draw.flip(0.5) ? "power" : "kill";
    if (this.#draw.flip(0.3)) {
      // All of them: who promotes itself first dies there.
      const label = new RegExp(`^${this.#draw.pick(leadership)}`);
      for (const each of this.#parts.cluster.running()) each.crashAt = { label, skip: 0, how };
      return;
    }
    const begins = this.#draw.pick(this.#draw.flip(0.6) ? usual : this.#draw.flip(0.5) ? labels : areas);
    machine.crashAt = {
      label: new RegExp(`^${begins}`),
      skip: this.#draw.below(this.#draw.pick([1, 5, 20])),
      how,
    };
  }

  async #stop(machine: Machine): Promise<void> {
    const { world } = this.#parts;
    if (!await machine.stop()) world.fail(new Error(`${machine.name} did not stop`));
  }

  #onEtcd(kind: keyof typeof etcdFaults): boolean {
    const { etcd } = this.#parts, lasting = (undo: () => void, ms?: number) => void this.#lasting(undo, ms);
    const start = (machine: Machine): void => void (this.#held.has(machine) || machine.start());
    return etcd !== null && etcdFaults[kind]({ ...this.#parts, etcd, draw: this.#draw, lasting, start });
  }

  /** Of everybody who has lines that may fail. */
  get #hosts(): readonly string[] {
    const { cluster, hosts, etcd } = this.#parts;
    return [...cluster.machines.map(({ name }) => name), ...hosts, ...(etcd === null ? [] : [etcd.machine])];
  }

  /** One direction between two hosts. */
  #onLink(kind: "cutLink" | "slowLink"): boolean {
    const { network, troubles } = this.#parts, names = this.#hosts;
    const from = this.#draw.pick(names), to = this.#draw.pick(names);
    if (from === to) return false;
    const link = network.link(from, to);
    this.#lasting(kind === "cutLink" ? cutLinks([link], troubles) : slowLink(link, this.#draw, troubles));
    return true;
  }

  /** Two groups that do not reach each other. */
  #partition(): boolean {
    const { network, troubles } = this.#parts, names = this.#hosts;
    const here = new Set(names.filter(() => this.#draw.flip(0.5)));
    const links = names.flatMap((from) =>
      names.filter((to) => here.has(from) !== here.has(to)).map((to) => network.link(from, to))
    );
    if (links.length === 0) return false;
    this.#lasting(cutLinks(links, troubles));
    return true;
  }

  /** Cuts a machine off from all others of the cluster, not from clients and operators; what is returned heals it. */
  #isolate(machine: Machine): () => void {
    const { network, cluster, troubles } = this.#parts, { name } = machine;
    if (this.#over) return () => {}; // part of an operation that outlives the faults
    const others = cluster.machines.filter((other) => other !== machine);
    const heal = cutLinks(
      others.flatMap((other) => [network.link(name, other.name), network.link(other.name, name)]),
      troubles,
    );
    return this.#lasting(heal, 30_000);
  }

  #clockJump(): boolean {
    const { clock } = this.#draw.pick(this.#parts.cluster.machines);
    const ms = this.#draw.pick([1_000, 60_000, 86_400_000]) * this.#draw.between(-1, 1);
    clock.wallOffsetMs += ms;
    if (ms < 0) clock.wentBack = { at: this.#parts.world.now, ms: -ms };
    return true;
  }

  #onDisk(kind: "diskFull" | "slowDisk" | "failedCommit" | "loseSidecar"): boolean {
    const machine = this.#draw.pick(this.#parts.cluster.machines), { disk } = machine;
    if (kind === "failedCommit") {
      disk.faults.failCommits = { count: 1, at: this.#draw.pick(["before", "after"]) };
    } else if (kind === "loseSidecar") {
      if (machine.process !== null) machine.end("kill");
      return disk.spoilSidecars(this.#draw);
    } else if (kind === "diskFull") {
      disk.faults.full = true;
      this.#lasting(() => void (disk.faults.full = false));
    } else {
      const max = this.#draw.pick([20, 500, 5_000]);
      disk.faults.slow = { min: 1, max };
      const end = this.#parts.troubles.at(machine.name, "a slow disk of");
      this.#lasting(() => {
        disk.faults.slow = null;
        // It may be in the middle of a call.
        this.#parts.world.at(null, max, end);
      });
    }
    return true;
  }

  /** What an operator does, for better or worse. */
  #operate(kind: FaultKind): boolean {
    if (this.#operating) return false;
    const operation = this.#operation(kind);
    if (operation === null) return false;
    this.#operating = true;
    operation.catch((thrown) => this.#parts.world.fail(thrown)).finally(() => this.#operating = false);
    return true;
  }

  #operation(kind: FaultKind): Promise<void> | null {
    const parts = this.operation, isolate = (machine: Machine): () => void => this.#isolate(machine);
    switch (kind) {
      case "failover":
        return changeLeader(parts);
      case "promote":
        return promoteBeside(parts);
      case "handover":
        return handOver({ ...parts, isolate });
      case "splitPromote":
        return splitPromote({ ...parts, isolate });
      case "otherCommand":
        return otherCommand(parts);
      case "autoFailover":
        return autoFailover(parts, this.#silenceUnitMs);
      case "readOnly":
        return readOnlyForAWhile(parts);
      case "resync":
        return this.#resync();
      default:
        return this.#parts.restores.restore(this.#draw, kind === "restoreLeader" ? "leader" : "follower");
    }
  }

  /** A silence is a whole number of it. */
  get #silenceUnitMs(): number {
    const { etcd, swarm: { heartbeatMs } } = this.#parts;
    return etcd === null ? heartbeatMs : 1_000 * Math.ceil(heartbeatMs / 1_000);
  }

  /** What operations on the leadership need. */
  get operation(): OperationParts {
    return { ...this.#parts, nemesis: this, draw: this.#draw, onDemoted: () => void (this.demoted = true) };
  }

  #resync(): Promise<void> | null {
    const { cluster, operator } = this.#parts,
      running = cluster.followers.filter(({ node }) => node !== null);
    if (running.length === 0) return null;
    const machine = this.#draw.pick(running);
    this.#parts.onCopy(machine);
    return operator.resync(machine.name).then(() => {});
  }

  /** `undo` in `ms`, or when all is put right, or when what is returned is called. */
  #lasting(
    undo: () => void,
    ms = this.#draw.pick([300, 3_000, 15_000, 60_000]) * this.#draw.float(),
  ): () => void {
    const once = (): void => {
      if (this.#undo.delete(once)) undo();
    };
    this.#undo.add(once);
    this.#parts.world.at(null, ms, once);
    return once;
  }
}
