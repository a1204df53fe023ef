/** Parts for tests of snapshots, re-sync and rescue: a real storage, the real tasks without threads, files with faults. */
import { DfdbError } from "../../src/base/errors.ts";
import type { CollectionNumber, Seq } from "../../src/base/ids.ts";
import { prng } from "../../src/base/prng.ts";
import { tasks } from "../../src/node/tasks.ts";
import type { Files } from "../../src/runtime/files.ts";
import type { RunOptions, Task, TaskContext, Workers } from "../../src/runtime/workers.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { put, start, testOptions, wall } from "../suites/storage_fixture.ts";
import { ManualClock } from "./manual_clock.ts";
import { plainFiles } from "./plain_files.ts";

/** Runs tasks on this thread; `before` may wait, or throw in a task's place. */
export function inlineWorkers(before: (task: string) => Promise<void> | void = () => {}): Workers {
  const context: TaskContext = { progress: () => {}, hold: (run) => run(), stopped: false };
  return {
    async run<Output>(name: string, input: unknown, { signal }: RunOptions = {}): Promise<Output> {
      await before(name);
      signal?.throwIfAborted();
      const task = (tasks as Readonly<Record<string, Task>>)[name];
      if (task === undefined) throw new Error(`no task ${name}`);
      return await task(input as never, context) as Output;
    },
    open: () => {
      throw new Error("no residents here");
    },
  };
}

/** Real files on a disk with `free` bytes. */
export interface SmallDisk extends Files {
  free: number | null;
  /** The next bytes written do not fit. */
  full: boolean;
}

export function smallDisk(): SmallDisk {
  const disk: SmallDisk = {
    ...plainFiles,
    free: null,
    full: false,
    freeBytes: () => Promise.resolve(disk.free),
    async openWrite(path, options) {
      const file = await plainFiles.openWrite(path, options);
      return {
        ...file,
        write(offset, bytes) {
          if (disk.full) return Promise.reject(new DfdbError("disk_full", `no room for ${path}`));
          return file.write(offset, bytes);
        },
      };
    },
  };
  return disk;
}

export const someRandom = (seed: number): { bytes: (length: number) => Uint8Array; float: () => number } => {
  const numbers = prng(seed);
  return { bytes: numbers.bytes, float: numbers.float };
};

/** A clock that stands still; macrotasks run by themselves. */
export function stillClock(): ManualClock {
  return Object.assign(new ManualClock(), { macrotask: (run: () => void) => void setImmediate(run) });
}

/** A database with one collection (entries 1 and 2), and `documents` of about `bytes` each, one an entry. */
export async function database(
  path: string,
  { documents, bytes = 100 }: { readonly documents: number; readonly bytes?: number },
): Promise<{ readonly storage: Storage; readonly collection: CollectionNumber }> {
  const storage = await openStorage(testOptions(path));
  const collection = start(storage);
  write(storage, collection, "d", documents, bytes);
  return { storage, collection };
}

/** Adds documents `<prefix>0`, `<prefix>1`, …; their text repeats nothing, so that no page is like another. */
export function write(
  storage: Storage,
  collection: CollectionNumber,
  prefix: string,
  documents: number,
  bytes = 100,
): Seq {
  const { bytes: random } = someRandom(documents);
  storage.write((tx) => {
    for (let i = 0; i < documents; i++) {
      const text = [...random(Math.ceil(bytes / 2))].map((byte) => byte.toString(16).padStart(2, "0")).join(
        "",
      );
      tx.append([put(collection, `${prefix}${i}`, 0, `{"n":${i},"text":"${text}"}`)], wall);
    }
  });
  return storage.log.last.seq;
}
