/** One machine with a disk and no network, for tests of the disk. */
import { rmSync } from "node:fs";
import { DfdbError } from "../../src/base/errors.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { diskRoot, SimDisk } from "./sim_disk.ts";
import { type Death, SimProcess } from "./sim_process.ts";
import { closeConnections, trackConnections } from "./sqlite_connections.ts";
import { World } from "./world.ts";

const nowhere = (): Promise<never> => Promise.reject(new DfdbError("unreachable", "there is no network"));

export class DiskRig {
  readonly world: World;
  readonly disk: SimDisk;
  process: SimProcess;
  /** Called at every label, before the disk's own. */
  atLabel: ((label: string) => void) | null = null;
  readonly #root = diskRoot();
  readonly #tracking: { stop(): void };
  #processes = 0;

  constructor(seed: number) {
    this.world = new World(seed);
    this.#tracking = trackConnections(this.world);
    this.disk = new SimDisk(this.world, "n1", this.#root);
    this.process = this.#start();
  }

  /** `name` in the present data dir. */
  path(name: string): string {
    return this.process.runtime.files.join(this.disk.directory, name);
  }

  /** Runs `run` as the process; null when the process died on the way. Throws what `run` throws. */
  async run<Value>(run: () => Promise<Value> | Value): Promise<Value | null> {
    const { process } = this;
    let outcome: (() => Value) | null = null;
    process.later(0, () => {
      Promise.resolve().then(run).then((value) => outcome = () => value, (thrown) => {
        outcome = () => {
          throw thrown;
        };
      });
    });
    const over = await this.world.until(() => outcome !== null || !process.alive, 600_000);
    if (!over) throw new Error("it did not come to an end");
    return process.alive ? (outcome as (() => Value) | null)?.() ?? null : null;
  }

  openStorage(): Promise<Storage> {
    const { files, random, clock, crashPoint } = this.process.runtime;
    const path = this.path("data.dfdb");
    return openStorage({
      path,
      files,
      random,
      crashPoint,
      wall: clock.wall,
      pid: 1,
      hostname: "n1",
      known: () => true,
    });
  }

  /** The process dies, the next one gets what the disk holds. May be called inside a call of it. */
  die(how: Death, inCommit = false): void {
    const { process, disk } = this;
    const image = disk.image(how, inCommit);
    process.die(how);
    disk.mount(image);
    image.drop();
    this.restart();
  }

  /** The process dies without a trace; the next one runs in what is mounted. */
  restart(): void {
    const { process, world } = this;
    process.die("kill");
    world.at(null, 0, () => closeConnections(process));
    this.process = this.#start();
    this.atLabel = null;
  }

  end(): void {
    this.process.die("kill");
    this.disk.remove();
    closeConnections(this.process);
    this.#tracking.stop();
    rmSync(this.#root, { recursive: true, force: true });
  }

  #start(): SimProcess {
    const { world, disk } = this;
    return new SimProcess({
      world,
      machine: "n1",
      number: this.#processes++,
      clock: { rate: 1, wallOffsetMs: 0 },
      net: () => ({ listen: nowhere, connect: nowhere }),
      http: () => ({ serve: nowhere }),
      fetch: () => nowhere,
      files: (process) => disk.files(process),
      crashPoint: (process, label) => {
        if (process !== this.process) return;
        this.atLabel?.(label);
        disk.crashPoint(process, label);
      },
    });
  }
}

/** Runs `run` with a machine that is deleted afterwards. */
export async function withRig<Value>(seed: number, run: (rig: DiskRig) => Promise<Value>): Promise<Value> {
  const rig = new DiskRig(seed);
  try {
    return await run(rig);
  } finally {
    rig.end();
  }
}
