import type { Random } from "../../src/runtime/runtime.ts";

/** The system's generator for bytes, the engine's for floats (jitter needs speed, not secrecy). */
export const random: Random = {
  bytes: (length) => globalThis.crypto.getRandomValues(new Uint8Array(length)),
  float: () => Math.random(),
};
