/** One world of masters from its seed to its end: trouble, then peace, then the reckoning, then idleness. */
import { rmSync } from "node:fs";
import { messageOf } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { type Acknowledged, MastersClient, type MastersClientWorld } from "./masters_client.ts";
import { finalCheck } from "./masters_final_check.ts";
import type { PolicySeen } from "./masters_keys.ts";
import { MastersNemesis } from "./masters_nemesis.ts";
import { asked, equal, mastersRest, reached } from "./masters_rest.ts";
import { type Master, masterOf, MastersOperator, urlOf } from "./masters_site.ts";
import { type MastersSwarm, mastersSwarmOf } from "./masters_swarm.ts";
import { VersionsCheck } from "./masters_versions_check.ts";
import { after } from "./operations.ts";
import { plants } from "./plants.ts";
import type { SeedResult } from "./result.ts";
import type { RunOptions } from "./run_seed.ts";
import { diskRoot } from "./sim_disk.ts";
import { SimNetwork } from "./sim_net.ts";
import { SimProcess, wallStart } from "./sim_process.ts";
import { applyLimits } from "./small_limits.ts";
import { closeConnections, trackConnections } from "./sqlite_connections.ts";
import { StepHash } from "./step_hash.ts";
import { watchStorages } from "./storage_watch.ts";
import { type Observed, Violation } from "./types.ts";
import { World } from "./world.ts";

/** Nobody has anything to say to anybody for so many times the time of a pass by timer: two of them. */
const idlePasses = 2.2;
/** What a machine does by its timers and for its followers within two passes, and what a write makes at one site, are fewer events. */
const machineEvents = 10_000, writeEvents = 200;
/** Requests of a sender to one destination: in each pass where it stands, by a follower or two. */
const idleRequests = 8;

/** Never rejects: what goes wrong is the result's violation. */
export async function runMasters(seed: number, options: RunOptions): Promise<SeedResult> {
  const swarm = mastersSwarmOf(seed),
    world = new World(seed),
    root = diskRoot(),
    startedAt = performance.now();
  const hash = options.hash ? new StepHash() : null, { trace } = options;
  world.trace = trace;
  world.timersFirst = swarm.machine.timersFirst;
  const undoLimits = applyLimits(swarm.machine.limits);
  const takeOut = plants[options.plant ?? ""]?.plant() ?? (() => {});
  const tracked = trackConnections(world), run = new MastersRun(world, swarm, root, hash);
  const endWatch = watchStorages((storage) => run.committed(storage));
  let violation: SeedResult["violation"] = null;
  try {
    await run.all();
  } catch (thrown) {
    const checker = thrown instanceof Violation ? thrown.checker : "uncaught";
    const stack = thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
    violation = { checker, message: messageOf(thrown), stack };
  }
  run.close();
  endWatch();
  tracked.stop();
  takeOut();
  undoLimits();
  if (violation === null || !options.keep) rmSync(root, { recursive: true, force: true });
  return {
    seed,
    violation,
    virtualMs: world.now,
    wallMs: performance.now() - startedAt,
    events: world.events,
    counts: run.counts(),
    longestMs: world.longestMs,
    slowEvents: world.slowEvents,
    hash: hash?.text ?? null,
  };
}

class MastersRun {
  readonly #world: World;
  readonly #swarm: MastersSwarm;
  readonly #network: SimNetwork;
  readonly #masters: readonly Master[];
  readonly #operator: MastersOperator;
  readonly #nemesis: MastersNemesis;
  readonly #clients: readonly MastersClient[];
  readonly #check: VersionsCheck;
  readonly #acknowledged: Acknowledged[] = [];
  readonly #mayLose = new Set<string>();
  readonly #ends: Record<string, number> = {};
  #policy: PolicySeen = { kind: "manual" };
  /** Nodes may have gone by different policies: what they show may differ until all is resolved anew. */
  #mixed = false;
  #peace = false;
  /** Operators that look after their sites. */
  #upkeeps = 0;

