import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { clock } from "../../adapters/shared/clock.ts";

/** A stack that is scanned conservatively may hold an object for some rounds. */
const roundsMax = 50;

/** A full collection, at once: memory pressure alone leaves when, and of which generation, to the runtime. */
function collector(): () => void {
  const { Bun: bun } = globalThis as unknown as { readonly Bun?: { gc(force: boolean): void } };
  if (bun !== undefined) return () => bun.gc(true);
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  assert.ok(typeof gc === "function", "V8 shows its collector to new contexts");
  return () => void gc();
}

const macrotask = (): Promise<void> => new Promise((resolve) => clock.macrotask(resolve));

/**
 * Collects all garbage until no more than `max` of the objects are left, and says how many are.
 *
 * @param refs the objects; nothing else may be asked of them meanwhile
 * @param max how many may stay: a conservative collector may take what lies on the stack for one of them
 */
export async function leftAfterCollection(refs: readonly WeakRef<object>[], max: number): Promise<number> {
  const collect = collector();
  let left = refs.length;
  for (let round = 0; round < roundsMax && left > max; round++) {
    // What `deref` gave, and what was just made, lives until its macrotask ends.
    await macrotask();
    collect();
    await macrotask();
    left = refs.filter((ref) => ref.deref() !== undefined).length;
  }
  return left;
}
