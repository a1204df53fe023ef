import type { Runtime } from "../../src/runtime/runtime.ts";
import { runtimeOf } from "../shared/runtime.ts";
import type { RuntimeOptions } from "../shared/runtime_options.ts";
import { http } from "./http.ts";
import { net } from "./net.ts";

/** What dfdb needs from its runtime, on Bun. */
export function bunRuntime(options: RuntimeOptions = {}): Runtime {
  return runtimeOf({ name: "bun", version: Bun.version, net, http }, options);
}
