/** The network of the simulated cluster: TCP and HTTP between machines, and everything that can go wrong with them. */
import type { HttpHost } from "../../src/runtime/http_host.ts";
import type { Net } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Link } from "./links.ts";
import { Stream, type StreamTaker } from "./feed_stream.ts";
import { NetCore, type NetFigures } from "./net_core.ts";
import { Connections, type Taker } from "./sim_connect.ts";
import { type HttpAsk, SimHttp } from "./sim_http.ts";
import type { SimProcess } from "./sim_process.ts";
import type { Reply } from "./types.ts";
import type { Owner, World } from "./world.ts";

/** Chooses by the machine that connected and the one that was connected to. */
export type PickConnection = (from: string, to: string) => boolean;

export class SimNetwork {
  readonly #core: NetCore<Taker>;
  readonly #connections: Connections;
  readonly #http: SimHttp;

  constructor(world: World) {
    this.#core = new NetCore(world);
    this.#connections = new Connections(this.#core);
    this.#http = new SimHttp(this.#core);
  }

  /** Counts by kind, since the world began. */
  get figures(): Readonly<NetFigures> {
    return this.#core.figures;
  }

  /** Connections of which at least one end is not over. */
  get openConnections(): number {
    return this.#connections.open.size;
  }

  /** Requests whose client still waits. */
  get openRequests(): number {
    return this.#http.open.size;
  }

  /** True: connections have streams only, so that who uses them takes that path. Default false. */
  get streams(): boolean {
    return this.#connections.streams;
  }

  set streams(only: boolean) {
    this.#connections.streams = only;
  }

  /** How long a client waits for the answer to a request, virtual ms. Default 30,000. */
  get timeoutMs(): number {
    return this.#http.timeoutMs;
  }

  set timeoutMs(ms: number) {
    this.#http.timeoutMs = ms;
  }

  /** One direction between two machines; made at its first use. */
  link(from: string, to: string): Link {
    return this.#core.link(from, to);
  }

  /** Those in use. */
  get links(): Iterable<Link> {
    return this.#core.links;
  }

  /** Heals every link. */
  heal(): void {
    for (const link of this.#core.links) link.cut = false;
  }

  /** The machine of `process` is up from now on. */
  net(process: SimProcess): Net {
    this.#core.join(process);
    return {
      listen: async (options) => this.#connections.listen(process, options),
      connect: (options) => this.#connections.connect(process, options),
    };
  }

  http(process: SimProcess): HttpHost {
    this.#core.join(process);
    return { serve: async (options) => this.#http.serve(process, options) };
  }

  fetch(process: SimProcess): Runtime["fetch"] {
    this.#core.join(process);
    return this.#http.fetch(process);
  }

  /**
   * Sends a request from the machine `from` and reads the whole answer; never rejects. The reply comes in an event of
   * `owner`. A request that waits on its way arrives even when the client gave up.
   */
  request(from: string, owner: Owner | null, url: string, ask: HttpAsk): Promise<Reply> {
    return this.#http.request(from, owner, url, ask);
  }

  /** Sends a request from the machine `from`, whose answer comes piece by piece and may have no end. */
  follow(from: string, url: string, ask: HttpAsk, taker: StreamTaker): Stream {
    return new Stream(this.#http, from, url, ask, taker);
  }

  /**
   * Breaks the open connections and requests between two machines that `pick` chooses, for both ends: what was under way is
   * lost. How many.
   */
  reset(pick: PickConnection): number {
    let count = 0;
    for (const [client, server] of [...this.#connections.open]) {
      const from = client.process.machine, to = server.process.machine;
      if (from === to || !pick(from, to)) continue;
      count++;
      client.sever();
      server.sever();
      this.#core.world.say(() => `connection ${from}>${to} broken`);
    }
    for (const exchange of [...this.#http.open]) {
      if (exchange.from === exchange.to || !pick(exchange.from, exchange.to)) continue;
      count++;
      exchange.sever();
    }
    return count;
  }

  /**
   * One side, by chance, of every open connection that `pick` chooses is forgotten on the way: nothing arrives from there or at
   * it any more. What the other side sends vanishes, or by chance brings it a reset after a while. How many.
   */
  stale(pick: PickConnection): number {
    const { chance, figures, world } = this.#core;
    let count = 0;
    for (const [client, server] of [...this.#connections.open]) {
      const from = client.process.machine, to = server.process.machine;
      if (from === to || !pick(from, to)) continue;
      count++;
      const [forgotten, other] = chance.flip(0.5) ? [client, server] : [server, client];
      forgotten.mute(false);
      other.mute(chance.flip(0.5));
      world.say(() => `connection ${from}>${to} forgotten at ${forgotten.process.machine}`);
    }
    figures.stale += count;
    return count;
  }

  /** Who connects to `machine` waits. A process that ends with `power` does this. */
  machineDown(machine: string): void {
    this.#core.machineDown(machine);
  }

  /** Its system answers again. A new process on it does this. */
  machineUp(machine: string): void {
    this.#core.machineUp(machine);
  }
}
