/** A cluster without clients, faults and checkers, for stories that are told step by step. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { Cluster, httpPort, type Machine } from "./cluster.ts";
import { diskRoot } from "./sim_disk.ts";
import { SimEtcd } from "./sim_etcd.ts";
import { SimNetwork } from "./sim_net.ts";
import { applyLimits } from "./small_limits.ts";
import { closeConnections, trackConnections } from "./sqlite_connections.ts";
import { faultKinds, silenceSwarmOf, type Swarm } from "./swarm.ts";
import type { Answer, Ask } from "./types.ts";
import { World } from "./world.ts";

export interface QuietWorld {
  readonly world: World;
  readonly network: SimNetwork;
  readonly cluster: Cluster;
  /** It runs where `authority` is "etcd"; null: there is none. */
  readonly etcd: SimEtcd | null;
  /** Starts all machines; resolves when their nodes are up. */
  start(): Promise<void>;
  /** Lets virtual time pass until `done`; fails after a virtual minute. */
  until(what: string, done: () => boolean): Promise<void>;
  /** Fails when no answer comes. */
  ask(machine: Machine, ask: Ask): Promise<Answer>;
}

/** Runs `story` on `machines` machines; all is closed and removed afterwards. */
export async function inQuietWorld(
  options: Partial<Swarm> & { readonly seed: number; readonly machines: number },
  story: (own: QuietWorld) => Promise<void>,
): Promise<void> {
  const faults = Object.fromEntries(faultKinds.map((kind) => [kind, 0])) as Swarm["faults"];
  const swarm: Swarm = {
    ...silenceSwarmOf(options.seed),
    required: 0,
    heartbeatMs: 2_000,
    logBytesMax: 1_073_741_824,
    logAgeMs: 604_800_000,
    snapshotAboveEntries: 20_000,
    limits: { stallLookMs: 200 },
    drift: 0,
    faults,
    silenceMs: null,
    forwardWrites: false,
    ...options,
  };
  const world = new World(swarm.seed), network = new SimNetwork(world), root = diskRoot();
  const tracked = trackConnections(world), restoreLimits = applyLimits(swarm.limits);
  const etcd = swarm.authority === "etcd" ? new SimEtcd(world, network) : null;
  const cluster = new Cluster({
    world,
    network,
    swarm,
    root,
    etcdUrl: etcd?.url ?? null,
    onStart: () => {},
    onEnd: () => false,
  });
  const until = async (what: string, done: () => boolean): Promise<void> =>
    assert.ok(await world.until(done, 60_000), `not within a virtual minute: ${what}`);
  const own: QuietWorld = {
    world,
    network,
    cluster,
    etcd,
    until,
    async start() {
      await etcd?.start();
      for (const machine of cluster.machines) machine.start();
      await until("all are up", () => cluster.machines.every(({ node }) => node !== null));
    },
    async ask({ name }, { path, ...rest }) {
      const asked = network.request("client", null, `http://${name}:${httpPort}${path}`, rest);
      let over = false;
      asked.finally(() => over = true);
      await until(path, () => over);
      const reply = await asked;
      assert.equal(reply.kind, "answer");
      return (reply as { answer: Answer }).answer;
    },
  };
  try {
    await story(own);
  } finally {
    etcd?.process?.die("kill");
    for (const { process, disk } of cluster.machines) {
      process?.die("kill");
      disk.remove();
      if (process !== null) closeConnections(process);
    }
    tracked.stop();
    restoreLimits();
    rmSync(root, { recursive: true, force: true });
  }
}
