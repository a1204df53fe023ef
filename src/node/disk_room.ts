import { DfdbError } from "../base/errors.ts";
import type { Files } from "../runtime/files.ts";

/** Throws `disk_full` when the disk of `path` has fewer than `bytes` free for `what`; where nobody knows, it may be tried. */
export async function checkRoom(files: Files, path: string, bytes: number, what: string): Promise<void> {
  const free = await files.freeBytes(path);
  if (free === null || free >= bytes) return;
  throw new DfdbError("disk_full", `${what} needs ${bytes} bytes on the disk of ${path}; ${free} are free`, {
    details: { neededBytes: bytes, freeBytes: free },
  });
}
