/** One world from its seed to its end: trouble, then peace, then the reckoning. */
import { rmSync } from "node:fs";
import { messageOf } from "../../src/base/errors.ts";
import type { Tasks } from "../../src/runtime/workers.ts";
import { Checks } from "./checks.ts";
import { Client } from "./client.ts";
import type { ClientWorld } from "./client_world.ts";
import { Cluster, httpPort, type Machine } from "./cluster.ts";
import { comeToRest } from "./come_to_rest.ts";
import { FeedClient } from "./feed_client.ts";
import { hook, taskHooks } from "./hooks.ts";
import { traceMachines } from "./machine_trace.ts";
import { Nemesis } from "./nemesis.ts";
import { Operator } from "./operator.ts";
import { plants } from "./plants.ts";
import { Restores } from "./restores.ts";
import type { SeedResult } from "./result.ts";
import { diskRoot } from "./sim_disk.ts";
import { SimEtcd } from "./sim_etcd.ts";
import { SimNetwork } from "./sim_net.ts";
import { applyLimits } from "./small_limits.ts";
import { SimProcess } from "./sim_process.ts";
import { closeConnections, trackConnections } from "./sqlite_connections.ts";
import { StepHash } from "./step_hash.ts";
import { type Begin, watchTransitions } from "./transitions_watch.ts";
import { watchStorages } from "./storage_watch.ts";
import { type Swarm, swarmOf } from "./swarm.ts";
import { type Observed, Violation } from "./types.ts";
import { collectionNames } from "./workload.ts";
import { World } from "./world.ts";

export interface RunOptions {
  /** Name of a planted fault. */
  readonly plant: string | null;
  /** Sum over all steps of the machines. */
  readonly hash: boolean;
  /** Leaves the data files of a failed world. */
  readonly keep: boolean;
  readonly trace: ((line: string) => void) | null;
  /** A world of plain documents. Default: as the seed has it. */
  readonly plain?: boolean;
}

