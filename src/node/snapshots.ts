/** The leader's snapshots: made in a worker, one at a time, shared by all followers that want one, deleted when they are old. */
import { hex } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import { judgePosition } from "../replication/judge_position.ts";
import type { SnapshotLease, SnapshotSource } from "../replication/types.ts";
import type { Runtime, Timer } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import { checkRoom } from "./disk_room.ts";
import { leftBy } from "./left_by.ts";
import type { SnapshotFile } from "./snapshot_file.ts";
import { snapshotFile } from "./snapshot_file.ts";
import { syncedMeanwhile } from "./synced_meanwhile.ts";
import { runTask } from "./tasks.ts";

export interface SnapshotSourceOptions {
  readonly runtime: Pick<Runtime, "clock" | "files" | "random" | "workers">;
  readonly storage: Pick<Storage, "databaseId" | "log" | "stats">;
  /** The live data file. */
  readonly dataPath: string;
  /** Folder of the snapshots alone: what is found there at start is deleted. */
  readonly folder: string;
  readonly logger: Logger;
}

export interface Snapshots extends SnapshotSource {
  /**
   * What has to be kept of the log for the snapshots that are kept or being made, so that those who take them can go on; undefined: nothing.
   * The log may be longer by `bytes` for it, the size of the largest: unless the log grows faster than a snapshot travels, a
   * follower that got one does not need another.
   */
  hold(): { readonly from: Seq; readonly bytes: number } | undefined;
  describe(): SnapshotsStatus;
  /** Stops a making and deletes what nobody reads; what is read goes when its last reader releases it. */
  close(): Promise<void>;
}

export interface SnapshotsStatus {
  /** Null when none is being made. */
  readonly making: { readonly sinceMs: WallMs } | null;
  /** Newest first. */
  readonly kept: readonly {
    readonly id: string;
    readonly bytes: number;
    readonly seq: Seq;
    readonly readers: number;
    readonly madeMs: WallMs;
  }[];
}

interface Kept {
  readonly id: string;
  readonly bytes: number;
  readonly position: Position;
  readonly madeMs: WallMs;
  readonly file: SnapshotFile;
  readers: number;
  /** Runs while nobody reads. */
  timer: Timer | null;
}

interface Making {
  readonly sinceMs: WallMs;
  /** End of the log when it began: the snapshot does not end before. */
  readonly after: Seq;
  readonly made: Promise<Kept>;
}

/** So many that nobody reads are kept, the newest ones. */
const unreadMax = 2;

/** A kept snapshot is worth more than a new one while the log after it is below this, or below half of it. */
const reuseLogBytes = 64 * 1024 * 1024;

