import type { HttpHost } from "../../src/runtime/http_host.ts";
import type { Net } from "../../src/runtime/net.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { certificates } from "./certificates.ts";
import { clock } from "./clock.ts";
import { crypto } from "./crypto.ts";
import { files } from "./files.ts";
import { processHost } from "./process.ts";
import { random } from "./random.ts";
import type { RuntimeOptions } from "./runtime_options.ts";
import { workerMain } from "./worker_main.ts";
import { workersOf } from "./workers.ts";

/** What differs between the runtimes. */
export interface OwnParts {
  readonly name: "deno" | "bun" | "node";
  readonly version: string;
  readonly net: Net;
  readonly http: HttpHost;
}

/** A runtime out of what is its own and what all three share. */
export function runtimeOf(own: OwnParts, options: RuntimeOptions): Runtime {
  return {
    ...own,
    clock,
    random,
    files,
    process: processHost,
    workers: workersOf(options.workerMain ?? workerMain),
    // Looked up at each call: an adapter may replace the globals.
    fetch: (input, init) => globalThis.fetch(input, init),
    crypto,
    certificates,
    crashPoint: options.crashPoint ?? (() => {}),
  };
}
