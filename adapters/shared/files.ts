import { open, readdir, readFile, rename, rm, stat, statfs } from "node:fs/promises";
import path from "node:path";
import type { Files } from "../../src/runtime/files.ts";
import { openRead, openWrite } from "./open_files.ts";
import { codeOf, failure, makeDirectory, syncDirectory } from "./file_tools.ts";

async function orNull<Value>(action: string, target: string, run: Promise<Value>): Promise<Value | null> {
  try {
    return await run;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw failure(action, target, error);
  }
}

async function writeSynced(target: string, bytes: Uint8Array): Promise<void> {
  const file = await open(target, "w");
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function replace(target: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${target}.tmp`;
  try {
    await writeSynced(temporary, bytes);
    await rename(temporary, target);
    await syncDirectory(path.dirname(target));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw failure("write", target, error);
  }
}

// Writes to one file queue up behind each other, so that the temporary file can have a fixed name: what a crash
// leaves behind is overwritten by the next write instead of piling up.
const lastWrite = new Map<string, Promise<void>>();

async function writeAtomic(target: string, bytes: Uint8Array): Promise<void> {
  const key = path.resolve(target);
  const before = lastWrite.get(key) ?? Promise.resolve();
  const write = before.catch(() => {}).then(() => replace(key, bytes));
  lastWrite.set(key, write);
  try {
    await write;
  } finally {
    if (lastWrite.get(key) === write) lastWrite.delete(key);
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
    await syncDirectory(path.dirname(to));
  } catch (error) {
    throw failure("rename", `${from} to ${to}`, error);
  }
}

/** Of the nearest folder that exists: what is asked about may be still to be made. */
async function freeBytes(target: string): Promise<number | null> {
  for (let folder = path.resolve(target);; folder = path.dirname(folder)) {
    try {
      const { bavail, bsize } = await statfs(folder);
      const free = bavail * bsize;
      return Number.isFinite(free) && bsize > 0 ? free : null;
    } catch (error) {
      if (codeOf(error) !== "ENOENT" || folder === path.dirname(folder)) return null;
    }
  }
}

/** Files through node:fs/promises, which all three runtimes have. */
export const files: Files = {
  read: async (target) => {
    const bytes = await orNull("read", target, readFile(target));
    // A plain Uint8Array: a Buffer would behave differently in slice() and in comparisons.
    return bytes === null ? null : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  },
  writeAtomic,
  makeDirectory: (target) => makeDirectory(target),
  remove: async (target) => {
    await orNull("remove", target, rm(target));
  },
  size: async (target) => (await orNull("look at", target, stat(target)))?.size ?? null,
  openRead,
  openWrite,
  list: async (target) => (await orNull("list", target, readdir(target)))?.sort() ?? [],
  rename: move,
  freeBytes,
  absolute: (target) => path.resolve(target),
  join: (...parts) => path.join(...parts),
  directory: (target) => path.dirname(target),
};
