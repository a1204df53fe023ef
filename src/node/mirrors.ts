/**
 * Mirrors of the applied position for people and tools: `<data>.followerseq` (last seq) and `<data>.term` (its
 * epoch), each 8 bytes little-endian. The database alone decides; these are never read to resume.
 */
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import { limits } from "../base/limits.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { Files } from "../runtime/files.ts";
import type { Position } from "../storage/log.ts";

export interface Mirrors {
  /** Writes what is due and stops. */
  close(): Promise<void>;
}

/** What the sidecars say, 0 where they say nothing. */
export interface MirrorPosition {
  readonly seq: number;
  readonly epoch: number;
}

export interface MirrorOptions {
  readonly dataPath: string;
  readonly files: Files;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly committed: Signal<Position>;
  /** The data file is older than its sidecar, which holds this. Called before anything is overwritten. */
  readonly onAhead: (mirror: MirrorPosition) => void;
  /** While true, what is on the disk stays: nobody has said yet what a sidecar that is ahead knew of. */
  readonly hold: () => boolean;
}

/** Compares the mirrors with the database, rewrites what differs, then follows the commits at most every 200 ms. */
export async function mirrors(options: MirrorOptions): Promise<Mirrors> {
  const { dataPath, files, clock, logger, committed, onAhead, hold } = options;
  const seqPath = `${dataPath}.followerseq`, termPath = `${dataPath}.term`;
  const written = {
    seq: await readMirror(files, seqPath, logger),
    epoch: await readMirror(files, termPath, logger),
  };
  const { seq, epoch } = committed.value;
  if ((written.seq ?? 0) > seq || (written.epoch ?? 0) > epoch) {
    onAhead({ seq: written.seq ?? 0, epoch: written.epoch ?? 0 });
  } else if (seq > 0 && (written.seq !== seq || written.epoch !== epoch)) {
    logger.warn("position mirrors differ from the database and are written anew", {
      mirrorSeq: written.seq,
      databaseSeq: seq,
      mirrorEpoch: written.epoch,
      databaseEpoch: epoch,
    });
  }
  let timer: Timer | null = null;
  let writing: Promise<void> = Promise.resolve();
  const write = async (): Promise<void> => {
    if (hold()) return;
    const now = committed.value;
    try {
      if (written.epoch !== now.epoch) await files.writeAtomic(termPath, number8(now.epoch));
      if (written.seq !== now.seq) await files.writeAtomic(seqPath, number8(now.seq));
      written.epoch = now.epoch;
      written.seq = now.seq;
    } catch (error) {
      logger.warn("position mirrors could not be written", { error: messageOf(error) });
    }
  };
  const due = (): void => {
    timer ??= clock.timer(limits.mirrorEveryMs, () => {
      timer = null;
      writing = writing.then(write);
    });
  };
  const unsubscribe = committed.subscribe(due);
  await write();
  return {
    async close() {
      unsubscribe();
      timer?.cancel();
      await writing;
      await write();
    },
  };
}

function number8(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** Null when there is none, or when it is not 8 bytes of a number that can be: that is told. */
async function readMirror(files: Files, path: string, logger: Logger): Promise<number | null> {
  const bytes = await files.read(path);
  if (bytes === null) return null;
  const value = bytes.length === 8
    ? new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
    : null;
  if (value !== null && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  logger.warn("a position mirror holds no number", { path, bytes: bytes.length });
  return null;
}
