/** What goes wrong with the etcd that says who may lead, and with the lines to it. */
import type { Chance } from "./chance.ts";
import type { Cluster, Machine } from "./cluster.ts";
import { cutLinks } from "./line_faults.ts";
import type { Link } from "./links.ts";
import type { SimEtcd } from "./sim_etcd.ts";
import type { SimNetwork } from "./sim_net.ts";
import type { Swarm } from "./swarm.ts";
import type { Troubles } from "./troubles.ts";

export interface EtcdFaultParts {
  readonly network: SimNetwork;
  readonly etcd: SimEtcd;
  readonly cluster: Cluster;
  readonly swarm: Pick<Swarm, "silenceMs">;
  readonly troubles: Troubles;
  readonly draw: Chance;
  /** `undo` after a while, or when all is put right. */
  readonly lasting: (undo: () => void, ms?: number) => void;
  /** Unless somebody keeps it down. */
  readonly start: (machine: Machine) => void;
}

export const etcdFaults = {
  /** It is started again some time; what it holds is there then. */
  etcdAway({ etcd, draw, lasting }: EtcdFaultParts): boolean {
    if (etcd.process === null) return false;
    etcd.end(draw.pick(["kill", "power"]));
    lasting(() => void etcd.start());
    return true;
  },

  etcdStall({ etcd, draw }: EtcdFaultParts): boolean {
    etcd.process?.stall(draw.pick([100, 1_000, 5_000, 20_000]) * draw.float());
    return etcd.process !== null;
  },

  /** From one machine or all, in one direction or both; or the leader from all but clients, for longer than its lease. */
  etcdCut(parts: EtcdFaultParts): boolean {
    const { cluster, swarm, troubles, draw, lasting } = parts, ttlMs = swarm.silenceMs ?? 2_000;
    if (draw.flip(0.6)) {
      const { leader } = cluster,
        links = [...linesOf(parts, leader, true, true), ...linesToOthers(parts, leader)];
      lasting(cutLinks(links, troubles), ttlMs * draw.between(1.5, 5));
      return true;
    }
    const machines = draw.flip(0.2) ? cluster.machines : [oneOf(parts)];
    const there = draw.flip(0.7), back = !there || draw.flip(0.5);
    const links = machines.flatMap((machine) => linesOf(parts, machine, there, back));
    lasting(cutLinks(links, troubles));
    return true;
  },

  /** Answers take a part of a lease's time. A process that starts then takes the place anew, in several calls. */
  etcdSlow(parts: EtcdFaultParts): boolean {
    const { swarm, troubles, draw, lasting, start } = parts, ttlMs = swarm.silenceMs ?? 2_000;
    const most = draw.pick([0.05, 0.15, 0.3, 0.45]) * ttlMs, again = draw.flip(0.6);
    const machines = draw.flip(0.1) ? parts.cluster.machines : [again ? parts.cluster.leader : oneOf(parts)];
    const lastMs = draw.pick([1, 3, 10]) * ttlMs;
    for (const link of machines.flatMap((machine) => linesOf(parts, machine, draw.flip(0.5), true))) {
      const end = troubles.at([link.from, link.to], "slow");
      const heal = link.slow({ delayMs: { min: 0.8 * most, max: most } });
      lasting(() => {
        heal();
        end();
      }, lastMs);
    }
    const [first] = machines;
    if (first !== undefined && again) {
      first.end("kill");
      lasting(() => start(first), 200); // while it has the place still
      // What it believes of its lease nobody else can correct.
      if (draw.flip(0.7)) lasting(cutLinks(linesToOthers(parts, first), troubles), lastMs);
    }
    return true;
  },
};

/** The leader, or any. */
function oneOf({ cluster, draw }: EtcdFaultParts): Machine {
  return draw.flip(0.6) ? cluster.leader : draw.pick(cluster.machines);
}

function linesToOthers({ network, cluster }: EtcdFaultParts, machine: Machine): Link[] {
  const others = cluster.machines.filter((other) => other !== machine);
  return others.flatMap(({ name }) => [network.link(machine.name, name), network.link(name, machine.name)]);
}

function linesOf(
  { network, etcd }: EtcdFaultParts,
  { name }: Machine,
  there: boolean,
  back: boolean,
): Link[] {
  return [
    ...(there ? [network.link(name, etcd.machine)] : []),
    ...(back ? [network.link(etcd.machine, name)] : []),
  ];
}
