/** `Files` of a process of the simulator: calls take virtual time, and take effect at a moment within it, or never. */
import { dirname, join, resolve } from "node:path";
import { DfdbError } from "../../src/base/errors.ts";
import type { Files, ReadableFile, WritableFile } from "../../src/runtime/files.ts";
import type { Chance } from "./chance.ts";
import type { DiskFaults } from "./disk_faults.ts";
import type { MountedFolder } from "./mounted_folder.ts";
import type { OpenedFile } from "./opened_file.ts";
import type { SimProcess } from "./sim_process.ts";

export interface SimFilesOptions {
  readonly process: SimProcess;
  readonly folder: MountedFolder;
  readonly faults: DiskFaults;
  /** Bytes free on the disk; null: not known. */
  readonly freeBytes: () => number | null;
  /** What the calls for a file take their times from: one stream a file, so that calls for others change nothing. */
  readonly chanceOf: (key: string) => Chance;
}

/** Least and most ms of a call: what only looks at the file, and what syncs it. */
const paces = { look: { min: 0.02, max: 0.2 }, sync: { min: 0.2, max: 3 } } as const;

type Pace = keyof typeof paces;

/** Paths are those of the process, absolute or relative to its data dir. */
export function simFiles(options: SimFilesOptions): Files {
  const { folder, faults, freeBytes } = options, calls = new Calls(options);
  const room = (): void => {
    if (faults.full) throw new DfdbError("disk_full", "there is no room on the disk");
  };
  const look = <Value>(path: string, run: (key: string) => Value): Promise<Value> =>
    calls.run(path, "look", run);
  const change = (path: string, run: (key: string) => void): Promise<void> => calls.run(path, "sync", run);
  return {
    read: (path) => look(path, (key) => folder.read(key)),
    writeAtomic(path, bytes) {
      const copy = bytes.slice();
      return change(path, (key) => {
        room();
        folder.replace(key, copy);
      });
    },
    makeDirectory: (path) => look(path, (key) => folder.makeDirectory(key)),
    remove: (path) => look(path, (key) => folder.remove(key)),
    size: (path) => look(path, (key) => folder.size(key)),
    openRead: (path) => look(path, (key) => readable(calls, folder, path, folder.openRead(key))),
    openWrite: (path, { truncate }) =>
      look(path, (key) => {
        room();
        return writable({ calls, folder, path, room }, folder.openWrite(key, truncate));
      }),
    list: (path) => look(path, (key) => folder.list(key)),
    rename: (from, to) => change(from, (key) => folder.rename(key, folder.key(to))),
    freeBytes: (path) => look(path, () => faults.full ? 0 : freeBytes()),
    absolute: (path) => resolve(folder.path, path),
    join,
    directory: dirname,
  };
}

/** Gives each call its time. Those for one path come one after the other. */
class Calls {
  readonly #options: SimFilesOptions;
  /** When the last call for a path ends, by path. */
  readonly #ends = new Map<string, number>();

  constructor(options: SimFilesOptions) {
    this.#options = options;
  }

  /**
   * Runs `first` some time into the call, `last` at its end, which is when the answer, that of `first`, comes. Nothing happens and
   * nothing is answered once the process is dead.
   */
  run<Value>(
    path: string,
    pace: Pace,
    first: (key: string, chance: Chance) => Value,
    last: () => void = () => {},
  ): Promise<Value> {
    const { process, folder, faults, chanceOf } = this.#options;
    return new Promise((resolve, reject) => {
      const key = folder.key(path), chance = chanceOf(key);
      const { min, max } = faults.slow ?? paces[pace];
      const ms = chance.between(min, max), beforeMs = chance.float() * ms;
      const begin = Math.max(process.now, this.#ends.get(key) ?? 0);
      this.#ends.set(key, begin + ms);
      process.later(begin - process.now + beforeMs, () => {
        let answer: () => void;
        try {
          const value = first(key, chance);
          answer = () => {
            try {
              last();
              resolve(value);
            } catch (error) {
              reject(error);
            }
          };
        } catch (error) {
          answer = () => reject(error);
        }
        process.later(ms - beforeMs, answer);
      });
    });
  }
}

function readable(
  calls: Calls,
  folder: MountedFolder,
  path: string,
  opened: OpenedFile | Uint8Array | null,
): ReadableFile | null {
  if (opened === null) return null;
  const isSmall = opened instanceof Uint8Array;
  return {
    size: isSmall ? opened.length : opened.size,
    read: (offset, length) =>
      calls.run(
        path,
        "look",
        () => isSmall ? opened.slice(offset, offset + length) : opened.read(offset, length),
      ),
    close: () => calls.run(path, "look", () => isSmall ? undefined : folder.close(opened)),
  };
}

interface WritableParts {
  readonly calls: Calls;
  readonly folder: MountedFolder;
  readonly path: string;
  readonly room: () => void;
}

function writable({ calls, folder, path, room }: WritableParts, opened: OpenedFile): WritableFile {
  return {
    write(offset, bytes) {
      const copy = bytes.slice();
      let half = 0;
      return calls.run(path, "look", (_, chance) => {
        room();
        half = chance.below(copy.length + 1);
        opened.write(offset, copy.subarray(0, half));
      }, () => opened.write(offset + half, copy.subarray(half)));
    },
    sync: () => calls.run(path, "sync", () => folder.sync(opened)),
    close: () => calls.run(path, "look", () => folder.close(opened)),
  };
}
