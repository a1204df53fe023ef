import type { Clock } from "../runtime/runtime.ts";
import { isLarge, Slice } from "../storage/entry_codec.ts";
import type { LogEntry, Position } from "../storage/log.ts";
import type { OpenWrite, Storage, WriteTransaction } from "../storage/storage.ts";

/** A transaction in slices; exactly one of `done` and `failed` is called, once. */
export interface SlicedWrite<Value> {
  readonly slices: (tx: WriteTransaction) => Generator<void, Value, void>;
  /** In the macrotask of COMMIT; what it throws rolls everything back. */
  readonly beforeCommit: () => void;
  readonly done: (value: Value) => void;
  /** Nothing was kept. */
  readonly failed: (error: unknown) => void;
}

/** Runs the first slice now, and each further one in a later macrotask; COMMIT goes with the last. */
export function writeInSlices<Value>(storage: Storage, clock: Clock, write: SlicedWrite<Value>): void {
  let open: OpenWrite | null = null, steps: Generator<void, Value, void> | null = null;
  const turn = (): void => {
    let value: Value;
    try {
      const transaction = open ??= storage.begin();
      const step = transaction.slice((tx) => (steps ??= write.slices(tx)).next());
      if (step.done !== true) return clock.macrotask(turn);
      transaction.slice(write.beforeCommit);
      transaction.commit();
      value = step.value;
    } catch (error) {
      return write.failed(error);
    }
    write.done(value);
  };
  turn();
}

/** Applies entries of which some are large. */
export function* applyInSlices(
  tx: WriteTransaction,
  entries: readonly LogEntry[],
): Generator<void, Position, void> {
  const slice = new Slice();
  let last = tx.position;
  for (const entry of entries) {
    if (isLarge(entry.payload)) {
      last = yield* tx.applyInSlices(entry);
    } else {
      last = tx.apply(entry);
      if (slice.full(entry.payload.length)) yield;
    }
  }
  return last;
}
