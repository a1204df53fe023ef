/** A process of the simulated cluster: the fourth runtime. It may be killed between two events or at a labelled place. */
import { createHash, createHmac } from "node:crypto";
import { certificates } from "../../adapters/shared/certificates.ts";
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import type { Files } from "../../src/runtime/files.ts";
import type { HttpHost } from "../../src/runtime/http_host.ts";
import type { Net } from "../../src/runtime/net.ts";
import type { Clock, ProcessHost, Runtime } from "../../src/runtime/runtime.ts";
import type { Terminal } from "../../src/runtime/terminal.ts";
import { type Chance, chance } from "./chance.ts";
import { simWorkers } from "./sim_workers.ts";
import type { Owner, World } from "./world.ts";

/** Wall time of a right clock at virtual time 0. */
export const wallStart = 1_790_000_000_000;

/**
 * `kill`: the process ends at once, the system goes on: its sockets are reset, what it wrote to files is there. `power`: the
 * machine stops: nobody hears of it, what was not synced may be gone.
 */
export type Death = "kill" | "power";

const noTerminal: Terminal = {
  stdinIsTerminal: false,
  stderrIsTerminal: false,
  stdoutIsOpen: true,
  async *stdin() {},
  editLines() {
    throw new Error("nobody sits at a simulated process");
  },
};

/** What a machine's clock does, apart from the world's time. */
export interface MachineClock {
  /** Ms of this machine in one of the world's. */
  rate: number;
  /** Its wall clock is ahead by so many ms; negative: behind. */
  wallOffsetMs: number;
  /** When its wall clock was set back last, virtual ms, and by how much. */
  wentBack?: { readonly at: number; readonly ms: number };
}

/** What a process gets from the world around it. */
export interface ProcessSurroundings {
  readonly world: World;
  /** Name of the machine, by which others reach it. */
  readonly machine: string;
  /** How many processes ran on the machine before. */
  readonly number: number;
  readonly clock: MachineClock;
  readonly net: (process: SimProcess) => Net;
  readonly http: (process: SimProcess) => HttpHost;
  readonly fetch: (process: SimProcess) => Runtime["fetch"];
  readonly files: (process: SimProcess) => Files;
  /** Called at every label; may kill the process, keep it busy, or throw what a disk throws. */
  readonly crashPoint: (process: SimProcess, label: string) => void;
  /** Most time until a macrotask comes, ms: what came in meanwhile goes before it. Default 0. */
  readonly loopMs?: number;
}

export class SimProcess implements Owner {
  readonly machine: string;
  /** Unique in the world: `n1#0`. */
  readonly name: string;
  readonly chance: Chance;
  readonly runtime: Runtime;
  alive = true;
  busyUntil = 0;
  /** How long the world has held its thread in all, ms: no work of its own. */
  stalledMs = 0;
  /** True once it asked for its own end. */
  exited: number | null = null;
  readonly #world: World;
  readonly #atDeath: ((how: Death) => void)[] = [];

  constructor(around: ProcessSurroundings) {
    const { world, machine, number } = around;
    this.#world = world;
    this.machine = machine;
    this.name = `${machine}#${number}`;
    this.chance = chance(world.seed, `process ${this.name}`);
    const clock = this.#clock(around.clock, around.loopMs ?? 0);
    this.runtime = {
      name: "sim",
      version: "1",
      clock,
      random: { bytes: (length) => this.chance.bytes(length), float: () => this.chance.float() },
      net: around.net(this),
      http: around.http(this),
      files: around.files(this),
      process: this.#host(number),
      workers: simWorkers({ world, process: this, crashPoint: (label) => around.crashPoint(this, label) }),
      fetch: around.fetch(this),
      crypto: {
        sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
        hmacSha256: (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
      },
      certificates,
      crashPoint: (label) => around.crashPoint(this, label),
    };
  }

  /** The time on its own thread: later than the world's inside a call that takes long. */
  get now(): number {
    return Math.max(this.#world.now, this.busyUntil);
  }

  /** Its thread does nothing else for so long. */
  work(ms: number): void {
    this.busyUntil = this.now + ms;
  }

  /** The world holds its thread for so long, after what holds it already. */
  stall(ms: number): void {
    this.work(ms);
    this.stalledMs += ms;
  }

  /** `run` is called when the process dies. */
  atDeath(run: (how: Death) => void): void {
    this.#atDeath.push(run);
  }

  /** From now on nothing that it does has an effect outside. */
  die(how: Death): void {
    if (!this.alive) return;
    this.alive = false;
    for (const run of this.#atDeath.splice(0)) run(how);
  }

  /** Calls `run` on this process' thread, `delayMs` of the world after its present time. */
  later(delayMs: number, run: () => void, kind: "timer" | "input" = "input"): { cancel(): void } {
    return this.#world.at(this, this.now - this.#world.now + delayMs, run, kind);
  }

  #clock(machine: MachineClock, loopMs: number): Clock {
    const loop = chance(this.#world.seed, `loop ${this.name}`);
    let last = 0;
    // One after the other, as they were asked for.
    const turn = (): number => (last = Math.max(last, this.now + loop.between(0, loopMs))) - this.now;
    return {
      monotonic: () => monotonicMsOf(this.now * machine.rate),
      wall: () => wallMsOf(Math.floor(wallStart + this.now * machine.rate + machine.wallOffsetMs)),
      // No real one is finer. What a drifting clock rounds away would make one come again and again at the same moment.
      timer: (delayMs, run) => this.later(Math.max(0.001, delayMs) / machine.rate, run, "timer"),
      macrotask: (run) => void this.later(loopMs === 0 ? 0 : turn(), run, "timer"),
    };
  }

  #host(number: number): ProcessHost {
    return {
      pid: number + 1,
      hostname: this.machine,
      args: [],
      env: {},
      cwd: () => "/",
      stdout: () => {},
      stderr: () => {},
      stdoutIsTerminal: false,
      columns: null,
      terminal: noTerminal,
      onStopSignal: () => () => {},
      memoryBytes: () => 0,
      exit: (code) => {
        this.exited = code;
        throw new Error(`exit ${code}`);
      },
    };
  }
}
