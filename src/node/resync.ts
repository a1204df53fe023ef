/** How a follower takes over a state that it cannot reach by the log: what is its own rescued, a snapshot received and installed. */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, NodeId, Seq } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import { isInHistory } from "../replication/judge_position.ts";
import type { Resync } from "../replication/types.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import type { SnapshotOffer } from "../wire/message.ts";
import { checkRoom } from "./disk_room.ts";
import { incomingSnapshot } from "./incoming_snapshot.ts";
import { rescue } from "./rescue.ts";
import { syncedMeanwhile } from "./synced_meanwhile.ts";
import { runTask } from "./tasks.ts";

export interface ResyncOptions {
  readonly runtime: Pick<Runtime, "clock" | "files" | "workers" | "crashPoint">;
  readonly storage: Pick<Storage, "databaseId" | "log" | "read" | "stats" | "exchange">;
  /** The live data file; what comes in is received beside it. */
  readonly dataPath: string;
  /** Folder of the rescue files. */
  readonly rescuedFolder: string;
  readonly nodeId: NodeId;
  readonly logger: Logger;
  /** Emits when the database moved. */
  readonly committed: Signal<Position>;
  /** An empty database is about to become a copy of this one: `node.dfdb` must know it before, durably. */
  readonly adopt: (id: DatabaseId) => void;
}

export interface ClosableResync extends Resync {
  /** Keeps what was received, for the next start. */
  close(): Promise<void>;
}

/** Rejects with `io_error`. */
export async function resync(options: ResyncOptions): Promise<ClosableResync> {
  const { runtime: { files, workers, crashPoint }, storage, dataPath, logger, committed } = options;
  const { log } = storage;
  const passed = (position: Position): boolean => isInHistory(log, position);
  const incoming = await incomingSnapshot(files, dataPath, passed);
  let before: Promise<unknown> = Promise.resolve();
  /** What is done to the incoming file is done one after the other, also what no leader asked for. */
  const inOrder = <Result>(run: () => Promise<Result>): Promise<Result> => {
    const done = before.then(run, run);
    before = done;
    return done;
  };

  // It streams again without the snapshot that was cut off.
  const dropPassed = async (): Promise<void> => {
    if (incoming.held !== null && passed(incoming.held.position)) await incoming.discard();
  };
  const unsubscribe = committed.subscribe(({ seq }) => {
    if (incoming.held === null || seq < incoming.held.position.seq) return;
    inOrder(dropPassed).catch((error) =>
      logger.warn("a snapshot that is not needed could not be deleted", { error: String(error) })
    );
  });

  /** The end that is rescued, and what of it the leader has too; null: nothing is. */
  let rescued: { readonly last: Position; readonly common: Seq | null } | null = null;
  /** What has to be in a snapshot: all that is here, or of what is rescued that which the leader has too. */
  const least = (): number =>
    rescued !== null && samePosition(rescued.last, log.last) ? rescued.common ?? 0 : log.last.seq;
  const refuseOlder = ({ seq, ...rest }: Position): void => {
    if (seq >= least() || !passed({ seq, ...rest })) return;
    throw new DfdbError(
      "conflict",
      `The snapshot ends at entry ${seq}; this node is at ${log.last.seq} already`,
    );
  };

  const install = async (position: Position): Promise<void> => {
    const checked = await runTask(workers, "sqlite.checkSnapshot", {
      path: incoming.path,
      databaseId: log.last.seq === 0 ? null : storage.databaseId,
    });
    if (!samePosition(checked.position, position)) {
      throw new DfdbError(
        "corrupt",
        `the snapshot ends at entry ${checked.position.seq}, not as offered at ${position.seq}`,
      );
    }
    refuseOlder(position);
    crashPoint("incoming:checked");
    if (checked.databaseId !== storage.databaseId) options.adopt(checked.databaseId);
    await storage.exchange(async () => {
      // SQLite's locks are on other files than the write-ahead log.
      await syncedMeanwhile(
        options.runtime,
        `${dataPath}-wal`,
        () => runTask(workers, "sqlite.installSnapshot", { source: incoming.path, target: dataPath }),
      );
    });
    crashPoint("incoming:installed");
    if (!samePosition(log.last, position)) {
      throw new DfdbError(
        "data_corrupt",
        `after the snapshot the log ends at ${log.last.seq}, not at ${position.seq}`,
      );
    }
  };

  const begin = async (offer: SnapshotOffer): Promise<void> => {
    refuseOlder(offer.position);
    await checkRoom(files, dataPath, roomFor(offer, storage.stats().fileBytes), "installing a snapshot");
    await incoming.begin(offer);
    crashPoint("incoming:begun");
  };

  const finish = async (checksum: number): Promise<Position> => {
    try {
      await incoming.finish(checksum);
      crashPoint("incoming:whole");
      const { held } = incoming;
      if (held === null) throw new DfdbError("corrupt", "there is no snapshot to install");
      await install(held.position);
      logger.info("installed a snapshot", { id: held.id, bytes: held.bytes, seq: held.position.seq });
    } catch (error) {
      if (discards(error)) await incoming.discard();
      throw error;
    }
    await incoming.discard();
    crashPoint("incoming:discarded");
    return log.last;
  };

  return {
    resumable: () => inOrder(() => incoming.resumable()),
    begin: (offer) => inOrder(() => begin(offer)),
    write: (offset, bytes) =>
      inOrder(async () => {
        await incoming.write(offset, bytes);
        crashPoint("incoming:piece");
      }),
    install: (checksum) => inOrder(() => finish(checksum)),
    async rescue(common) {
      const { last } = log;
      await rescue(options, common);
      rescued = { last, common };
    },
    async close() {
      unsubscribe();
      await inOrder(() => incoming.close());
    },
  };
}

/** The rest of the file; once more as the write-ahead log of its installation; and what the data file grows by. */
function roomFor(
  { bytes, offset }: { readonly bytes: number; readonly offset: number },
  dataBytes: number,
): number {
  return bytes - offset + bytes + Math.max(0, bytes - dataBytes);
}

/** What cannot be installed at the next attempt either is received anew. */
function discards(error: unknown): boolean {
  return error instanceof DfdbError &&
    (["corrupt", "data_corrupt", "wrong_database", "version", "conflict"] as string[]).includes(error.code);
}
