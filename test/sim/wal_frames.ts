/** SQLite's write-ahead log as bytes: what is committed in it, and what a loss of power makes of the rest. */
import type { Chance } from "./chance.ts";

const headerBytes = 32, frameHeaderBytes = 24;
const magic = 0x377f0682;

/** Lengths at which the log ends with a whole transaction, rising; empty when it holds none. What is behind the last is not valid. */
export function commitEnds(wal: Uint8Array): readonly number[] {
  const view = new DataView(wal.buffer, wal.byteOffset, wal.byteLength);
  if (wal.length < headerBytes || (view.getUint32(0) & ~1) >>> 0 !== magic) return [];
  const sum = new Checksum(view, view.getUint32(0) === magic);
  const pageBytes = view.getUint32(8), saltA = view.getUint32(16), saltB = view.getUint32(20);
  sum.add(0, 24);
  if (!sum.is(24)) return [];
  const ends: number[] = [];
  for (let at = headerBytes; at + frameHeaderBytes + pageBytes <= wal.length;) {
    if (view.getUint32(at + 8) !== saltA || view.getUint32(at + 12) !== saltB) break;
    sum.add(at, at + 8);
    sum.add(at + frameHeaderBytes, at + frameHeaderBytes + pageBytes);
    if (!sum.is(at + 16)) break;
    const isCommit = view.getUint32(at + 4) !== 0;
    at += frameHeaderBytes + pageBytes;
    if (isCommit) ends.push(at);
  }
  return ends;
}

/**
 * The data file `data` with the transactions of `wal` up to byte `end`, one of its `commitEnds`: what SQLite's checkpoint would make of
 * the two.
 */
export function checkpointed(data: Uint8Array, wal: Uint8Array, end: number): Uint8Array {
  const view = new DataView(wal.buffer, wal.byteOffset, wal.byteLength), pageBytes = view.getUint32(8);
  const frameBytes = frameHeaderBytes + pageBytes, newest = new Map<number, number>();
  for (let at = headerBytes; at < end; at += frameBytes) {
    newest.set(view.getUint32(at), at + frameHeaderBytes);
  }
  const pages = view.getUint32(end - frameBytes + 4), file = new Uint8Array(pages * pageBytes);
  file.set(data.subarray(0, file.length));
  for (const [page, at] of newest) {
    if (page <= pages) file.set(wal.subarray(at, at + pageBytes), (page - 1) * pageBytes);
  }
  return file;
}

/**
 * The log after a loss of power. Every COMMIT syncs it (`synchronous = FULL`): the whole transactions stay, what follows may be there,
 * cut, or garbage. `inCommit`: the power went inside the last COMMIT, before its sync.
 */
export function afterPowerLoss(wal: Uint8Array, chance: Chance, inCommit: boolean): Uint8Array {
  const kept = commitEnds(wal).at(inCommit ? -2 : -1) ?? 0;
  const length = chance.flip(0.3) ? wal.length : kept + chance.below(wal.length - kept + 1);
  const garbage = chance.flip(0.3) ? chance.bytes(chance.below(5_000)) : new Uint8Array();
  const left = new Uint8Array(length + garbage.length);
  left.set(wal.subarray(0, length));
  left.set(garbage, length);
  if (length > kept && chance.flip(0.3)) {
    // A block that did not come to the disk before those behind it did.
    const from = kept + chance.below(length - kept);
    left.fill(0, from, Math.min(length, from + 512));
  }
  return left;
}

/** As SQLite sums up header and frames: each goes on from the one before. */
class Checksum {
  readonly #view: DataView;
  readonly #littleEndian: boolean;
  #a = 0;
  #b = 0;

  constructor(view: DataView, littleEndian: boolean) {
    this.#view = view;
    this.#littleEndian = littleEndian;
  }

  add(from: number, to: number): void {
    const view = this.#view, littleEndian = this.#littleEndian;
    let a = this.#a, b = this.#b;
    for (let at = from; at < to; at += 8) {
      a = (a + view.getUint32(at, littleEndian) + b) | 0;
      b = (b + view.getUint32(at + 4, littleEndian) + a) | 0;
    }
    this.#a = a;
    this.#b = b;
  }

  /** True when it is the one that is written at `at`. */
  is(at: number): boolean {
    return this.#a >>> 0 === this.#view.getUint32(at) && this.#b >>> 0 === this.#view.getUint32(at + 4);
  }
}
