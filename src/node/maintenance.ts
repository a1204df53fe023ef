/** Work that nobody waits for, kept off the commit path and in slices. */
import { DfdbError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";

export interface MaintenanceOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly committed: Signal<Position>;
  readonly logger: Logger;
  /** The disk failed: the process must end. */
  readonly onFatal: (error: DfdbError) => void;
}

/** Checkpoints and frees dropped collections after commits. Returns what stops it. */
export function maintenance({ storage, clock, committed, logger, onFatal }: MaintenanceOptions): () => void {
  let scheduled = false, stopped = false, full = false;
  const run = (): void => {
    scheduled = false;
    if (stopped) return;
    try {
      storage.checkpointIfDue();
      if (storage.reclaim()) schedule();
      full = false;
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      if (error.code !== "disk_full") return onFatal(error);
      // Nothing is lost: the WAL stays as long as it is. The next commit tries again.
      if (!full) {
        logger.warn("the disk is full: the WAL cannot be moved into the data file", { error: error.message });
      }
      full = true;
    }
  };
  const schedule = (): void => {
    if (scheduled || stopped) return;
    scheduled = true;
    clock.macrotask(run);
  };
  const unsubscribe = committed.subscribe(schedule);
  schedule();
  return () => {
    stopped = true;
    unsubscribe();
  };
}
