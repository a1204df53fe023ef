/** The machines of a world: each has a disk, a clock, and at most one process, which is a whole node. */
import { DfdbError, messageOf } from "../../src/base/errors.ts";
import type { Logger } from "../../src/base/logger.ts";
import { type RunningNode, startNode } from "../../src/node/node.ts";
import { readSettings } from "../../src/node/read_settings.ts";
import type { Settings } from "../../src/node/settings.ts";
import type { DiskImage } from "./disk_image.ts";
import { nodeHooks } from "./hooks.ts";
import { SimDisk } from "./sim_disk.ts";
import type { SimNetwork } from "./sim_net.ts";
import type { Death, MachineClock } from "./sim_process.ts";
import { SimProcess } from "./sim_process.ts";
import { closeConnections } from "./sqlite_connections.ts";
import type { Swarm } from "./swarm.ts";
import { type Observed, Violation } from "./types.ts";
import type { World } from "./world.ts";

export const httpPort = 5000;
export const wirePort = 5500;

/** Part of the command line that may change between starts. What a node was, it is again, whatever this says, unless it is forced. */
export type Command = { readonly role: "leader" } | { readonly role: "follower"; readonly leader: string };

export interface ClusterOptions {
  readonly world: World;
  readonly network: SimNetwork;
  readonly swarm: Swarm;
  /** Folder for the data of all machines. */
  readonly root: string;
  /** Where the etcd answers that says who may lead; null: there is none. */
  readonly etcdUrl: string | null;
  /** Names of the machines, the first one leads at first. Default: `n1`, `n2`, ... */
  readonly names?: readonly string[];
  /** What its nodes have besides. */
  readonly settings?: Partial<Settings>;
  /** A process of `machine` begins; `forced`: with the role of its command line. */
  readonly onProcess?: (machine: Machine, forced: boolean) => void;
  /** A process of `machine` is told to stop. */
  readonly onStop?: (machine: Machine) => void;
  /** A process of `machine` has ended; `last` as it was, null before it had started. True: the image is kept. */
  readonly onEnd: (machine: Machine, last: Observed | null, image: DiskImage) => boolean;
  /** A node has started; everything that its log holds is there. */
  readonly onStart: (machine: Machine, node: Observed) => void;
}

/** What a node may not start with while its disk is in trouble. */
const diskTrouble: ReadonlySet<string> = new Set(["disk_full", "io_error"]);

/** Within which a process that was told to stop ends, ms; what the world holds its thread for comes on top. */
const stopMs = 60_000;

/** Labels right after a COMMIT: power that goes there may have gone in the middle of it. */
const afterCommit: ReadonlySet<string> = new Set([
  "commit:after",
  "trim:after",
  "open:created",
  "install:after",
]);

export class Machine {
  readonly name: string;
  readonly disk: SimDisk;
  readonly clock: MachineClock;
  command: Command;
  /** The next start takes the role of the command line, once. */
  forceRole = false;
  /** Silence after which it takes over, by its command line, ms; null: never. */
  silenceMs: number | null = null;
  process: SimProcess | null = null;
  node: RunningNode | null = null;
  observed: Observed | null = null;
  /** Its disk has failed: it cannot be read any more, and the process is about to end. */
  failing = false;
  /** Its process was told to stop, and has not ended. */
  stopping = false;
  /** The next label at which the process is to die. */
  crashAt: { readonly label: RegExp; skip: number; readonly how: Death } | null = null;
  /** Called at each label. */
  atLabel: ((label: string) => void) | null = null;
  /** How often a process died at which label. */
  readonly deaths = new Map<string, number>();
  /** Why the last start failed; null: it did not. */
  startFailure: DfdbError | null = null;
  readonly #options: ClusterOptions;
  #processes = 0;

  constructor(name: string, command: Command, options: ClusterOptions) {
    const { world, root, swarm } = options, draw = world.chance(`clock ${name}`);
    this.name = name;
    this.command = command;
    this.#options = options;
    this.disk = new SimDisk(world, name, `${root}/${name}`);
    this.clock = {
      rate: 1 + draw.between(-swarm.drift, swarm.drift),
      wallOffsetMs: draw.between(-2_000, 2_000),
    };
  }

