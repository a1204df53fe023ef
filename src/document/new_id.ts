import { assert } from "../base/assert.ts";
import type { DocumentId } from "../base/ids.ts";
import type { Clock, Random } from "../runtime/runtime.ts";

/** Bytes drawn at a time, a multiple of what one id takes. */
const poolBytes = 1000, idRandomBytes = 10;
const counterMax = 0xfff;

/**
 * Makes document ids: UUIDv7 (RFC 9562) as 32 lower-case hex digits. 48 bits of wall milliseconds, then a
 * 12-bit counter that starts at random in the lower half of its range, then 62 random bits. Ids of one
 * factory rise strictly as text, also while the wall clock stands still or goes back: a full counter
 * borrows the next millisecond.
 */
export function newDocumentIds(random: Random, clock: Pick<Clock, "wall">): () => DocumentId {
  let pool: DataView = new DataView(new ArrayBuffer(0)), at = 0;
  let ms = -1, counter = 0, prefix = "";

  const startMs = (next: number): void => {
    assert(next < 2 ** 48, "the wall clock fits a UUIDv7");
    ms = next;
    prefix = `${next.toString(16).padStart(12, "0")}7`;
    counter = pool.getUint16(at) & (counterMax >> 1);
  };

  return () => {
    if (at + idRandomBytes > pool.byteLength) {
      const bytes = random.bytes(poolBytes);
      pool = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      at = 0;
    }
    const wall = Math.max(0, Math.floor(clock.wall()));
    if (wall > ms) startMs(wall);
    else if (counter === counterMax) startMs(ms + 1);
    else counter++;
    const high = ((pool.getUint32(at + 2) & 0x3fffffff) | 0x80000000) >>> 0;
    const low = pool.getUint32(at + 6);
    at += idRandomBytes;
    const text = prefix + counter.toString(16).padStart(3, "0") + high.toString(16) +
      low.toString(16).padStart(8, "0");
    return text as DocumentId;
  };
}
