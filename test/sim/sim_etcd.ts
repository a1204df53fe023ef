/** An etcd of the simulated world: one machine of its own, reached over the simulated network as `http://etcd:2379`. */
import type { HttpServer } from "../../src/runtime/http_host.ts";
import { EtcdStore } from "./etcd_store.ts";
import { netProcess } from "./net_tools.ts";
import type { SimNetwork } from "./sim_net.ts";
import type { Death, SimProcess } from "./sim_process.ts";
import type { Cancel, World } from "./world.ts";

export const etcdPort = 2379;

const limits = { bodyBytesMax: 0, headersMs: 0, requestMs: 0, keepAliveMs: 0, idleMs: 0 };

export class SimEtcd {
  readonly machine: string;
  /** What it holds outlives its processes. */
  readonly store: EtcdStore;
  readonly #world: World;
  readonly #network: SimNetwork;
  process: SimProcess | null = null;
  #processes = 0;
  #expiry: Cancel | null = null;

  constructor(world: World, network: SimNetwork, machine = "etcd") {
    this.#world = world;
    this.#network = network;
    this.machine = machine;
    this.store = new EtcdStore(() => world.now);
  }

  get url(): string {
    return `http://${this.machine}:${etcdPort}`;
  }

  /** Resolves when it listens; does nothing while it runs. */
  async start(): Promise<void> {
    if (this.process !== null) return;
    this.#network.machineUp(this.machine);
    const process = netProcess(this.#world, this.#network, this.machine, this.#processes++);
    this.process = process;
    this.store.renewAll();
    this.#aim(process);
    this.#world.say(() => `${process.name} starts`);
    await this.#serve(process);
  }

  /** Its process ends; leases do not while nobody watches them. */
  end(how: Death): void {
    const { process } = this;
    this.#expiry?.cancel();
    process?.die(how);
    this.process = null;
    this.#world.say(() => `${process?.name ?? this.machine} has ended (${how})`);
    if (how === "power") this.#network.machineDown(this.machine);
  }

  #serve(process: SimProcess): Promise<HttpServer> {
    const handler = async (request: Request): Promise<Response> => {
      const text = await request.text();
      const { status, body } = this.store.call(new URL(request.url).pathname, JSON.parse(text));
      this.#aim(process);
      return Response.json(body, { status });
    };
    return process.runtime.http.serve({ hostname: "0.0.0.0", port: etcdPort, tls: null, handler, limits });
  }

  /** A lease ends at its time, whether or not anybody asks. */
  #aim(process: SimProcess): void {
    const { nextExpiry } = this.store;
    this.#expiry?.cancel();
    if (nextExpiry === null) return;
    this.#expiry = this.#world.at(process, nextExpiry - this.#world.now, () => {
      this.store.expire();
      this.#aim(process);
    }, "timer");
  }
}
