/** One finished snapshot on disk: read in pieces by any number of followers, deleted when none of them needs it. */
import { crc32 } from "../base/crc32.ts";
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Files, ReadableFile } from "../runtime/files.ts";

export interface SnapshotFile {
  /** Exactly `length` bytes. Rejects with `io_error`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** See `SnapshotLease.checksum`. */
  checksum(): Promise<number>;
  /** Closes and deletes it; the caller knows that nobody reads. */
  remove(): Promise<void>;
}

/** CRC-32 over the CRC-32s (4 bytes little-endian each) of the pieces. */
export function checksumOfPieces(crcs: readonly number[]): number {
  const bytes = new DataView(new ArrayBuffer(4 * crcs.length));
  crcs.forEach((crc, i) => bytes.setUint32(4 * i, crc, true));
  return crc32(new Uint8Array(bytes.buffer));
}

/** Opens a file that has `bytes`. Rejects with `io_error`. */
export async function snapshotFile(files: Files, path: string, bytes: number): Promise<SnapshotFile> {
  const file = await files.openRead(path);
  if (file === null || file.size !== bytes) {
    await file?.close();
    throw new DfdbError("io_error", `${path} has ${file?.size ?? "no"} bytes, not ${bytes}`);
  }
  const { snapshotPieceBytes: pieceBytes } = limits;
  const crcs = new Array<number | undefined>(Math.ceil(bytes / pieceBytes)).fill(undefined);
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const read = await exactly(file, path, offset, length);
    if (
      offset % pieceBytes === 0 &&
      length === Math.min(pieceBytes, bytes - offset)
    ) {
      crcs[offset / pieceBytes] ??= crc32(read);
    }
    return read;
  };
  return {
    read,
    async checksum() {
      const known: number[] = [];
      for (const [i, crc] of crcs.entries()) {
        const offset = i * pieceBytes;
        if (crc === undefined) await read(offset, Math.min(pieceBytes, bytes - offset));
        known.push(crcs[i] as number);
      }
      return checksumOfPieces(known);
    },
    async remove() {
      await file.close();
      await files.remove(path);
    },
  };
}

async function exactly(
  file: ReadableFile,
  path: string,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = await file.read(offset, length);
  if (bytes.length === length) return bytes;
  throw new DfdbError("io_error", `${path} ended at byte ${offset + bytes.length}`);
}
