import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

export interface TemporaryFolder {
  readonly path: string;
  remove(): void;
}

/** A new folder that is gone at the latest when this process ends. */
export function temporaryFolder(): TemporaryFolder {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dfdb-bench-"));
  const remove = (): void => {
    process.off("exit", remove);
    // A server that was killed a moment ago may still be at it.
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };
  process.on("exit", remove);
  return { path: folder, remove };
}
