import type { CrashPoint } from "../../src/runtime/runtime.ts";

/** What tests set when they make a runtime. */
export interface RuntimeOptions {
  readonly crashPoint?: CrashPoint;
  /** File URL of the module that worker threads load instead of `worker_main.ts`. */
  readonly workerMain?: string;
}
