#!/usr/bin/env bun
import { main } from "../../src/cli/main.ts";
import { inTaskThread } from "../shared/task_thread.ts";
import { bunRuntime } from "./mod.ts";

// In an executable this file is in the bundle that a worker thread loads, too.
if (!inTaskThread) {
  const runtime = bunRuntime();
  runtime.process.exit(await main(runtime));
}
