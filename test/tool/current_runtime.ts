import type { RuntimeOptions } from "../../adapters/shared/runtime_options.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";

type MakeRuntime = (options?: RuntimeOptions) => Runtime;

/** Loads only the adapter that fits: the others name globals that are not there. */
async function load(): Promise<MakeRuntime> {
  if ("Deno" in globalThis) return (await import("../../adapters/deno/mod.ts")).denoRuntime;
  if ("Bun" in globalThis) return (await import("../../adapters/bun/mod.ts")).bunRuntime;
  return (await import("../../adapters/node/mod.ts")).nodeRuntime;
}

const make = await load();

/** The runtime that this test runs on. Only test code may tell runtimes apart. */
export const currentRuntime: MakeRuntime = (options) => make(options);
