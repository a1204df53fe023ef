/** Whether the wall clock can be trusted with deleting something for its age. */
import type { WallMs } from "../base/ids.ts";
import type { Clock } from "../runtime/runtime.ts";

/**
 * The wall time once the wall clock has kept pace with the monotonic one for `settleMs`, null before. The start, and a
 * jump of more than a sixtieth of `settleMs` either way between two calls (set by hand or by the network, or a machine
 * that slept), begin the waiting anew: a clock that was wrong for a while deletes nothing. `settled`: the start does not.
 */
export function settledWall(clock: Clock, settleMs: number, settled = false): () => WallMs | null {
  let wall = clock.wall(), monotonic = clock.monotonic();
  let since = settled ? monotonic - settleMs : monotonic;
  return () => {
    const wallBefore = wall, passedFrom = monotonic;
    wall = clock.wall();
    monotonic = clock.monotonic();
    const jump = (wall - wallBefore) - (monotonic - passedFrom);
    if (Math.abs(jump) > settleMs / 60) since = monotonic;
    return monotonic - since >= settleMs ? wall : null;
  };
}
