/** Real files for tests of what stands on `Files`; each call is done when it returns, so that virtual time can run it. */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Files, ReadableFile, WritableFile } from "../../src/runtime/files.ts";

const none = { throwIfNoEntry: false } as const;

/** What a synchronous `run` answers or throws, as a promise. */
const done = async <Value>(run: () => Value): Promise<Value> => run();

/** The adapters have their own implementation and their own suite. */
export const plainFiles: Files = {
  read: (path) => done(() => existsSync(path) ? new Uint8Array(readFileSync(path)) : null),
  writeAtomic: (path, bytes) =>
    done(() => {
      writeFileSync(`${path}.part`, bytes);
      renameSync(`${path}.part`, path);
    }),
  makeDirectory: (path) => done(() => void mkdirSync(path, { recursive: true })),
  remove: (path) => done(() => rmSync(path, { force: true })),
  size: (path) => done(() => statSync(path, none)?.size ?? null),
  openRead: (path) => done(() => existsSync(path) ? openRead(path) : null),
  openWrite: (path, { truncate }) => done(() => openWrite(path, truncate)),
  list: (path) => done(() => existsSync(path) ? readdirSync(path).sort() : []),
  rename: (from, to) => done(() => renameSync(from, to)),
  freeBytes: () => Promise.resolve(null),
  absolute: (path) => resolve(path),
  join,
  directory: dirname,
};

function openRead(path: string): ReadableFile {
  const file = openSync(path, "r"), { size } = fstatSync(file);
  return {
    size,
    read: (offset, length) =>
      done(() => {
        const bytes = new Uint8Array(length);
        return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
      }),
    close: () => done(() => closeSync(file)),
  };
}

function openWrite(path: string, truncate: boolean): WritableFile {
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | (truncate ? constants.O_TRUNC : 0));
  return {
    write: (offset, bytes) => done(() => void writeSync(file, bytes, 0, bytes.length, offset)),
    sync: () => done(() => fsyncSync(file)),
    close: () => done(() => closeSync(file)),
  };
}