/** Never rejects: what goes wrong is the result's violation. */
export async function runSeed(seed: number, options: RunOptions): Promise<SeedResult> {
  const swarm = swarmOf(seed, options.plain),
    world = new World(seed),
    root = diskRoot(),
    startedAt = performance.now();
  const hash = options.hash ? new StepHash() : null, { trace } = options;
  world.trace = trace;
  world.timersFirst = swarm.timersFirst;
  world.eventsMax = 200_000;
  traceMachines(
    hash === null && trace === null ? null : (line) => {
      if (trace === null) hash?.add(line());
      else world.say(() => `${nameOf(world)} ${line()}`);
    },
  );
  const undo = [applyLimits(swarm.limits), plants[options.plant ?? ""]?.plant ?? (() => {})];
  const planted = undo.pop() as () => (() => void) | void;
  const takeOut = planted() ?? (() => {});
  const tracked = trackConnections(world), run = new Run(world, swarm, root);
  const endWatch = watchStorages((storage) => run.committed(storage));
  const endBegins = watchTransitions((begin) => run.begins(begin)), endTasks = hook(taskHooks, run.tasks);
  let violation: SeedResult["violation"] = null;
  try {
    await run.all();
  } catch (thrown) {
    violation = violationOf(thrown);
  }
  run.close();
  endTasks();
  endBegins();
  endWatch();
  tracked.stop();
  takeOut();
  for (const each of undo) each();
  traceMachines(null);
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

function nameOf({ running }: World): string {
  return running === null ? "world" : (running as { name?: string }).name ?? "?";
}

function violationOf(thrown: unknown): NonNullable<SeedResult["violation"]> {
  const checker = thrown instanceof Violation ? thrown.checker : "uncaught";
  const stack = thrown instanceof Error ? thrown.stack ?? thrown.message : String(thrown);
  return { checker, message: messageOf(thrown), stack };
}

class Run {
  readonly #world: World;
  readonly #swarm: Swarm;
  readonly #network: SimNetwork;
  readonly #checks: Checks;
  /** Null: nobody is asked who may lead. */
  readonly #etcd: SimEtcd | null;
  readonly #cluster: Cluster;
  readonly #nemesis: Nemesis;
  readonly #operator: Operator;
  readonly #clients: readonly Client[];
  readonly #feeds: readonly FeedClient[];

  constructor(world: World, swarm: Swarm, root: string) {
    this.#world = world;
    this.#swarm = swarm;
    const network = this.#network = new SimNetwork(world),
      checks = this.#checks = new Checks(world, swarm, () => this.#cluster);
    network.streams = swarm.streams;
    const etcd = this.#etcd = swarm.authority === "etcd" ? new SimEtcd(world, network) : null;
    if (etcd !== null) {
      etcd.store.onChange = (...change) => this.#guarded(() => checks.leases?.changed(...change));
    }
    // From the end of a process on, or from the moment it is told to stop, until the next one's node is up.
    const away = new Map<Machine, () => void>();
    const up = (machine: Machine): void => {
      away.get(machine)?.();
      away.delete(machine);
    };
    const down = (machine: Machine): void => {
      if (!away.has(machine)) away.set(machine, checks.troubles.at(machine.name, "the end of"));
    };
    const cluster = this.#cluster = new Cluster({
      world,
      network,
      swarm,
      root,
      etcdUrl: etcd?.url ?? null,
      onProcess: (machine, forced) => {
        if (forced) checks.leadership.begins(machine.name, { cause: "forced", over: false });
      },
      onStop: down,
      onStart: (machine, node) => {
        up(machine);
        checks.started(node);
        restores.started(machine, node.storage.log.last.seq);
      },
      onEnd: (machine, last, image) => {
        down(machine);
        this.#guarded(() => checks.ended(machine));
        this.#nemesis.ended(machine);
        return last !== null && restores.ended(machine, last.storage, image);
      },
    });
    const restores = new Restores({
      world,
      cluster,
      history: checks.history,
      hold: (machine, on) => this.#nemesis.hold(machine, on),
      onRestored: (machine) => checks.leadership.restored(machine.name),
    });
    const hosts = Array.from({ length: swarm.clients }, (_, i) => `c${i + 1}`);
    const operator = this.#operator = new Operator(this.#clientWorld());
    this.#nemesis = new Nemesis({
      world,
      network,
      cluster,
      etcd,
      swarm,
      operator,
      restores,
      hosts,
      handovers: checks.handovers,
      troubles: checks.troubles,
      onCopy: (machine) => checks.history.rolledBack(machine.name, "installed"),
    });
    this.#clients = hosts.map((name) => new Client(this.#clientWorld(), name, swarm.workload));
    this.#feeds = this.#feedClients(hosts);
    this.#tuneLinks(hosts);
    world.afterEvent = (owner) => {
      if (owner === null) return;
      const machine = cluster.machines.find(({ process }) => process === owner);
      if (machine !== undefined) checks.look(machine, cluster);
    };
  }

  async all(): Promise<void> {
    const world = this.#world, { machines } = this.#cluster;
    await this.#etcd?.start();
    for (const machine of machines) machine.start();
    for (const client of [...this.#clients, ...this.#feeds]) {
      client.run().catch((thrown) => world.fail(thrown));
    }
    this.#nemesis.start();
    await world.pass(this.#swarm.faultMs);
    world.say(() => "peace");
    this.#nemesis.stop();
    this.#network.heal();
    this.#tuneLinks([], { flipRate: 0 });
    await comeToRest({
      world,
      cluster: this.#cluster,
      etcd: this.#etcd,
      checks: this.#checks,
      nemesis: this.#nemesis,
      operator: this.#operator,
      operation: this.#nemesis.operation,
      clients: this.#clients,
      feeds: this.#feeds,
      swarm: this.#swarm,
    });
  }

  readonly tasks = (table: Tasks): Tasks => this.#checks.tasks(table);

  /** A storage of the running process has committed something. */
  committed(storage: Observed["storage"]): void {
    const process = this.#world.running;
    if (!(process instanceof SimProcess) || !process.alive) return;
    const { machine, name } = process;
    this.#guarded(() => this.#checks.history.observe({ machine, process: name, storage }));
  }

  /** The node of the running process is about to begin a run. */
  begins(begin: Begin): void {
    const process = this.#world.running;
    if (!(process instanceof SimProcess) || !process.alive) return;
    const machine = this.#cluster.machine(process.machine);
    this.#guarded(() => this.#checks.begins(machine, begin, this.#cluster));
  }

  /** Nothing of the world stays open. */
  close(): void {
    this.#etcd?.process?.die("kill");
    for (const machine of this.#cluster.machines) {
      const { process } = machine;
      process?.die("kill");
      machine.disk.remove();
      if (process !== null) closeConnections(process);
    }
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    const add = (group: string, all: Readonly<Record<string, number>>): void => {
      for (const [name, count] of Object.entries(all)) {
        if (count > 0) counts[`${group}.${name}`] = (counts[`${group}.${name}`] ?? 0) + count;
      }
    };
    add("faults", this.#nemesis.injected as Record<string, number>);
    add("network", { ...this.#network.figures });
    for (const { counts } of this.#clients) {
      add("requests", counts.asked);
      add("writes", counts.outcomes);
      add("answers", counts.answers);
    }
    for (const { disk, processes, deaths } of this.#cluster.machines) {
      add("disk", disk.injected);
      add("nodes", { processes });
      add("deaths at", Object.fromEntries(deaths));
    }
    add("nodes", this.#checks.counts);
    add("runs by", this.#checks.leadership.counts);
    add("handovers", this.#checks.handovers.counts);
    add("etcd", this.#checks.leases?.counts ?? {});
    add("feeds", this.#checks.feeds?.counts ?? {});
    return counts;
  }

  #tuneLinks(hosts: readonly string[], also: { flipRate?: number } = {}): void {
    const { link: { delayMs, splitRate }, flipRate } = this.#swarm;
    const machines = this.#cluster.machines.map(({ name }) => name);
    const names = [...machines, ...hosts, "operator", ...(this.#etcd === null ? [] : [this.#etcd.machine])];
    for (const from of names) {
      for (const to of names) {
        if (from === to) continue;
        Object.assign(this.#network.link(from, to), {
          delayMs: { ...delayMs },
          splitRate,
          flipRate,
          ...also,
        });
      }
    }
  }

  /** What `run` throws ends the world, wherever it was called. */
  #guarded(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#world.fail(thrown);
    }
  }

  /** Each asks from one of the clients' machines. */
  #feedClients(hosts: readonly string[]): readonly FeedClient[] {
    const { feeds } = this.#checks, network = this.#network, world = this.#clientWorld();
    if (feeds === null) return [];
    return Array.from({ length: this.#swarm.feeds }, (_, i) =>
      new FeedClient(
        {
          get now() {
            return world.now;
          },
          chance: world.chance,
          after: world.after,
          machines: world.machines,
          url: world.url,
          follow: (from, url, { path, ...rest }, taker) => network.follow(from, `${url}${path}`, rest, taker),
          fail: (thrown) => this.#world.fail(thrown),
        },
        feeds,
        {
          name: `f${i + 1}`,
          host: hosts[i % hosts.length] as string,
          collections: collectionNames(this.#swarm.workload),
        },
      ));
  }

  #clientWorld(): ClientWorld {
    const world = this.#world, cluster = this.#cluster, checks = this.#checks;
    let answeredAt: number | null = null;
    return {
      get now() {
        return world.now;
      },
      chance: (name) => world.chance(name),
      request: async (from, url, ask) => {
        const { path, ...rest } = ask;
        const reply = await this.#network.request(from, null, `${url}${path}`, rest);
        answeredAt = reply.kind === "answer" ? reply.answeredAt ?? null : null;
        return reply;
      },
      after: (ms) => new Promise((resolve) => void world.at(null, ms, resolve)),
      machines: () => cluster.machines.map(({ name }) => name),
      leader: () => cluster.leader.name,
      url: (machine) => `http://${machine}:${httpPort}`,
      required: () => this.#swarm.required,
      asksIndex: (...of) => checks.makings.asks(...of),
      written: (write) => this.#guarded(() => checks.written(write, answeredAt)),
      // What became of the node while the answer was on its way was not in it.
      read: (read) => this.#guarded(() => checks.read({ ...read, knownAt: answeredAt ?? read.knownAt })),
      // What became of the node while the answer was on its way was not in it.
      saw: (seen) => this.#guarded(() => checks.saw({ ...seen, knownAt: answeredAt ?? seen.knownAt })),
      forwards: this.#swarm.forwardWrites,
      behind: (read) => this.#guarded(() => checks.behind({ ...read, knownAt: answeredAt ?? read.knownAt })),
      unexpected: (violation) => {
        // A node whose disk has failed answers reads so until it has ended.
        if (this.#swarm.faults.failedCommit > 0 && /"code":"internal"/.test(violation.message)) return;
        world.fail(violation);
      },
    };
  }
}
