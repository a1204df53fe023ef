/** Several nodes and one etcd in virtual time, with every fault at hand: never do two hold the lease at the same moment. */
import assert from "node:assert/strict";
import test from "node:test";
import { databaseIdOf, epochOf } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/logger.ts";
import type { Authority } from "../../src/cluster/authority.ts";
import { etcdAuthority } from "../../src/cluster/authority/etcd.ts";
import { plainFiles } from "../tool/plain_files.ts";
import { claimOf, idOf, nodeOf } from "../tool/authority_rig.ts";
import type { Chance } from "./chance.ts";
import { SimEtcd } from "./sim_etcd.ts";
import { SimNetwork } from "./sim_net.ts";
import { type MachineClock, SimProcess } from "./sim_process.ts";
import { World } from "./world.ts";

const databaseId = databaseIdOf("d".repeat(32)), silenceMs = 4_000;

/** A node that takes the lease whenever it may, and gives it away when it is told to. */
class Node {
  readonly letter: string;
  readonly clock: MachineClock;
  process: SimProcess;
  authority: Authority;
  /** Under which it writes; null: it does not. */
  epoch: number | null = null;
  taken = 0;
  readonly #cluster: Nodes;
  #processes = 0;

  constructor(cluster: Nodes, letter: string, rate: number) {
    this.letter = letter;
    this.clock = { rate, wallOffsetMs: 0 };
    this.#cluster = cluster;
    [this.process, this.authority] = this.start();
  }

  get writes(): boolean {
    return this.process.alive && this.epoch !== null && this.authority.check() === null;
  }

  start(): [SimProcess, Authority] {
    const { world, network, etcd } = this.#cluster;
    network.machineUp(this.letter);
    this.epoch = null;
    this.process = new SimProcess({
      world,
      machine: this.letter,
      number: this.#processes++,
      clock: this.clock,
      net: (own) => network.net(own),
      http: (own) => network.http(own),
      fetch: (own) => network.fetch(own),
      files: () => plainFiles,
      crashPoint: () => {},
    });
    const { runtime } = this.process, nodeId = idOf(this.letter);
    this.authority = etcdAuthority({
      runtime,
      logger: silentLogger,
      nodeId,
      databaseId: () => databaseId,
      endpoints: [etcd.url],
      silenceMs,
    });
    this.authority.watch(() => void this.take());
    return [this.process, this.authority];
  }

  async take(from?: { readonly node: Node; readonly epoch: number }): Promise<void> {
    const { process } = this,
      place = from === undefined ? {} : { from: { ...nodeOf(from.node.letter), epoch: epochOf(from.epoch) } };
    const epoch = await this.authority.take(claimOf(this.letter, place)).catch(() => null);
    if (epoch === null || !process.alive) return;
    this.#cluster.began(epoch, this);
    this.epoch = epoch;
    this.taken++;
  }
}

class Nodes {
  readonly world: World;
  readonly network: SimNetwork;
  readonly etcd: SimEtcd;
  readonly all: readonly Node[];
  readonly #epochs = new Map<number, Node>();

  constructor(seed: number) {
    this.world = new World(seed);
    this.network = new SimNetwork(this.world);
    this.etcd = new SimEtcd(this.world, this.network);
    const draw = this.world.chance("rates");
    this.all = [..."abc"].map((letter) => new Node(this, letter, 1 + draw.between(-0.02, 0.02)));
    this.world.afterEvent = () => {
      const writing = this.all.filter(({ writes }) => writes).map(({ letter }) => letter);
      assert.ok(writing.length < 2, `seed ${seed}: ${writing.join(" and ")} write at ${this.world.now}`);
    };
  }

  began(epoch: number, node: Node): void {
    assert.ok(!this.#epochs.has(epoch), `epoch ${epoch} was given twice`);
    this.#epochs.set(epoch, node);
  }

  get leader(): Node | undefined {
    return this.all.find(({ writes }) => writes);
  }

  fault(draw: Chance): void {
    const { network, etcd, world } = this, node = draw.pick(this.all);
    const kind = draw.below(9);
    if (kind === 0) network.link(node.letter, etcd.machine).cut = true;
    else if (kind === 1) network.link(etcd.machine, node.letter).cut = true;
    else if (kind === 2) network.heal();
    else if (kind === 3) node.process.work(draw.between(0, 8_000));
    else if (kind === 4) node.clock.wallOffsetMs += draw.between(-3_000, 3_000);
    else if (kind === 5) {
      node.process.die(draw.flip(0.5) ? "kill" : "power");
      node.start();
    } else if (kind === 6) etcd.end(draw.flip(0.5) ? "kill" : "power");
    else if (kind === 7) void etcd.start();
    else void this.#handOver(draw);
    world.say(() => `fault ${kind} at ${node.letter}`);
  }

  /** The leader stops writing for good; sometimes it takes the place anew at the same time. */
  async #handOver(draw: Chance): Promise<void> {
    const { leader } = this, target = draw.pick(this.all);
    if (leader === undefined || target === leader || !target.process.alive) return;
    const epoch = leader.epoch as number;
    leader.epoch = null;
    const again = draw.flip(0.5);
    await Promise.all([target.take({ node: leader, epoch }), again ? leader.take() : null]);
  }
}

test("never two at the same moment, no epoch twice, and one again when all is well", async () => {
  let taken = 0;
  for (let seed = 1; seed <= 15; seed++) {
    const nodes = new Nodes(seed), { world, network, etcd } = nodes, draw = world.chance("faults");
    await etcd.start();
    for (let step = 0; step < 40; step++) {
      await world.pass(draw.between(100, 5_000));
      nodes.fault(draw);
    }
    network.heal();
    await etcd.start();
    // Whose handover came to nothing still has the place, and takes it anew before it writes.
    for (const node of nodes.all) {
      if (node.epoch === null && node.authority.check() === null) void node.take();
    }
    const there = await world.until(() => nodes.leader !== undefined, 60_000);
    assert.ok(there, `seed ${seed}: nobody leads`);
    taken += nodes.all.reduce((sum, node) => sum + node.taken, 0);
    for (const { process } of nodes.all) process.die("kill");
  }
  assert.ok(taken > 40, `only ${taken} leaderships in all`);
});