/** Deletes what a process before this one left in the folder. Rejects with `io_error`. */
export async function snapshotSource(options: SnapshotSourceOptions): Promise<Snapshots> {
  const { runtime: { clock, files }, storage: { log }, folder, logger } = options;
  for (const name of await files.list(folder)) await files.remove(files.join(folder, name));
  const stop = new AbortController();
  let kept: Kept[] = [], making: Making | null = null;
  let removed: Promise<unknown> = Promise.resolve();

  const remove = (snapshot: Kept): void => {
    kept = kept.filter((other) => other !== snapshot);
    snapshot.timer?.cancel();
    const removal = snapshot.file.remove().catch((error) =>
      logger.warn("a snapshot could not be deleted", { id: snapshot.id, error: messageOf(error) })
    );
    removed = Promise.all([removed, removal]);
  };

  const unused = (snapshot: Kept): void => {
    if (stop.signal.aborted) return remove(snapshot);
    for (const old of kept.filter(({ readers }) => readers === 0).slice(unreadMax)) remove(old);
    if (!kept.includes(snapshot)) return;
    snapshot.timer = clock.timer(limits.snapshotKeepMs, () => remove(snapshot));
  };

  const make = (): Making => {
    const made = makeSnapshot(options, stop.signal).then((snapshot) => {
      kept = [snapshot, ...kept];
      unused(snapshot); // until somebody takes it, and when those who wanted it are gone
      return snapshot;
    }).finally(() => making = null);
    made.catch(() => {}); // those who wait are told; there may be none left
    return { sinceMs: clock.wall(), after: log.last.seq, made };
  };

  const lease = (snapshot: Kept): SnapshotLease => {
    const { id, bytes, position, file } = snapshot;
    snapshot.timer?.cancel();
    snapshot.readers++;
    let released = false;
    const held = (): void => {
      if (released) throw new DfdbError("io_error", `Snapshot ${id} is not held any more`);
    };
    return {
      id,
      bytes,
      position,
      async read(offset, length) {
        held();
        return await file.read(offset, length);
      },
      async checksum() {
        held();
        return await file.checksum();
      },
      release() {
        if (released) return;
        released = true;
        if (--snapshot.readers === 0) unused(snapshot);
      },
    };
  };

  return {
    async acquire(resumeId, signal, notBefore = seqOf(0)) {
      const least = Math.min(notBefore, log.last.seq);
      const fits = (snapshot: Kept): boolean =>
        snapshot.position.seq >= least && goesOn(snapshot, options.storage);
      signal.throwIfAborted();
      const begun = kept.find((snapshot) => snapshot.id === resumeId && fits(snapshot)) ??
        kept.find((snapshot) => fits(snapshot) && isNear(snapshot, options.storage));
      if (begun !== undefined) return lease(begun);
      for (;;) {
        stop.signal.throwIfAborted();
        making ??= make();
        const made = await leftBy(making.made, signal);
        if (made.position.seq >= least && kept.includes(made)) return lease(made);
      }
    },
    hold() {
      const from = kept.map(({ position }) => position.seq + 1), bytes = kept.map((each) => each.bytes);
      if (making !== null) {
        from.push(making.after + 1);
        bytes.push(options.storage.stats().fileBytes);
      }
      return from.length === 0 ? undefined : { from: seqOf(Math.min(...from)), bytes: Math.max(...bytes) };
    },
    describe: () => ({
      making: making === null ? null : { sinceMs: making.sinceMs },
      kept: kept.map(({ id, bytes, position, readers, madeMs }) => (
        { id, bytes, seq: position.seq, readers, madeMs }
      )),
    }),
    async close() {
      stop.abort(new DfdbError("closing", "This node is stopping"));
      await making?.made.catch(() => {});
      for (const snapshot of kept.filter(({ readers }) => readers === 0)) remove(snapshot);
      await removed;
    },
  };
}

/** True while the log has everything after the snapshot. */
function goesOn({ position }: Kept, { log }: Pick<Storage, "log">): boolean {
  return judgePosition(log, position) === null;
}

function isNear({ position, bytes }: Kept, { log }: Pick<Storage, "log">): boolean {
  return log.bytesAfter(position.seq) < Math.max(reuseLogBytes, bytes / 2);
}

async function makeSnapshot(options: SnapshotSourceOptions, signal: AbortSignal): Promise<Kept> {
  const { runtime: { clock, files, random, workers }, storage, dataPath, folder, logger } = options;
  const id = hex(random.bytes(16)), target = files.join(folder, `${id}.dfdb`), began = clock.monotonic();
  try {
    await files.makeDirectory(folder);
    await checkRoom(files, folder, storage.stats().fileBytes, "a snapshot");
    const { bytes, position, databaseId } = await syncedMeanwhile(
      options.runtime,
      target,
      () =>
        runTask(workers, "sqlite.makeSnapshot", {
          path: dataPath,
          target,
          logEntriesMax: limits.snapshotLogEntries,
          logBytesMax: limits.snapshotLogBytes,
        }, { signal }),
    );
    if (databaseId !== storage.databaseId) {
      throw new DfdbError("internal", `the snapshot is of database ${databaseId}`);
    }
    const file = await snapshotFile(files, target, bytes);
    logger.info("made a snapshot", { id, bytes, seq: position.seq, ms: clock.monotonic() - began });
    return { id, bytes, position, madeMs: clock.wall(), file, readers: 0, timer: null };
  } catch (error) {
    if (!signal.aborted) logger.error("a snapshot could not be made", { error: messageOf(error) });
    for (const name of await files.list(folder).catch(() => [])) {
      if (name.startsWith(id)) await files.remove(files.join(folder, name)).catch(() => {});
    }
    throw error;
  }
}
