import type { Runtime } from "../../src/runtime/runtime.ts";
import { clock } from "../shared/clock.ts";
import { crypto } from "../shared/crypto.ts";
import { files } from "../shared/files.ts";
import { processHost } from "../shared/process.ts";
import { random } from "../shared/random.ts";
import type { RuntimeOptions } from "../shared/runtime_options.ts";
import { workerMain } from "../shared/worker_main.ts";
import { workersOf } from "../shared/workers.ts";
import { http } from "./http.ts";
import { net } from "./net.ts";

/** What dfdb needs from its runtime, on Bun. */
export function bunRuntime(options: RuntimeOptions = {}): Runtime {
  return {
    name: "bun",
    version: Bun.version,
    clock,
    random,
    net,
    http,
    files,
    process: processHost,
    workers: workersOf(options.workerMain ?? workerMain),
    fetch: (input, init) => globalThis.fetch(input, init),
    crypto,
    crashPoint: options.crashPoint ?? (() => {}),
  };
}