  /** How many processes ran here. */
  get processes(): number {
    return this.#processes;
  }

  /** Starts a process with the machine's command line. */
  start(): void {
    if (this.process !== null) return;
    const { world, network, swarm } = this.#options;
    network.machineUp(this.name);
    const process = new SimProcess({
      world,
      machine: this.name,
      number: this.#processes++,
      clock: this.clock,
      net: (own) => network.net(own),
      http: (own) => network.http(own),
      fetch: (own) => network.fetch(own),
      files: (own) => this.disk.files(own),
      crashPoint: (own, label) => this.#atLabel(own, label),
      loopMs: swarm.loopMs,
    });
    this.process = process;
    this.startFailure = null;
    const forced = this.forceRole;
    world.say(() => `${process.name} starts as ${JSON.stringify(this.command)}${forced ? ", forced" : ""}`);
    const settings = this.#settings();
    this.forceRole = false;
    this.#options.onProcess?.(this, forced);
    process.later(1, () => void this.#run(process, settings));
  }

  async #run(process: SimProcess, settings: Settings): Promise<void> {
    const { world } = this.#options;
    try {
      const node = await startNode(process.runtime, settings, this.#logger(process));
      if (!process.alive) return;
      for (const own of nodeHooks) own(node);
      this.node = node;
      this.observed = this.#observe(process, node);
      this.#options.onStart(this, this.observed);
      const error = await node.failed;
      this.failing = true;
      world.say(() => `${process.name} failed: ${error.code} ${error.message}`);
      await node.hangUp();
      this.end("kill");
    } catch (thrown) {
      if (!process.alive) return;
      const code = thrown instanceof DfdbError ? thrown.code : "internal";
      if (!diskTrouble.has(code)) {
        return world.fail(
          new Violation("start", `${process.name} could not start: ${code} ${messageOf(thrown)}`),
        );
      }
      world.say(() => `${process.name} could not start: ${code}`);
      this.startFailure = thrown as DfdbError;
      this.end("kill");
    }
  }

  /** SIGTERM; resolves when the process has ended. False: it did not stop in time. */
  async stop(): Promise<boolean> {
    const { process, node } = this, { world } = this.#options;
    if (process === null || node === null) {
      this.end("kill");
      return true;
    }
    world.say(() => `${process.name} stops`);
    this.stopping = true;
    this.#options.onStop?.(this);
    let inTime = true;
    await new Promise<void>((resolve) => {
      process.atDeath(() => resolve());
      process.later(0, () => {
        node.stop().then(resolve, (thrown) => {
          // A stop that fails leaves what a crash leaves; the disk may be the reason.
          world.say(() => `${process.name} stopped badly: ${messageOf(thrown)}`);
          resolve();
        });
      });
      let { stalledMs } = process;
      const look = (): void => {
        // What came after it was told to stop.
        const ms = process.stalledMs - stalledMs;
        stalledMs += ms;
        if (process.alive && ms > 0) return void world.at(null, ms, look);
        if (process.alive) inTime = false;
        resolve();
      };
      world.at(null, stopMs + Math.max(0, process.busyUntil - world.now), look);
    });
    if (process.alive) this.end("kill");
    return inTime;
  }

  /** The process dies now; the next one finds what the disk holds. */
  end(how: Death, inCommit = false): void {
    const { process, observed } = this, { world, network } = this.#options;
    if (process === null) return;
    const image = this.disk.image(how, inCommit);
    process.die(how);
    if (how === "power") network.machineDown(this.name);
    world.say(() => `${process.name} has ended (${how})`);
    const kept = this.#options.onEnd(this, observed, image);
    this.process =
      this.node =
      this.observed =
      this.crashAt =
        null;
    this.failing = this.stopping = false;
    this.disk.mount(image);
    if (!kept) image.drop();
    // It may be in the middle of a call.
    world.at(null, 0, () => closeConnections(process));
  }

  #atLabel(process: SimProcess, label: string): void {
    if (process !== this.process) return;
    this.atLabel?.(label);
    const { crashAt } = this;
    if (crashAt !== null && crashAt.label.test(label) && crashAt.skip-- <= 0) {
      this.deaths.set(label, (this.deaths.get(label) ?? 0) + 1);
      this.#options.world.say(() => `${process.name} dies at ${label} (${crashAt.how})`);
      return this.end(crashAt.how, crashAt.how === "power" && afterCommit.has(label));
    }
    this.disk.crashPoint(process, label);
  }

