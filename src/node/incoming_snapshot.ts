/**
 * A snapshot on its way in, beside the data: `<data>.snapshot.incoming`, and what it is in a small `.json`. The bytes count after a
 * crash as far as the `.json` says that they are on the disk; they are read again then, so that the checksum is of the file.
 */
import * as v from "valibot";
import { utf8 } from "../base/bytes.ts";
import { crc32 } from "../base/crc32.ts";
import { DfdbError } from "../base/errors.ts";
import { isHexId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Files, WritableFile } from "../runtime/files.ts";
import type { Position } from "../storage/log.ts";
import type { SnapshotOffer } from "../wire/message.ts";
import { checksumOfPieces } from "./snapshot_file.ts";

/** The received bytes are made durable each time so many came: what a crash can cost. */
const syncBytes = 32 * limits.snapshotPieceBytes;

export interface IncomingSnapshot {
  readonly path: string;
  /** What is being received or was cut off, null: nothing is. */
  readonly held: { readonly id: string; readonly bytes: number; readonly position: Position } | null;
  /** Where a transfer that was cut off can go on: a multiple of the piece size, with one piece at least to come. */
  resumable(): Promise<{ readonly id: string; readonly offset: number } | null>;
  /** Begins a new one at 0 (`held` is discarded), or goes on where `resumable` said or before. */
  begin(offer: SnapshotOffer): Promise<void>;
  /** Bytes in order. Rejects with `corrupt` on a hole, `disk_full`, `io_error`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** All is here and durable, with this checksum; else rejects with `corrupt`. Closes the file. */
  finish(checksum: number): Promise<void>;
  /** Keeps what is here for another attempt. */
  close(): Promise<void>;
  discard(): Promise<void>;
}

interface Held {
  readonly id: string;
  readonly bytes: number;
  readonly position: Position;
  /** Bytes that an earlier process made durable and that were not read here yet. */
  unread: number;
  /** CRC-32 of each complete piece. */
  readonly crcs: number[];
  received: number;
  /** Of the piece that is being received. */
  crc: number;
}

/** Takes up what an earlier process left, unless `passed` says that its position is of no use. Rejects with `io_error`. */
export async function incomingSnapshot(
  files: Files,
  dataPath: string,
  passed: (position: Position) => boolean,
): Promise<IncomingSnapshot> {
  const path = `${dataPath}.snapshot.incoming`, aboutPath = `${path}.json`;
  let held = await leftover(files, aboutPath), file: WritableFile | null = null, synced = 0;

  const remember = async (open: WritableFile, { id, bytes, position, received }: Held): Promise<void> => {
    await open.sync();
    synced = received;
    await files.writeAtomic(
      aboutPath,
      utf8(JSON.stringify({ version: 1, id, bytes, position, durable: received })),
    );
  };
  const close = async (): Promise<void> => {
    const open = file;
    file = null;
    await open?.close();
  };
  const discard = async (): Promise<void> => {
    held = null;
    await close();
    await files.remove(aboutPath);
    await files.remove(path);
  };
  if (held === null || passed(held.position)) await discard();

  return {
    path,
    get held() {
      return held;
    },
    async resumable() {
      if (held === null) return null;
      if (held.unread > 0) await readAgain(files, path, held);
      return { id: held.id, offset: resumeAt(held) };
    },
    async begin(offer) {
      const { id, bytes, position, offset } = offer, { snapshotPieceBytes: pieceBytes } = limits;
      await close();
      if (offset > 0) {
        if (
          held?.id !== id || held.bytes !== bytes || offset > resumeAt(held) ||
          offset % pieceBytes !== 0
        ) {
          throw new DfdbError("corrupt", `snapshot ${id} cannot go on at byte ${offset} here`);
        }
        file = await files.openWrite(path, { truncate: false });
        cut(held, offset);
      } else {
        await discard();
        file = await files.openWrite(path, { truncate: true });
        held = { id, bytes, position, unread: 0, crcs: [], received: 0, crc: 0 };
      }
      // What follows is written over what may be called durable.
      await remember(file, held);
    },
    async write(offset, bytes) {
      if (held === null || file === null || offset !== held.received || offset + bytes.length > held.bytes) {
        const expected = held === null ? "nothing" : `byte ${held.received} of ${held.bytes}`;
        throw new DfdbError(
          "corrupt",
          `a snapshot's ${bytes.length} bytes at ${offset}, expected ${expected}`,
        );
      }
      await file.write(offset, bytes);
      count(held, bytes);
      if (held.received - synced >= syncBytes) await remember(file, held);
    },
    async finish(checksum) {
      if (held === null || file === null || held.received !== held.bytes) {
        throw new DfdbError(
          "corrupt",
          `a snapshot ended at byte ${held?.received ?? 0} of ${held?.bytes ?? 0}`,
        );
      }
      const own = checksumOfPieces(held.crcs);
      if (own !== checksum) {
        throw new DfdbError("corrupt", `snapshot ${held.id} has checksum ${own}, not ${checksum}`);
      }
      await remember(file, held);
      await close();
    },
    close,
    discard,
  };
}

function resumeAt({ received, bytes }: Held): number {
  const { snapshotPieceBytes: pieceBytes } = limits;
  const lastPiece = Math.max(0, Math.ceil(bytes / pieceBytes) - 1);
  return Math.min(Math.floor(received / pieceBytes), lastPiece) * pieceBytes;
}

/** Forgets what is here from `offset` on, a multiple of the piece size. */
function cut(held: Held, offset: number): void {
  const { snapshotPieceBytes: pieceBytes } = limits;
  held.crcs.length = offset / pieceBytes;
  held.received = offset;
  held.unread = 0;
  held.crc = 0;
}

/** Adds bytes that follow what was received. */
function count(held: Held, bytes: Uint8Array): void {
  const { snapshotPieceBytes: pieceBytes } = limits;
  for (let at = 0; at < bytes.length;) {
    const length = Math.min(
      bytes.length - at,
      pieceBytes - held.received % pieceBytes,
    );
    held.crc = crc32(bytes.subarray(at, at + length), held.crc);
    held.received += length;
    at += length;
    if (held.received % pieceBytes !== 0 && held.received !== held.bytes) continue;
    held.crcs.push(held.crc);
    held.crc = 0;
  }
}

const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const id = v.custom<string>(isHexId);
const about = v.object({
  version: v.literal(1),
  id,
  bytes: whole,
  position: v.object({ seq: whole, epoch: whole, run: id, chain: whole }),
  durable: whole,
});

/** What an earlier process was receiving; null: nothing of use. */
async function leftover(files: Files, aboutPath: string): Promise<Held | null> {
  const described = await files.read(aboutPath);
  if (described === null) return null;
  const known = v.safeParse(v.pipe(v.string(), v.parseJson(), about), new TextDecoder().decode(described));
  if (!known.success) return null;
  const { id, bytes, position, durable } = known.output;
  const unread = Math.min(durable, bytes);
  return { id, bytes, position: position as Position, unread, crcs: [], received: 0, crc: 0 };
}

/** Reads what is durable, so that the checksum is of what the disk gives. */
async function readAgain(files: Files, path: string, held: Held): Promise<void> {
  const { snapshotPieceBytes: pieceBytes } = limits;
  const file = await files.openRead(path);
  try {
    while (file !== null && held.received < held.unread) {
      const bytes = await file.read(
        held.received,
        Math.min(pieceBytes, held.unread - held.received),
      );
      if (bytes.length === 0) break;
      count(held, bytes);
    }
    held.unread = 0;
  } finally {
    await file?.close();
  }
}
