import type { FileHandle } from "node:fs/promises";
import { constants, open } from "node:fs/promises";
import path from "node:path";
import type { ReadableFile, WritableFile } from "../../src/runtime/files.ts";
import { codeOf, failure, syncDirectory } from "./file_tools.ts";

export async function openRead(target: string): Promise<ReadableFile | null> {
  let handle: FileHandle;
  try {
    handle = await open(target, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw failure("open", target, error);
  }
  try {
    const facts = await handle.stat();
    // Some systems open a folder like a file and fail at the first read.
    if (!facts.isFile()) throw new Error("it is not a file");
    return readable(handle, target, facts.size);
  } catch (error) {
    await handle.close();
    throw failure("open", target, error);
  }
}

function readable(handle: FileHandle, target: string, size: number): ReadableFile {
  const close = once(handle);
  return {
    size,
    async read(offset, length) {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
      let at = 0;
      try {
        while (at < bytes.length) {
          const { bytesRead } = await handle.read(bytes, at, bytes.length - at, offset + at);
          if (bytesRead === 0) break; // cut meanwhile
          at += bytesRead;
        }
      } catch (error) {
        throw failure("read", target, error);
      }
      return at === bytes.length ? bytes : bytes.slice(0, at);
    },
    close,
  };
}

export async function openWrite(
  target: string,
  { truncate }: { readonly truncate: boolean },
): Promise<WritableFile> {
  const flags = constants.O_WRONLY | constants.O_CREAT | (truncate ? constants.O_TRUNC : 0);
  let handle: FileHandle;
  try {
    handle = await open(target, flags);
  } catch (error) {
    throw failure("open", target, error);
  }
  return {
    async write(offset, bytes) {
      try {
        for (let at = 0; at < bytes.length;) {
          const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, offset + at);
          at += bytesWritten;
        }
      } catch (error) {
        throw failure("write", target, error);
      }
    },
    async sync() {
      try {
        await handle.sync();
        await syncDirectory(path.dirname(target));
      } catch (error) {
        throw failure("write", target, error);
      }
    },
    close: once(handle),
  };
}

/** Closes at the first call; a second one waits for the same. */
function once(handle: FileHandle): () => Promise<void> {
  let closed: Promise<void> | null = null;
  return () => (closed ??= handle.close());
}
