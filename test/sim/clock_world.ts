/** A world that is a clock itself: for tests of one part in virtual time, without machines and processes. */
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import type { Clock, Timer } from "../../src/runtime/runtime.ts";
import { wallStart } from "./sim_process.ts";
import { World } from "./world.ts";

export class ClockWorld extends World implements Clock {
  monotonic() {
    return monotonicMsOf(this.now);
  }

  wall() {
    return wallMsOf(wallStart + Math.floor(this.now));
  }

  timer(delayMs: number, run: () => void): Timer {
    return this.at(null, delayMs, run, "timer");
  }

  macrotask(run: () => void): void {
    this.timer(0, run);
  }
}
