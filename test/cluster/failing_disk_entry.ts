// dfdb as it is served, but the disk fails in its FAIL_AT_COMMIT-th COMMIT: SQLite finds its write-ahead log closed.
import { closeSync, readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import { main } from "../../src/cli/main.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const failAt = Number(process.env["FAIL_AT_COMMIT"]);

let commits = 0;
const crashPoint = (at: string): void => {
  if (at !== "commit:before" || ++commits < failAt) return;
  // What is behind SQLite's back: its next write to the file fails. Deno has no numbers of files.
  if (process.platform === "linux" && !("Deno" in globalThis)) closeLog();
  else throw Object.assign(new Error("disk I/O error"), { code: "ERR_SQLITE_ERROR", errcode: 1034 });
};

function closeLog(): void {
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).endsWith("/data.dfdb-wal")) closeSync(Number(fd));
    } catch {
      // The number of the folder that is being read.
    }
  }
}

const runtime = currentRuntime({ crashPoint });
runtime.process.exit(await main(runtime));
