import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { temporaryFolder } from "./temporary_folder.ts";

const addedMicroseconds = 1_000;

/** The environment in which a program's fsyncs take 1 ms longer, or why that cannot be had here. */
export function slowFsync(): { readonly env: Readonly<Record<string, string>> } | {
  readonly missing: string;
} {
  if (process.platform !== "linux") return { missing: "LD_PRELOAD works on Linux only" };
  const folder = temporaryFolder().path;
  fs.chmodSync(folder, 0o755); // other users' servers load it too
  const library = path.join(folder, "slow_fsync.so"),
    source = fileURLToPath(new URL("slow_fsync.c", import.meta.url));
  const built = spawnSync("cc", ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], {
    encoding: "utf8",
  });
  if (built.status !== 0) {
    return { missing: `the C compiler cc is needed: ${built.error?.message ?? built.stderr}` };
  }
  return { env: { LD_PRELOAD: library, BENCH_FSYNC_US: String(addedMicroseconds) } };
}
