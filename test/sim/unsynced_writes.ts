/** Writes into a file that was not synced since, and what a loss of power leaves of them. */
import type { Chance } from "./chance.ts";

export interface UnsyncedWrite {
  readonly at: number;
  /** Null: the file was emptied. */
  readonly bytes: Uint8Array | null;
  /** What was there from `at` on, as far as it was overwritten. */
  readonly before: Uint8Array;
  /** Size of the file before. */
  readonly size: number;
}

/** `content` after a loss of power: what was synced is there, each later write as a whole, in part or not at all. */
export function withoutUnsynced(
  content: Uint8Array,
  writes: readonly UnsyncedWrite[],
  chance: Chance,
): Uint8Array {
  if (writes.length === 0 || chance.flip(0.2)) return content;
  const ends = writes.map(({ at, bytes, size }) => Math.max(size, at + (bytes?.length ?? 0)));
  const file = new Uint8Array(Math.max(content.length, ...ends));
  file.set(content);
  let size = content.length;
  for (const write of writes.toReversed()) {
    file.set(write.before, write.at);
    size = write.size;
    file.fill(0, size);
  }
  const synced = size;
  for (const { at, bytes } of writes) {
    const kept = keptOf(bytes, chance);
    if (kept === null) continue;
    if (bytes === null) file.fill(0, size = 0);
    else file.set(kept, at);
    size = Math.max(size, at + kept.length);
  }
  if (size > synced && chance.flip(0.3)) size = synced + chance.below(size - synced + 1);
  return file.slice(0, size);
}

/** Null: nothing of it came to the disk. */
function keptOf(bytes: Uint8Array | null, chance: Chance): Uint8Array | null {
  const luck = chance.float();
  if (luck < 0.3) return null;
  if (bytes === null) return new Uint8Array();
  return luck < 0.6 ? bytes : bytes.subarray(0, chance.below(bytes.length + 1));
}