  constructor(world: World, swarm: MastersSwarm, root: string, hash: StepHash | null) {
    this.#world = world;
    this.#swarm = swarm;
    const network = this.#network = new SimNetwork(world);
    const check = this.#check = new VersionsCheck({
      policy: () => this.#mixed ? null : this.#policy,
      purges: swarm.purges,
      ...(hash === null ? {} : { onKey: (line) => hash.add(`${world.now.toFixed(3)} ${line()}`) }),
    });
    this.#masters = swarm.sites.map((site) =>
      masterOf(site, swarm, {
        world,
        network,
        root,
        etcdUrl: null,
        onStart: (_machine, node) => check.committed(site.name, node.storage),
        onEnd: (machine, last, image) => this.#nemesis.ended(machine, endOf(last), image),
      })
    );
    const operator = this.#operator = new MastersOperator(world, network, this.#masters, []);
    const hosts = Array.from({ length: swarm.clients }, (_, i) => `u${i + 1}`);
    const mayLose = (site: string): void => void this.#mayLose.add(site);
    const masters = this.#masters, onPolicy = (): void => this.#otherPolicy();
    this.#nemesis = new MastersNemesis({
      world,
      network,
      swarm,
      masters,
      operator,
      hosts,
      mayLose,
      onPolicy,
    });
    this.#clients = hosts.map((name) => new MastersClient(this.#clientWorld(), name, swarm));
    this.#tuneLinks(hosts);
    world.afterEvent = (owner) => {
      if (owner === null) return;
      for (const { site, cluster } of masters) {
        const machine = cluster.machines.find(({ process }) => process === owner);
        if (machine?.observed != null && !machine.failing) check.look(site.name, machine.observed);
      }
    };
  }

  async all(): Promise<void> {
    const world = this.#world, swarm = this.#swarm, operator = this.#operator;
    await this.#begin();
    for (const client of this.#clients) client.run().catch((thrown) => world.fail(thrown));
    for (const master of this.#masters) this.#upkeep(master).catch((thrown) => world.fail(thrown));
    this.#nemesis.start();
    await world.pass(swarm.faultMs);
    world.say(() => "peace");
    this.#allow();
    this.#peace = true;
    this.#nemesis.stop();
    this.#network.heal();
    await mastersRest({
      world,
      masters: this.#masters,
      operator,
      nemesis: this.#nemesis,
      operating: () => this.#nemesis.operating || this.#upkeeps > 0,
      clients: this.#clients,
      resolve: this.#mixed,
      mayLose: (site) => void this.#mayLose.add(site),
      someLost: () => this.#mayLose.size > 0,
      allow: () => this.#allow(),
    });
    world.say(() => "at rest");
    this.#final();
    await this.#idle();
    // A stop at rest is the same in each world.
    if (world.chance("masters stop").flip(0.3)) await this.#stop();
  }

  async #stop(): Promise<void> {
    const world = this.#world;
    for (const { cluster } of this.#masters) {
      for (const machine of [...cluster.followers, cluster.leader]) {
        this.#nemesis.hold(machine, true);
        if (!await asked(world, machine.stop())) {
          throw new Violation("stop", `${machine.name} did not stop in time`);
        }
      }
    }
  }

  /** All are up and know what they should do; the edges come one after the other, some of them late. */
  async #begin(): Promise<void> {
    const world = this.#world, operator = this.#operator, swarm = this.#swarm, masters = this.#masters;
    for (const { cluster } of masters) for (const machine of cluster.machines) machine.start();
    const up = ({ cluster }: Master): boolean =>
      cluster.leader.node?.role.readOnly.on === false &&
      cluster.leader.observed?.storage.log.last.seq !== 0 &&
      equal(cluster);
    await reached(world, "all sites are up", () => masters.every(up));
    this.#policy = swarm.policy === "prefer"
      ? { kind: "prefer", sites: this.#shuffled(swarm.sites.map(({ name }) => name)) }
      : { kind: swarm.policy };
    operator.config = this.#configText();
    for (const master of masters) await asked(world, operator.ensure(master));
    await reached(world, "all know the policy", () => masters.every(up));
    const draw = world.chance("masters late");
    for (const edge of swarm.edges) {
      if (draw.flip(0.8)) operator.edges = [...operator.edges, edge];
      else {world.at(null, draw.between(0, swarm.faultMs), () =>
          void (operator.edges = [
            ...operator.edges.filter(({ from, to }) => from !== edge.from || to !== edge.to),
            edge,
          ]));}
    }
  }

  /** The site's operator looks now and then whether it does what it should. */
  async #upkeep(master: Master): Promise<void> {
    const draw = this.#world.chance(`masters upkeep ${master.site.name}`);
    this.#upkeeps++;
    while (!this.#peace) {
      await this.#operator.ensure(master);
      await after(this.#world, draw.between(200, 2_000));
    }
    this.#upkeeps--;
  }

  #configText(): string {
    const policy = this.#policy;
    if (policy.kind !== "prefer") return JSON.stringify({ policy: policy.kind });
    const databases = policy.sites.map((name) =>
      this.#masters.find(({ site }) => site.name === name)?.cluster.leader.node?.storage.databaseId
    );
    return JSON.stringify({ policy: "prefer", databases });
  }

  #otherPolicy(): void {
    const draw = this.#world.chance(`masters policy ${this.#world.now}`);
    this.#mixed = true;
    this.#policy = { kind: draw.pick(["manual", "latest"] as const) };
    this.#operator.config = this.#configText();
  }

  #final(): void {
    const machines = this.#masters.flatMap(({ cluster }) => [...cluster.machines]);
    const ends = finalCheck({
      masters: this.#masters,
      check: this.#check,
      edges: this.#operator.edges,
      policy: this.#policy,
      purges: this.#swarm.purges,
      wallMs: wallStart +
        Math.max(...machines.map(({ clock }) => this.#world.now * clock.rate + clock.wallOffsetMs)),
      acknowledged: this.#acknowledged,
      mayLose: this.#mayLose,
    });
    Object.assign(this.#ends, ends);
  }

  /** What comes next has an end, in proportion to the world: who goes round in a circle is found by it. */
  #allow(): void {
    const machines = this.#masters.reduce((sum, { cluster }) => sum + cluster.machines.length, 0);
    const writes = this.#acknowledged.length * this.#masters.length;
    this.#world.allow(machineEvents * machines + writeEvents * writes);
  }

  /** Nobody writes, and no batch goes anywhere. */
  async #idle(): Promise<void> {
    const { figures } = this.#network, world = this.#world, before = await this.#stands();
    const { requests } = figures, { edges } = this.#operator;
    this.#allow();
    await world.pass(idlePasses * limits.masterQuietMs);
    const asked = figures.requests - requests, now = await this.#stands();
    if (before !== now) throw new Violation("idle", `${before} became ${now} while nobody wrote`);
    if (asked > idleRequests * edges.length + this.#masters.length ** 2) {
      throw new Violation(
        "idle",
        `${asked} requests between masters of ${edges.length} ways while nobody wrote`,
      );
    }
  }

  async #stands(): Promise<string> {
    const stands: string[] = [];
    for (const master of this.#masters) {
      const answer = await asked(
        this.#world,
        this.#operator.ask(master, { method: "GET", path: "/replication/info" }),
      );
      const { MostRecentDocumentEtag: end, received: { batches, stored } } = JSON.parse(
        answer?.text ?? "",
      ) as {
        MostRecentDocumentEtag: string;
        received: { batches: number; stored: number };
      };
      stands.push(`${master.site.name} ${end}, ${batches} batches, ${stored} stored`);
    }
    return stands.join("; ");
  }

  /** A storage of the running process has committed something. */
  committed(storage: Storage): void {
    const process = this.#world.running;
    if (!(process instanceof SimProcess) || !process.alive) return;
    const { site } = this.#masters.find(({ site }) => site.machines.includes(process.machine)) as Master;
    this.#check.committed(site.name, storage);
  }

  close(): void {
    for (const { cluster } of this.#masters) {
      for (const { process, disk } of cluster.machines) {
        process?.die("kill");
        disk.remove();
        if (process !== null) closeConnections(process);
      }
    }
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {
      [`shape.${this.#swarm.shape}`]: 1,
      [`policy.${this.#swarm.policy}`]: 1,
    };
    const add = (group: string, all: Readonly<Record<string, number>>): void => {
      for (const [name, count] of Object.entries(all)) {
        if (count > 0) counts[`${group}.${name}`] = (counts[`${group}.${name}`] ?? 0) + count;
      }
    };
    add("faults", this.#nemesis.injected as Record<string, number>);
    for (const client of this.#clients) add("requests", client.counts);
    add("versions", this.#check.counts);
    add("ends", { ...this.#ends, acknowledged: this.#acknowledged.length });
    for (const { cluster } of this.#masters) {
      for (const { deaths, processes } of cluster.machines) {
        add("deaths at", Object.fromEntries(deaths));
        add("nodes", { processes });
      }
    }
    return counts;
  }

  #shuffled(names: readonly string[]): readonly string[] {
    const draw = this.#world.chance("masters preferred");
    return names.map((name) => ({ name, at: draw.float() })).sort((a, b) => a.at - b.at).map(({ name }) =>
      name
    );
  }

  #tuneLinks(hosts: readonly string[]): void {
    const { delayMs, splitRate } = this.#swarm.link;
    const names = [...this.#swarm.sites.flatMap(({ machines }) => machines), ...hosts, "operator"];
    for (const from of names) {
      for (const to of names) {
        if (from !== to) Object.assign(this.#network.link(from, to), { delayMs: { ...delayMs }, splitRate });
      }
    }
  }

  #clientWorld(): MastersClientWorld {
    const world = this.#world, network = this.#network;
    return {
      chance: (name) => world.chance(name),
      after: (ms) => after(world, ms),
      sites: () =>
        this.#masters.map((
          { cluster: { leader, followers } },
        ) => [leader.name, ...followers.map(({ name }) => name)]),
      wallMs: () => wallStart + world.now,
      acknowledged: (write) => void this.#acknowledged.push(write),
      async request(from, machine, { path, ...rest }) {
        const reply = await network.request(from, null, `${urlOf(machine)}${path}`, rest);
        return reply.kind === "answer" ? reply.answer : null;
      },
    };
  }
}

/** Null: it had not started. */
function endOf(last: Observed | null): { readonly databaseId: string; readonly seq: number } | null {
  return last === null ? null : { databaseId: last.storage.databaseId, seq: last.storage.log.last.seq };
}
