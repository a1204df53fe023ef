/** One master: a node, or a leader with a follower, and what its operator wants it to do. */
import { documentIdOf } from "../../src/base/ids.ts";
import { systemDocument } from "../../src/multimaster/system_documents.ts";
import type { Answer, Ask, Reply } from "./types.ts";
import { Violation } from "./types.ts";
import { Cluster, type ClusterOptions, httpPort, type Machine } from "./cluster.ts";
import type { Edge, MastersSwarm, Site } from "./masters_swarm.ts";
import { Operator } from "./operator.ts";
import type { SimNetwork } from "./sim_net.ts";
import type { World } from "./world.ts";

export interface Master {
  readonly site: Site;
  readonly cluster: Cluster;
}

export function masterOf(site: Site, swarm: MastersSwarm, options: Omit<ClusterOptions, "swarm">): Master {
  const { machine, requestMs } = swarm, { machines, silenceMs } = site;
  const cluster = new Cluster({
    ...options,
    swarm: { ...machine, machines: machines.length, silenceMs, candidates: silenceMs === null ? [] : [1] },
    names: machines,
    settings: { replicationBundle: true, masterRequestMs: requestMs },
  });
  return { site, cluster };
}

export function urlOf(machine: string): string {
  return `http://${machine}:${httpPort}`;
}

const destinationsId = "Replication/Destinations", configId = "Replication/Config";

/** What operators do at the masters, over HTTP. What they want is written again where it is lost or was changed. */
export class MastersOperator {
  readonly leadership: Operator;
  /** To whom each site is to send. */
  edges: readonly Edge[];
  /** The document `Raven/Replication/Config`; null: there is to be none. */
  config: string | null = null;
  readonly #network: SimNetwork;
  readonly #masters: readonly Master[];

  constructor(world: World, network: SimNetwork, masters: readonly Master[], edges: readonly Edge[]) {
    this.#network = network;
    this.#masters = masters;
    this.edges = edges;
    this.leadership = new Operator({
      url: urlOf,
      request: (from, url, { path, ...rest }) => network.request(from, null, `${url}${path}`, rest),
      unexpected: (violation) => world.fail(violation),
    });
  }

  destinationsOf(site: string): string {
    const Destinations = this.edges.filter(({ from }) => from === site).map(
      ({ to, transitive, collections }) => {
        const address = this.#masters.find((master) => master.site.name === to)?.site.address as string;
        return {
          Url: urlOf(address),
          TransitiveReplicationBehavior: transitive ? "Replicate" : "None",
          ...(collections === null ? {} : { SpecifiedCollections: collections }),
        };
      },
    );
    return JSON.stringify({ Destinations });
  }

  /** Asks the site's leader; null: no answer came. */
  async ask({ cluster }: Master, { path, ...rest }: Ask): Promise<Answer | null> {
    const { name } = cluster.leader;
    const reply: Reply = await this.#network.request("operator", null, `${urlOf(name)}${path}`, rest);
    if (reply.kind !== "answer") return null;
    const { status, text } = reply.answer;
    if (status === 500) throw new Violation("operator", `${rest.method} ${path} of ${name}: ${text}`);
    return reply.answer;
  }

  /** True when the site is told what it should do. */
  async ensure(master: Master): Promise<boolean> {
    const told = await this.#put(master, destinationsId, this.destinationsOf(master.site.name));
    return (this.config === null || await this.#put(master, configId, this.config)) && told;
  }

  async #put(master: Master, id: string, body: string): Promise<boolean> {
    const { node, failing, stopping } = master.cluster.leader;
    if (node === null || failing || stopping) return false;
    // Most of the time it is there: that is seen without asking.
    if (node.storage.read((view) => systemDocument(view, documentIdOf(id))) === body) return true;
    const answer = await this.ask(master, { method: "PUT", path: `/docs/Raven/${id}`, body });
    return answer !== null && answer.status < 300;
  }

  /** Each machine that runs. */
  running(): readonly Machine[] {
    return this.#masters.flatMap(({ cluster }) => [...cluster.running()]);
  }
}
