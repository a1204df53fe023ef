import { mkdir, open } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { DfdbError, messageOf } from "../../src/base/errors.ts";

/** The system's name of an error, "" when it has none. */
export const codeOf = (error: unknown): string => (error as { code?: string }).code ?? "";

/** `disk_full` or `io_error`, with what was tried on which file. */
export function failure(action: string, target: string, cause: unknown): DfdbError {
  const code = codeOf(cause) === "ENOSPC" || codeOf(cause) === "EDQUOT" ? "disk_full" : "io_error";
  return new DfdbError(code, `cannot ${action} ${target}: ${messageOf(cause)}`, { cause });
}

/** Makes a new name in `folder` durable. Windows cannot open a folder, and needs no such step. */
export async function syncDirectory(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates a folder and what is missing above it; the name of each new one is durable in its parent. `sync` is for tests. */
export async function makeDirectory(
  target: string,
  sync: typeof syncDirectory = syncDirectory,
): Promise<void> {
  try {
    const first = await mkdir(target, { recursive: true });
    if (first === undefined) return;
    const above = path.dirname(path.resolve(first));
    for (
      let made = path.resolve(target);
      made !== above && made !== path.dirname(made);
      made = path.dirname(made)
    ) {
      await sync(path.dirname(made));
    }
  } catch (error) {
    throw failure("create folder", target, error);
  }
}
