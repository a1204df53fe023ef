import type { CrashPoint, Runtime } from "../../src/runtime/runtime.ts";
import { clock } from "../shared/clock.ts";
import { crypto } from "../shared/crypto.ts";
import { files } from "../shared/files.ts";
import { processHost } from "../shared/process.ts";
import { random } from "../shared/random.ts";
import { workers } from "../shared/workers.ts";
import { http } from "./http.ts";
import { net } from "./net.ts";

/** What dfdb needs from its runtime, on Bun. */
export function bunRuntime(options: { readonly crashPoint?: CrashPoint } = {}): Runtime {
  return {
    name: "bun",
    version: Bun.version,
    clock,
    random,
    net,
    http,
    files,
    process: processHost,
    workers,
    fetch: (input, init) => globalThis.fetch(input, init),
    crypto,
    crashPoint: options.crashPoint ?? (() => {}),
  };
}
