// dfdb as it is served, but it dies (SIGKILL) the CRASH_NTH time it meets crash point CRASH_LABEL, in whichever thread.
import { writeSync } from "node:fs";
import process from "node:process";
import { answerTask, inTaskThread } from "../../adapters/shared/task_thread.ts";
import { main } from "../../src/cli/main.ts";
import type { Tasks } from "../../src/runtime/workers.ts";
import { tasks } from "../../src/node/tasks.ts";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import { currentRuntime } from "../tool/current_runtime.ts";

const label = process.env["CRASH_LABEL"], nth = Number(process.env["CRASH_NTH"] ?? "1");

let hits = 0;
const crashPoint = (at: string): void => {
  if (at !== label || ++hits < nth) return;
  writeSync(1, `dies at ${at}\n`);
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way: nothing more may happen meanwhile.
  for (;;);
};

const table: Tasks = {
  ...tasks,
  "sqlite.installSnapshot": (input: Parameters<typeof installSnapshot>[0], context) =>
    context.hold(() => installSnapshot(input, crashPoint)),
};

if (inTaskThread) {
  void answerTask(table, import.meta.url);
} else {
  const runtime = currentRuntime({ crashPoint, workerMain: import.meta.url });
  runtime.process.exit(await main(runtime));
}
