/** Work that nobody waits for, kept off the commit path and in slices. */
import { DfdbError } from "../base/errors.ts";
import type { WallMs } from "../base/ids.ts";
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
  /** The disk failed: the process must end. */
  readonly onFatal: (error: DfdbError) => void;
}

/**
 * Checkpoints, frees dropped collections and trims the log: after commits, and once a minute for what is too old.
 * Each slice has a macrotask of its own. Returns what stops it.
 */
export function maintenance(options: MaintenanceOptions): () => void {
  const { clock, committed, logger, onFatal } = options;
  const nextSlice = slices(options);
  let scheduled = false, stopped = false, full = false, timer: Timer | null = null;
  const run = (): void => {
    scheduled = false;
    if (stopped) return;
    try {
      if (nextSlice()) schedule();
      full = false;
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      if (error.code !== "disk_full") return onFatal(error);
      // Nothing is lost: the WAL and the log stay as long as they are. The next commit or minute tries again.
      if (!full) logger.warn("the disk is full: the data file cannot be tidied", { error: error.message });
      full = true;
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
  return () => {
    stopped = true;
    timer?.cancel();
    unsubscribe();
  };
}

interface Slices {
  /** Does one slice of what is due; true when there is more. */
  (): boolean;
  /** From now on also what is too old is due, until none is left. */
  lookAtAge(): void;
}

function slices({ storage, clock, logBytesMax, logAgeMs }: MaintenanceOptions): Slices {
  const wallNow = settledWall(clock, Math.min(limits.wallSettleMs, logAgeMs));
  let now: WallMs | null = null;
  const next = (): boolean => {
    storage.checkpointIfDue();
    if (storage.reclaim()) return true;
    const more = storage.trimLog({
      bytesMax: logBytesMax,
      age: now === null ? null : { msMax: logAgeMs, now },
    });
    if (!more) now = null;
    return more;
  };
  return Object.assign(next, { lookAtAge: () => void (now = wallNow()) });
}