  #observe(process: SimProcess, node: RunningNode): Observed {
    const { machine, name } = process;
    return {
      machine,
      process: name,
      nodeId: node.nodeId,
      storage: node.storage,
      followers: () => node.replication.server?.followers() ?? [],
      acknowledged: () => node.replication.server?.durable().reduce((sum, { seq }) => sum + seq, 0) ?? 0,
    };
  }

  #settings(): Settings {
    const { swarm, etcdUrl } = this.#options, { command } = this;
    const flags: Record<string, string | true> = {
      "data-dir": this.disk.directory,
      "node-name": this.name,
      "bind-all": true,
      "insecure-dev-mode": true,
      "replication-bind": "0.0.0.0",
      "replication-role": command.role,
      "replication-port": `${wirePort}`,
      port: `${httpPort}`,
      ...(command.role === "follower" ? { "leader-host": command.leader, "leader-port": `${wirePort}` } : {}),
      ...(swarm.secret ? { "replication-secret": "between us" } : {}),
      ...(this.forceRole ? { "force-role": true } : {}),
      ...(swarm.forwardWrites ? { "forward-writes": true } : {}),
      ...(swarm.required > 0 ? { "min-sync-replicas": `${swarm.required}` } : {}),
      ...(etcdUrl === null ? {} : { "failover-authority": `etcd=${etcdUrl}` }),
    };
    const {
      syncTimeoutMs,
      heartbeatMs,
      logBytesMax,
      logAgeMs,
      snapshotAboveEntries,
      snapshotBytesPerSecond,
      leaderStartMs,
    } = swarm;
    return {
      ...readSettings({ flags, env: {}, file: null }),
      syncTimeoutMs,
      heartbeatMs,
      logBytesMax,
      logAgeMs,
      snapshotAboveEntries,
      snapshotBytesPerSecond,
      leaderStartMs,
      autoFailoverMs: swarm.secret ? this.silenceMs : null,
      ...this.#options.settings,
    };
  }

  #logger({ name }: SimProcess): Logger {
    const { world } = this.#options;
    const line = (level: string) => (message: string, fields?: object) =>
      world.say(() => `${name} ${level}: ${message} ${fields === undefined ? "" : JSON.stringify(fields)}`);
    return { debug: () => {}, info: line("info"), warn: line("warn"), error: line("error") };
  }
}

/** All machines, and who of them leads. */
export class Cluster {
  readonly machines: readonly Machine[];
  #last: Machine;

  constructor(options: ClusterOptions) {
    const names = options.names ?? Array.from({ length: options.swarm.machines }, (_, i) => `n${i + 1}`);
    const [leader] = names as [string];
    this.machines = names.map((name, i) =>
      new Machine(name, i === 0 ? { role: "leader" } : { role: "follower", leader }, options)
    );
    this.#last = this.machines[0] as Machine;
    const { candidates, silenceMs } = options.swarm;
    this.machines.forEach((machine, i) => {
      if (candidates.includes(i)) machine.silenceMs = silenceMs;
    });
  }

  /** Who leads under the highest epoch; while nobody does, who did last. */
  get leader(): Machine {
    for (const machine of this.leaders) {
      if (this.#last === machine) continue;
      if (epochOf(machine) > epochOf(this.#last)) this.#last = machine;
    }
    return this.#last;
  }

  /** All that lead: while a line is cut, or one is told the news, there may be several. */
  get leaders(): readonly Machine[] {
    return this.machines.filter(({ node }) => node !== null && node.role.leadership !== null);
  }

  get followers(): readonly Machine[] {
    const { leader } = this;
    return this.machines.filter((machine) => machine !== leader);
  }

  machine(name: string): Machine {
    const found = this.machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Error(`there is no machine ${name}`);
    return found;
  }

  running(): readonly Machine[] {
    return this.machines.filter(({ node }) => node !== null);
  }
}

/** Under which it leads; -1: it does not. */
function epochOf({ node }: Machine): number {
  return node?.role.leadership?.epoch ?? -1;
}
