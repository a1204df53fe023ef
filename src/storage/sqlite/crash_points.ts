/** Every label that storage gives to `crashPoint`, in the order in which a run meets them. */
export const storageCrashPoints = [
  // openStorage: lock held / new file in WAL mode but empty / schema written, not committed / usable
  "open:locked",
  "open:empty",
  "open:schema",
  "open:created",
  // write: before each operation of an entry / all rows and log rows written / durable, not yet answered
  "apply:operation",
  // an index has its name, or a table that is to be filled, not committed
  "index:linked",
  "apply:entry",
  "commit:before",
  "commit:after",
  // checkpointIfDue
  "checkpoint:before",
  "checkpoint:after",
  // buildSlice: a slice is filled, not committed
  "index:slice",
  // reclaim: rows of a dropped collection or index deleted / its table dropped, neither committed
  "reclaim:rows",
  "reclaim:table",
  // trimLog: rows deleted / the entry before the first kept is stored too, neither committed / durable
  "trim:rows",
  "trim:before",
  "trim:after",
  // close: nothing done / data file whole, not marked / marked in the WAL / marked in the data file
  "close:before",
  "close:checkpointed",
  "close:marked",
  "close:after",
] as const;

/** A label of {@linkcode storageCrashPoints}. */
export type StorageCrashPoint = (typeof storageCrashPoints)[number];

/** Labels of the tasks around snapshots, in the order in which they are met. */
export const snapshotCrashPoints = [
  // makeSnapshot: tables filled, not committed / durable, but no file of ours yet / whole
  "snapshot:filled",
  "snapshot:copied",
  "snapshot:made",
  // installSnapshot: nothing done / durable in the WAL of the live file
  "install:before",
  "install:after",
  // openStorage of a file made by a task: whole and marked / in WAL mode
  "copied:marked",
  "copied:wal",
] as const;

/** Labels that only a database with the bundle meets. */
export const versionCrashPoints = [
  // the tables of versions are made, not committed
  "bundle:tables",
  // reclaim: a slice of the tombstones of a dropped collection is written, not committed
  "drop:slice",
] as const;
