import { limits } from "../base/limits.ts";
import type { OwnHistory } from "../engine/reached.ts";
import { reached } from "../engine/reached.ts";
import type { PositionToken } from "../storage/position_text.ts";
import { parsePosition } from "../storage/position_text.ts";
import type { Gates } from "./route.ts";
import type { HttpDependencies } from "./types.ts";

/**
 * A read with `X-Dfdb-Min-Position` is answered when this node holds that position; else with `not_caught_up`, or at
 * once with `position_lost`. One without is not even made a promise. What took its time to be read is answered only if the position is held
 * still: the history may have gone another way meanwhile.
 */
export function readGate(
  { storage: { log }, engine: { committed }, clock }: HttpDependencies,
): Gates["onRead"] {
  const own = { log, committed, clock };
  return (read) => (c) => {
    const wanted = c.req.raw.headers.get("x-dfdb-min-position");
    if (wanted === null) return read(c);
    const position = parsePosition(wanted.trim()), wait = reached(own, position, limits.minPositionMs);
    const answered = wait === null ? read(c) : wait.then(() => read(c));
    return answered instanceof Promise
      ? answered.then((answer) => stillHeld(own, position, answer))
      : answered;
  };
}

/** Rejects as `reached`; then nobody reads the rest of the answer. */
async function stillHeld(own: OwnHistory, position: PositionToken, answer: Response): Promise<Response> {
  try {
    await reached(own, position, 0);
    return answer;
  } catch (error) {
    await answer.body?.cancel();
    throw error;
  }
}
