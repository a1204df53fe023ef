/** The disk of one machine of the simulator. It outlives the machine's processes: each gets a folder with what the one before left. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Files } from "../../src/runtime/files.ts";
import type { Chance } from "./chance.ts";
import {
  commitAnyway,
  type DiskFaults,
  failedError,
  fullAt,
  fullError,
  isBeforeCommit,
  isWaitedFor,
  noFaults,
} from "./disk_faults.ts";
import { DiskImage } from "./disk_image.ts";
import { MountedFolder } from "./mounted_folder.ts";
import { simFiles } from "./sim_files.ts";
import type { Death, SimProcess } from "./sim_process.ts";
import type { World } from "./world.ts";

/** A new folder for the disks of a world, in memory where the system has such a place. The caller deletes it. */
export function diskRoot(): string {
  const memory = "/dev/shm";
  return realpathSync(mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), "dfdb-sim-")));
}

/** A file in `rescued/`. */
export interface RescuedBytes {
  readonly name: string;
  /** Where it is real; null: it was written as a whole and is in memory. */
  readonly path: string | null;
  bytes(): Uint8Array;
}

export class SimDisk {
  readonly faults: DiskFaults = noFaults();
  /** Bytes free, as `Files.freeBytes` tells them while the disk is not full; null: not known. */
  freeBytes: number | null = null;
  /** How often each fault showed itself. */
  readonly injected = { full: 0, slow: 0, failedCommits: 0 };
  readonly #world: World;
  readonly #machine: string;
  readonly #root: string;
  readonly #chance: Chance;
  readonly #chances = new Map<string, Chance>();
  #mounts = 0;
  #folder: MountedFolder;
  /** The last commit was not synced. */
  #unsynced = false;

  /** Empty. Its folders are made below `root`. */
  constructor(world: World, machine: string, root: string) {
    this.#world = world;
    this.#machine = machine;
    this.#root = join(root, machine);
    this.#chance = world.chance(`disk ${machine}`);
    mkdirSync(this.#root, { recursive: true });
    this.#folder = this.#mounted(new DiskImage(new Map(), []));
  }

  /** Absolute folder: the data dir of the machine's process, now and until the next `mount`. */
  get directory(): string {
    return this.#folder.path;
  }

  /** For a process that runs in the present `directory`. */
  files(process: SimProcess): Files {
    const folder = this.#folder;
    process.atDeath(() => folder.closeAll());
    return simFiles({
      process,
      folder,
      faults: this.faults,
      freeBytes: () => this.freeBytes,
      chanceOf: (key) => this.#chanceOf(key),
    });
  }

  /**
   * What the disk holds if the process dies at this very moment, inside a call or between two events. After a loss of power what was
   * not synced is there as a whole, in part or not at all, by chance. `inCommit`, for `power` at a label right after a COMMIT of
   * `data.dfdb` (`commit:after`, `trim:after`, `open:created`, `install:after`): it went inside that COMMIT. The disk itself stays as it is.
   */
  image(how: Death, inCommit = false): DiskImage {
    return this.#folder.image(how, this.#chance, inCommit || this.#unsynced);
  }

  /**
   * The next process finds what `image` holds, in a new `directory`. The present one is deleted in an event of its own, since a call of
   * its process may go on; the connections of that are best closed in an event after this one (`closeConnections`).
   */
  mount(image: DiskImage): void {
    const abandoned = this.#folder;
    this.#folder = this.#mounted(image);
    this.#unsynced = false;
    this.#world.at(null, 0, () => abandoned.delete());
  }

  /** Deletes everything of this disk. */
  remove(): void {
    this.#folder.closeAll();
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** What lies in `rescued/`, by name; temporary files too. */
  rescued(): readonly RescuedBytes[] {
    const folder = this.#folder;
    return folder.list("rescued").map((name) => {
      const key = `rescued/${name}`, path = join(folder.path, "rescued", name), isReal = existsSync(path);
      return {
        name,
        path: isReal ? path : null,
        bytes: () => isReal ? new Uint8Array(readFileSync(path)) : folder.read(key) ?? new Uint8Array(),
      };
    });
  }

  /** While no process runs: loses a mirror of the position, cuts it, or makes it older. False: there is none. */
  spoilSidecars(chance: Chance): boolean {
    const keys = ["data.dfdb.followerseq", "data.dfdb.term"].filter((key) => this.#folder.size(key) !== null);
    if (keys.length === 0) return false;
    const key = chance.pick(keys), bytes = this.#folder.read(key) ?? new Uint8Array();
    const how = chance.pick(["lost", "cut", "older"] as const);
    this.#world.say(() => `${this.#machine}: ${key} is ${how}`);
    if (how === "lost") this.#folder.remove(key);
    // Little-endian: half of the highest byte that is not 0 makes the number smaller.
    else this.#folder.replace(key, how === "cut" ? bytes.subarray(0, chance.below(8)) : smaller(bytes));
    return true;
  }

  /** To be called at every label, after what may kill the process there. Keeps its thread busy, or throws what SQLite would. */
  crashPoint(process: SimProcess, label: string): void {
    if (!process.alive) return;
    const { faults, injected } = this;
    if (faults.slow !== null && isWaitedFor(label)) {
      injected.slow++;
      process.work(this.#chance.between(faults.slow.min, faults.slow.max));
    }
    if (faults.full && this.#showsFull(label)) {
      injected.full++;
      this.#world.say(() => `${process.name} disk full at ${label}`);
      throw fullError();
    }
    const { failCommits } = faults;
    if (failCommits === null || failCommits.count === 0 || !isBeforeCommit(label)) return;
    failCommits.count--;
    injected.failedCommits++;
    this.#world.say(() => `${process.name} a commit fails ${failCommits.at} it is in the file, at ${label}`);
    if (failCommits.at === "after") {
      commitAnyway(process);
      this.#unsynced = true;
    }
    throw failedError();
  }

  #showsFull(label: string): boolean {
    const shows = fullAt(label);
    return shows === "always" || (shows === "sometimes" && this.#chance.flip(0.1));
  }

  #mounted(image: DiskImage): MountedFolder {
    return new MountedFolder(join(this.#root, `${this.#mounts++}`), image);
  }

  #chanceOf(key: string): Chance {
    const known = this.#chances.get(key) ?? this.#world.chance(`disk ${this.#machine} ${key}`);
    this.#chances.set(key, known);
    return known;
  }
}

function smaller(number: Uint8Array): Uint8Array {
  const highest = number.findLastIndex((byte) => byte !== 0);
  return number.map((byte, i) => i === highest ? byte >> 1 : byte);
}
