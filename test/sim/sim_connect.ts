/** How a connection comes about: a request, an answer, and a word that the answer came; any of them may be held up. */
import type { AcceptQueue } from "../../adapters/shared/accept_queue.ts";
import { acceptQueue } from "../../adapters/shared/accept_queue.ts";
import { connectError } from "../../adapters/shared/socket_errors.ts";
import type { Connection, ConnectOptions, Listener, ListenOptions } from "../../src/runtime/net.ts";
import type { Bound, NetCore } from "./net_core.ts";
import type { SimServer } from "./sim_http.ts";
import type { SimProcess } from "./sim_process.ts";
import { SimSocket, streamsOnly } from "./sim_socket.ts";

/** Time after which a system gives up connecting, ms. */
const connectMs = 60_000;

/** Who takes what comes to a port: connections or requests. */
export type Taker = AcceptQueue | SimServer;

/** The open connections of a network. */
export class Connections {
  /** True: connections have streams only. */
  streams = false;
  /** From the end that connected to the other one; until both are over. */
  readonly open = new Map<SimSocket, SimSocket>();
  readonly core: NetCore<Taker>;

  constructor(core: NetCore<Taker>) {
    this.core = core;
  }

  listen(process: SimProcess, { hostname, port }: ListenOptions): Listener {
    const queue = acceptQueue(), { core } = this;
    const bound = core.bind(process, hostname, port, queue);
    return {
      hostname,
      port: bound,
      [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
      close() {
        core.unbind(process, bound);
        queue.close();
        return Promise.resolve();
      },
    };
  }

  connect(process: SimProcess, options: ConnectOptions): Promise<Connection> {
    const { hostname, port, signal } = options;
    if (signal.aborted) return Promise.reject(connectError(hostname, port, signal.reason));
    return new Promise((resolve, reject) => {
      if (process.alive) new Attempt(this, process, options, { resolve, reject });
    });
  }

  /** What the process gets. */
  connectionOf(socket: SimSocket): Connection {
    const connection = socket.connection();
    return this.streams ? streamsOnly(connection) : connection;
  }

  /** The server's end of the connection that `client` asks for. */
  pairUp(client: SimSocket, bound: Bound<Taker>): SimSocket {
    const { core } = this, { process } = bound, { machine } = client.process;
    const server = new SimSocket({
      core,
      process,
      remote: { hostname: core.addressOf(machine, process.machine), port: core.freePort() },
      out: core.link(process.machine, machine).lane(),
      over: () => client.gone && this.open.delete(client),
    });
    this.open.set(client, server);
    server.pairWith(client);
    return server;
  }

  /** `client` is over. */
  forget(client: SimSocket): void {
    if (this.open.get(client)?.gone === true) this.open.delete(client);
  }
}

class Attempt {
  readonly #connections: Connections;
  readonly #process: SimProcess;
  readonly #options: ConnectOptions;
  readonly #settle: { resolve(connection: Connection): void; reject(error: Error): void };
  readonly #machine: string;
  readonly #socket: SimSocket;
  readonly #timer: { cancel(): void };
  readonly #aborted = (): void => this.#fail(this.#options.signal.reason);
  #over = false;

  constructor(
    connections: Connections,
    process: SimProcess,
    options: ConnectOptions,
    settle: { resolve(connection: Connection): void; reject(error: Error): void },
  ) {
    const { core } = connections, { hostname, port, signal } = options;
    this.#connections = connections;
    this.#process = process;
    this.#options = options;
    this.#settle = settle;
    this.#machine = core.machineOf(hostname, process.machine);
    this.#socket = new SimSocket({
      core,
      process,
      remote: { hostname: core.addressOf(this.#machine, process.machine), port },
      out: core.link(process.machine, this.#machine).lane(),
      over: (socket) => connections.forget(socket),
    });
    this.#socket.attach({
      data() {},
      drained() {},
      end: () => this.#fail(new Error("the connection was closed")),
      broken: (cause) => this.#fail(cause),
    });
    this.#timer = process.later(connectMs, () => this.#fail(new Error("no answer")), "timer");
    signal.addEventListener("abort", this.#aborted);
    this.#ask();
  }

  #ask(): void {
    const { process, out } = this.#socket;
    out.send(process.now, 0, null, () => this.#asked());
  }

  /** The system of the machine was asked; its processes have no part in this. */
  #asked(): void {
    const { core } = this.#connections, { machine } = this.#process;
    if (this.#over || this.#socket.gone) return;
    if (core.isDown(this.#machine)) return core.whenUp(this.#machine, () => this.#ask());
    const bound = core.bound(this.#machine, this.#options.port, machine);
    if (bound === null || !("offer" in bound.taker)) return this.#refuse();
    const { taker } = bound, server = this.#connections.pairUp(this.#socket, bound);
    server.signal(() => {
      if (this.#over) return;
      this.#done();
      const connection = this.#connections.connectionOf(this.#socket);
      this.#socket.signal(() => this.#accept(server, taker));
      this.#settle.resolve(connection);
    }, core.world.now);
  }

  #accept(server: SimSocket, queue: AcceptQueue): void {
    const { core } = this.#connections, { machine } = this.#process;
    if (server.gone) return;
    if (!queue.hasRoom) return server.reset();
    core.figures.connections++;
    core.world.say(() => `${machine} connected with ${server.process.name}:${this.#options.port}`);
    queue.offer(this.#connections.connectionOf(server));
  }

  #refuse(): void {
    const { core } = this.#connections;
    core.figures.refused++;
    core.link(this.#machine, this.#process.machine).lane().send(core.world.now, 0, this.#process, () => {
      this.#fail(new Error("connection refused"));
    });
  }

  #fail(cause: unknown): void {
    if (this.#over) return;
    this.#done();
    const { hostname, port } = this.#options;
    this.#settle.reject(connectError(hostname, port, cause));
    this.#socket.reset();
  }

  #done(): void {
    this.#over = true;
    this.#timer.cancel();
    this.#options.signal.removeEventListener("abort", this.#aborted);
  }
}
