/** Counts the documents that break a unique index or the schema of their collection, when somebody asks: in a worker, for so long at most. */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { collectionKey } from "../document/names.ts";
import type { Violations } from "../http/violation_types.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { RunOptions, Workers } from "../runtime/workers.ts";
import type { SharedKeys } from "../storage/sqlite/shared_keys.ts";
import type { Storage } from "../storage/storage.ts";
import { runTask } from "./tasks.ts";

/** Counts at the same time. */
const runningMax = 2;

export interface ViolationsOptions {
  readonly storage: Pick<Storage, "stats">;
  readonly workers: Pick<Workers, "run">;
  readonly clock: Pick<Clock, "timer">;
}

/** To be closed before the storage is. */
export interface ClosableViolations extends Violations {
  /** Ends what is counted; resolves when no thread reads any more. */
  close(): Promise<void>;
}

export function violations({ storage, workers, clock }: ViolationsOptions): ClosableViolations {
  const running = new Map<AbortController, Promise<unknown>>();
  let closed = false;
  /** Null: it took too long. Its thread counts as running until it has ended, whenever that is. */
  const counted = async <Result>(run: (options: RunOptions) => Promise<Result>): Promise<Result | null> => {
    if (closed) throw closing();
    if (running.size >= runningMax) {
      throw new DfdbError("busy", "Other violations are being counted here; try again when that is done");
    }
    const abort = new AbortController(), late = Promise.withResolvers<null>();
    const timer = clock.timer(limits.violationsMs, () => {
      late.resolve(null);
      abort.abort(new DfdbError("timeout", "Counting took too long"));
    });
    const work = run({ signal: abort.signal }).finally(() => {
      timer.cancel();
      running.delete(abort);
    });
    running.set(abort, work.catch(() => {}));
    return await Promise.race([late.promise, work]);
  };
  const path = (): string => storage.stats().path;
  return {
    async ofIndexes(collection) {
      const found = new Map<string, number>();
      const onProgress = (value: unknown): void => {
        const { index, documents } = value as SharedKeys;
        found.set(index, documents);
      };
      await counted((options) =>
        runTask(workers, "sqlite.sharedKeys", { path: path(), collection }, { ...options, onProgress })
      );
      return found;
    },
    ofSchema(collection, text) {
      const schema = { collection: collectionKey(collection), text };
      return counted((options) =>
        runTask(workers, "sqlite.schemaViolations", { path: path(), schema }, options)
      );
    },
    async close() {
      closed = true;
      for (const abort of running.keys()) abort.abort(closing());
      await Promise.all(running.values());
    },
  };
}

const closing = (): DfdbError => new DfdbError("closing", "This node is stopping");
