import type { Runtime } from "../../src/runtime/runtime.ts";
import { runtimeOf } from "../shared/runtime.ts";
import type { RuntimeOptions } from "../shared/runtime_options.ts";
import { http } from "./http.ts";
import { net } from "./net.ts";

/** What dfdb needs from its runtime, on Deno. */
export function denoRuntime(options: RuntimeOptions = {}): Runtime {
  return runtimeOf({ name: "deno", version: Deno.version.deno, net, http }, options);
}
