/** One pass through what has expired in a collection: slice after slice, each in a transaction of its own, others having their turn in between. */
import { DfdbError } from "../base/errors.ts";
import type { WallMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { IndexParts } from "./build_index.ts";
import type { Expiry, ExpiryPlace } from "./expire.ts";
import { expireSlice, firstDue, firstExpiry } from "./expire.ts";
import type { TtlSetting } from "./ttl.ts";

export interface Sweep {
  readonly collection: string;
  readonly setting: TtlSetting;
  /** Asked before each slice: what expired then or before goes; null ends the pass. */
  readonly now: () => WallMs | null;
  readonly pause: (ms: number) => Promise<void>;
  readonly onDeleted: (documents: number) => void;
}

/** Faults of documents, not of the node: the others can go all the same. */
const faults: ReadonlySet<string> = new Set([
  "conflict",
  "duplicate_key",
  "payload_too_large",
  "schema_violation",
]);

/**
 * Each document is met once: one that a rule holds waits for the next pass. Rejects with what a write rejects with; what was
 * deleted by then stays so.
 */
export async function sweepCollection(parts: IndexParts, sweep: Sweep): Promise<void> {
  const { storage, engine, clock, logger } = parts, { collection, setting } = sweep;
  let after: ExpiryPlace = firstExpiry, most: number = limits.expiryDocuments, held = 0;
  for (let now = sweep.now(); now !== null; now = sweep.now()) {
    const expiry: Expiry = { collection, setting, now, after, most };
    const first = storage.read((view) => firstDue(view, expiry));
    if (first === null) break;
    const begunMs = clock.monotonic();
    try {
      const { value } = await engine.submit(expireSlice(expiry));
      sweep.onDeleted(value.deleted);
      held += value.held;
      if (value.next === null) break;
      after = value.next;
      most = Math.min(limits.expiryDocuments, most * 2);
    } catch (error) {
      if (!(error instanceof DfdbError) || !faults.has(error.code)) throw error;
      // Which one it is shows when there are fewer.
      if (most === 1) {
        after = first;
        held++;
      }
      most = Math.ceil(most / 8);
    }
    const tookMs = clock.monotonic() - begunMs;
    await sweep.pause(Math.max(limits.expiryPauseMs, limits.expiryPauseShare * tookMs));
  }
  if (held > 0) logger.debug("expired documents are held by rules", { collection, documents: held });
}
