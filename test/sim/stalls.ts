/** No call of a node holds its thread too long: in real time, which a shared machine disturbs, so a seed gets three chances. */
import type { SeedResult } from "./result.ts";

/** What else happens on the machine does not slow the same event down each time. */
const attempts = 3;

/**
 * Runs a seed; again when an event held a thread for too long, which is the result's violation when the same event did so each
 * time. `run` gives the same events each time.
 */
export async function withStallsChecked(run: () => Promise<SeedResult>): Promise<SeedResult> {
  const result = await run();
  let slow = result.slowEvents;
  for (let attempt = 1; attempt < attempts && slow.length > 0 && result.violation === null; attempt++) {
    const again = new Set((await run()).slowEvents);
    slow = slow.filter((event) => again.has(event));
  }
  if (slow.length === 0 || result.violation !== null) return result;
  const message = `stall: event ${slow.join(", ")} held a thread for ${
    result.longestMs.toFixed(0)
  } ms, ${attempts} times`;
  return { ...result, violation: { checker: "stall", message, stack: `Violation: ${message}` } };
}
