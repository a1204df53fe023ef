import { limits } from "../base/limits.ts";
import { reached } from "../engine/reached.ts";
import { parsePosition } from "../storage/position_text.ts";
import type { Gates } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/**
 * A read with `X-Dfdb-Min-Position` is answered when this node holds that position; else with `not_caught_up`, or at
 * once with `position_lost`. One without is not even made a promise.
 */
export function readGate(
  { storage: { log }, engine: { committed }, clock }: HttpDependencies,
): Gates["onRead"] {
  const own = { log, committed, clock };
  return (read) => (c) => {
    const wanted = c.req.raw.headers.get("x-dfdb-min-position");
    if (wanted === null) return read(c);
    const wait = reached(own, parsePosition(wanted.trim()), limits.minPositionMs);
    return wait === null ? read(c) : wait.then(() => read(c));
  };
}
