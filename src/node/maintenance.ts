/** Work that nobody waits for, kept off the commit path and in slices. */
import { DfdbError } from "../base/errors.ts";
import type { Seq, WallMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import { settledWall } from "./settled_wall.ts";

export interface MaintenanceOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly committed: Signal<Position>;
  readonly logger: Logger;
  /** The log is kept to so many bytes and for so long, whichever is reached first. */
  readonly logBytesMax: number;
  readonly logAgeMs: number;
  /** What followers need of the log that take a snapshot; `bytes`: what the log may hold more for them. */
  readonly hold?: () => { readonly from: Seq; readonly bytes: number } | undefined;
  /** Moves into the data file, in a worker, what is too much of the WAL for this thread. */
  readonly checkpoint?: () => Promise<unknown>;
  /** The disk failed: the process must end. */
  readonly onFatal: (error: DfdbError) => void;
}

/**
 * Checkpoints, frees dropped collections and indexes, fills indexes and trims the log: after commits, and once a minute for what is too old.
 * Each slice has a macrotask of its own. Returns what stops it; resolves when no worker is at it any more.
 */
export function maintenance(options: MaintenanceOptions): () => Promise<void> {
  const { clock, committed, logger, onFatal } = options;
  let moving: Promise<void> | null = null;
  const nextSlice = slices(options, () => {
    if (moving === null && options.storage.checkpointIfDue()) moving = move();
  });
  let scheduled = false, stopped = false, told: string | null = null, timer: Timer | null = null;
  const run = (): void => {
    scheduled = false;
    if (stopped) return;
    try {
      if (nextSlice()) schedule();
      told = null;
    } catch (error) {
      failed(error);
    }
  };
  const failed = (error: unknown): void => {
    if (!(error instanceof DfdbError)) throw error;
    const { code } = error;
    if (code === "io_error" || code === "data_corrupt") return onFatal(error);
    // Nothing is lost: the WAL and the log stay as long as they are. The next commit or minute tries again.
    if (told !== code) logger.warn("the data file cannot be tidied", { code, reason: error.message });
    told = code;
  };
  const move = async (): Promise<void> => {
    try {
      await options.checkpoint?.();
    } catch (error) {
      failed(error);
    } finally {
      moving = null;
    }
  };
  const schedule = (): void => {
    if (scheduled || stopped) return;
    scheduled = true;
    clock.macrotask(run);
  };
  const everyMinute = (): void => {
    timer = clock.timer(limits.trimAgeEveryMs, () => {
      nextSlice.lookAtAge();
      schedule();
      everyMinute();
    });
  };
  const unsubscribe = committed.subscribe(schedule);
  everyMinute();
  schedule();
  return async () => {
    stopped = true;
    timer?.cancel();
    unsubscribe();
    await moving;
  };
}

interface Slices {
  /** Does one slice of what is due; true when there is more. */
  (): boolean;
  /** From now on also what is too old is due, until none is left. */
  lookAtAge(): void;
}

function slices(
  { storage, clock, logBytesMax, logAgeMs, hold: held }: MaintenanceOptions,
  checkpoint: () => void,
): Slices {
  const wallNow = settledWall(clock, Math.min(limits.wallSettleMs, logAgeMs));
  let now: WallMs | null = null;
  const next = (): boolean => {
    checkpoint();
    const dropped = storage.reclaim(), building = storage.buildSlice();
    const hold = held?.();
    const more = storage.trimLog({
      ...(hold === undefined ? {} : { hold: { from: hold.from, bytesMax: logBytesMax + hold.bytes } }),
      bytesMax: logBytesMax,
      age: now === null ? null : { msMax: logAgeMs, now },
    });
    if (!more) now = null;
    return dropped || building || more;
  };
  return Object.assign(next, { lookAtAge: () => void (now = wallNow()) });
}
