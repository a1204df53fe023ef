import { crc32 } from "../base/crc32.ts";
import type { RunId, Seq, WallMs } from "../base/ids.ts";
import { unhex } from "../base/bytes.ts";
import type { Term } from "./log.ts";

// Header, 44 bytes, little-endian: previous chain u32, epoch u64, run 16 bytes, seq u64, wallMs u64. Part of the
// format: test/golden holds its bytes.
const header = new Uint8Array(44);
const view = new DataView(header.buffer);
// Consecutive entries are nearly always of one run: its bytes stay in the header.
let runInHeader: RunId | null = null;

/**
 * The chain value after an entry: CRC-32 over the header (which holds the chain before it) and the payload's exact
 * bytes. `previous` is 0 before the first entry. Numbers are whole, at least 0 and below 2^53.
 */
export function chainAfter(
  previous: number,
  term: Term,
  seq: Seq,
  wallMs: WallMs,
  payload: Uint8Array,
): number {
  if (term.run !== runInHeader) {
    header.set(unhex(term.run), 12);
    runInHeader = term.run;
  }
  view.setUint32(0, previous, true);
  setUint64(4, term.epoch);
  setUint64(28, seq);
  setUint64(36, wallMs);
  return crc32(payload, crc32(header));
}

function setUint64(at: number, value: number): void {
  // `>>> 0` keeps the low 32 bits of any whole number below 2^53.
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, value / 2 ** 32, true);
}
