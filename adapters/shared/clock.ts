import { setImmediate } from "node:timers";
import { monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import type { Clock, Timer } from "../../src/runtime/runtime.ts";

/** Longest delay that setTimeout takes; a longer one would fire at once. */
const delayMsMax = 2 ** 31 - 1;

function timer(delayMs: number, run: () => void): Timer {
  const due = performance.now() + delayMs;
  let handle: ReturnType<typeof setTimeout>;
  const arm = (): void => {
    const left = due - performance.now();
    handle = setTimeout(fire, Math.min(Math.max(Math.ceil(left), 0), delayMsMax));
  };
  // The timers of all three runtimes count whole milliseconds from a loop time that may be stale: they can fire a
  // fraction of a millisecond early against performance.now(), so what is early is armed again.
  const fire = (): void => performance.now() < due ? arm() : run();
  arm();
  return { cancel: () => clearTimeout(handle) };
}

/** The machine's clocks and the event loop's timers. */
export const clock: Clock = {
  monotonic: () => monotonicMsOf(performance.now()),
  wall: () => wallMsOf(Date.now()),
  timer,
  macrotask: (run) => void setImmediate(run),
};
