/** What connections and requests of the simulated network share: links, ports, which machines are up. */
import { DfdbError } from "../../src/base/errors.ts";
import type { Chance } from "./chance.ts";
import { Link } from "./links.ts";
import type { Death, SimProcess } from "./sim_process.ts";
import type { World } from "./world.ts";

/** What happened so far. */
export interface NetFigures {
  /** Connections that were accepted. */
  connections: number;
  /** Connections and requests that nobody took. */
  refused: number;
  /** Ends of connections that were told of a reset. */
  resets: number;
  /** Connections that one side forgot. */
  stale: number;
  /** Pieces with a byte changed. */
  flips: number;
  /** Pieces that came as several. */
  splits: number;
  /** Bytes sent over connections. */
  bytes: number;
  requests: number;
  answers: number;
  /** Requests whose fate the client never heard. */
  lost: number;
}

/** Something of a process that the network has to end with it. */
export interface Mortal {
  /** The process is dead already. */
  die(how: Death): void;
}

/** What listens on a port. `Taker` is told of who comes. */
export interface Bound<Taker> {
  readonly process: SimProcess;
  /** Reached from its own machine only. */
  readonly local: boolean;
  readonly taker: Taker;
}

/** Where a wait for a machine's start ends: the peer tries again after at most so many ms. */
const retryMsMax = 1_000;

const loopback: readonly string[] = ["127.0.0.1", "localhost", "::1"];
const everywhere: readonly string[] = ["0.0.0.0", "::"];

export class NetCore<Taker> {
  readonly world: World;
  readonly chance: Chance;
  readonly figures: NetFigures = {
    connections: 0,
    refused: 0,
    resets: 0,
    stale: 0,
    flips: 0,
    splits: 0,
    bytes: 0,
    requests: 0,
    answers: 0,
    lost: 0,
  };
  readonly #links = new Map<string, Link>();
  readonly #ports = new Map<string, Map<number, Bound<Taker>>>();
  readonly #members = new Map<SimProcess, Set<Mortal>>();
  /** Machines that are down, with what waits for their start. */
  readonly #down = new Map<string, Set<() => void>>();
  #portsGiven = 0;

  constructor(world: World) {
    this.world = world;
    this.chance = world.chance("network");
  }

  get links(): Iterable<Link> {
    return this.#links.values();
  }

  link(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) this.#links.set(name, link = new Link(this.world, from, to));
    return link;
  }

  /** The machine that `hostname` means on `machine`. */
  machineOf(hostname: string, machine: string): string {
    return loopback.includes(hostname) ? machine : hostname;
  }

  /** How `machine` sees the address of `other`. */
  addressOf(other: string, machine: string): string {
    return other === machine ? "127.0.0.1" : other;
  }

  /** From now on the network sees the process, and its end. */
  join(process: SimProcess): void {
    if (this.#members.has(process)) return;
    this.machineUp(process.machine);
    this.#members.set(process, new Set());
    process.atDeath((how) => this.#leave(process, how));
  }

  #leave(process: SimProcess, how: Death): void {
    const members = this.#members.get(process);
    this.#members.delete(process);
    if (how === "power") this.machineDown(process.machine);
    const ports = this.#ports.get(process.machine);
    for (const [port, bound] of ports ?? []) if (bound.process === process) ports?.delete(port);
    for (const mortal of members ?? []) mortal.die(how);
  }

  /** `mortal` is told of the end of `process`. */
  adopt(process: SimProcess, mortal: Mortal): void {
    this.#members.get(process)?.add(mortal);
  }

  drop(process: SimProcess, mortal: Mortal): void {
    this.#members.get(process)?.delete(mortal);
  }

  /** A port as systems give them out. */
  freePort(): number {
    return 40_000 + this.#portsGiven++ % 20_000;
  }

  /** Listens; returns the port. Throws DfdbError `port_in_use`, or `io_error` when the address is another machine's. */
  bind(process: SimProcess, hostname: string, wanted: number, taker: Taker): number {
    const { machine } = process, local = loopback.includes(hostname);
    if (!local && !everywhere.includes(hostname) && hostname !== machine) {
      const message = `cannot listen on ${hostname}:${wanted}: it is not an address of this machine`;
      throw new DfdbError("io_error", message, { details: { port: wanted } });
    }
    let ports = this.#ports.get(machine), port = wanted;
    if (ports === undefined) this.#ports.set(machine, ports = new Map());
    if (wanted === 0) { do port = this.freePort(); while (ports.has(port)); }
    if (ports.has(port)) {
      throw new DfdbError("port_in_use", `port ${port} is already in use`, { details: { port } });
    }
    if (process.alive) ports.set(port, { process, local, taker });
    return port;
  }

  unbind(process: SimProcess, port: number): void {
    const ports = this.#ports.get(process.machine);
    if (ports?.get(port)?.process === process) ports.delete(port);
  }

  /** What listens on `port` of `machine` for who comes from `from`. */
  bound(machine: string, port: number, from: string): Bound<Taker> | null {
    const bound = this.#ports.get(machine)?.get(port);
    return bound === undefined || (bound.local && from !== machine) ? null : bound;
  }

  isDown(machine: string): boolean {
    return this.#down.has(machine);
  }

  /** Calls `run`, in an event of nobody, some time after `machine` started. */
  whenUp(machine: string, run: () => void): void {
    this.#down.get(machine)?.add(run);
  }

  machineDown(machine: string): void {
    if (!this.#down.has(machine)) this.#down.set(machine, new Set());
  }

  machineUp(machine: string): void {
    const waiting = this.#down.get(machine);
    this.#down.delete(machine);
    for (const run of waiting ?? []) this.world.at(null, this.chance.between(1, retryMsMax), run);
  }
}
