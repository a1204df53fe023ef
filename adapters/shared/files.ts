import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { DfdbError, messageOf } from "../../src/base/errors.ts";
import type { Files } from "../../src/runtime/files.ts";

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? "";

function failure(action: string, target: string, cause: unknown): DfdbError {
  const code = codeOf(cause) === "ENOSPC" || codeOf(cause) === "EDQUOT" ? "disk_full" : "io_error";
  return new DfdbError(code, `cannot ${action} ${target}: ${messageOf(cause)}`, { cause });
}

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

/** Makes a rename in `folder` durable. Windows cannot open a folder, and needs no such step. */
async function syncDirectory(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
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

async function makeDirectory(target: string): Promise<void> {
  try {
    await mkdir(target, { recursive: true });
  } catch (error) {
    throw failure("create folder", target, error);
  }
}

/** Small files through node:fs/promises, which all three runtimes have. */
export const files: Files = {
  read: async (target) => {
    const bytes = await orNull("read", target, readFile(target));
    // A plain Uint8Array: a Buffer would behave differently in slice() and in comparisons.
    return bytes === null ? null : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  },
  writeAtomic,
  makeDirectory,
  remove: async (target) => {
    await orNull("remove", target, rm(target));
  },
  size: async (target) => (await orNull("look at", target, stat(target)))?.size ?? null,
  absolute: (target) => path.resolve(target),
  join: (...parts) => path.join(...parts),
  directory: (target) => path.dirname(target),
};
