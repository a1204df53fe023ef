/** What an operator asks of the data file while the node runs: checkpoint, compaction, a copy. All of it in workers. */
import { hex } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Engine } from "../engine/engine.ts";
import type { Admin, Checkpointed, Compacted } from "../http/admin_types.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { limits } from "../base/limits.ts";
import type { Storage } from "../storage/storage.ts";
import type { LiveConfig } from "./live_config.ts";
import { checkRoom } from "./disk_room.ts";
import { syncedMeanwhile } from "./synced_meanwhile.ts";
import { runTask } from "./tasks.ts";

export interface AdminOptions {
  readonly runtime: Pick<Runtime, "clock" | "files" | "random" | "workers">;
  readonly storage: Pick<Storage, "databaseId" | "stats">;
  readonly engine: Pick<Engine, "exchange">;
  /** The live data file; absolute. */
  readonly dataPath: string;
  /** The node's data folder, which takes no copies. Default: where the data file is. */
  readonly ownFolder?: string;
  /** Folder for what is in the making: what is found there at start is deleted. */
  readonly folder: string;
  readonly config: LiveConfig;
  readonly logger: Logger;
}

/** To be closed before the database is. */
export interface ClosableAdmin extends Admin {
  /** Takes nothing new; resolves when what runs is over, because nothing can cut it. */
  close(): Promise<void>;
}

export function admin(options: AdminOptions): ClosableAdmin {
  return new Operations(options);
}

class Operations implements ClosableAdmin {
  readonly #options: AdminOptions;
  /** What runs: one at a time. */
  #running: Promise<unknown> | null = null;
  #closed = false;

  constructor(options: AdminOptions) {
    this.#options = options;
  }

  checkpoint(): Promise<Checkpointed> {
    return this.#alone(() => this.#checkpoint());
  }

  compact(): Promise<Compacted> {
    return this.#alone(() => this.#compact());
  }

  snapshot(targetPath: string): Promise<{ readonly bytes: number }> {
    return this.#alone(() => this.#snapshot(targetPath));
  }

  config(): Readonly<Record<string, unknown>> {
    return this.#options.config.shown();
  }

  change(settings: Parameters<Admin["change"]>[0]): void {
    this.#options.config.change(settings);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running?.catch(() => {});
  }

  #alone<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new DfdbError("closing", "This node is stopping");
    if (this.#running !== null) {
      throw new DfdbError(
        "busy",
        "A checkpoint, a compaction or a copy runs here; try again when it is done",
      );
    }
    const running = run().finally(() => this.#running = null);
    this.#running = running;
    return running;
  }

  #checkpoint(): Promise<Checkpointed> {
    const { runtime: { workers }, dataPath } = this.#options;
    return runTask(workers, "sqlite.checkpoint", { path: dataPath });
  }

  async #compact(): Promise<Compacted> {
    const { runtime, storage, engine, dataPath, folder, logger } = this.#options,
      { clock, files, random } = runtime;
    const before = storage.stats(), begunMs = clock.monotonic();
    if (before.indexesBuilding > 0) {
      throw new DfdbError(
        "busy",
        "An index is being filled, which compacting would begin anew; try again later",
      );
    }
    // The new file, and the WAL into which it is taken over.
    await checkRoom(files, folder, 2 * before.fileBytes, "compacting");
    await files.makeDirectory(folder);
    const target = files.join(folder, `${hex(random.bytes(16))}.compact`);
    try {
      await engine.exchange(() => this.#takeOver(target));
    } finally {
      await removeAll(runtime, target);
    }
    // Only now the data file gets shorter.
    await this.#checkpoint();
    const pages = storage.stats().pageCount;
    const freedBytes = Math.max(0, before.pageCount - pages) * limits.pageBytes;
    logger.info("compacted the data file", {
      path: dataPath,
      pages,
      freedBytes,
      ms: clock.monotonic() - begunMs,
    });
    return { pages, freedBytes };
  }

  /** Nothing is written meanwhile, so what is copied is what is replaced. */
  async #takeOver(target: string): Promise<void> {
    const { runtime, storage: { databaseId }, dataPath: path } = this.#options, { workers } = runtime;
    await syncedMeanwhile(runtime, target, () => runTask(workers, "sqlite.copyDatabase", { path, target }));
    await runTask(workers, "sqlite.checkSnapshot", { path: target, databaseId });
    await runTask(workers, "sqlite.installSnapshot", { source: target, target: path });
  }

  async #snapshot(targetPath: string): Promise<{ readonly bytes: number }> {
    const { runtime, storage, dataPath, logger } = this.#options, { files, random, workers } = runtime;
    this.#checkTarget(targetPath);
    if (await sizeOf(runtime, targetPath) !== null) {
      throw new DfdbError("conflict", `There is something at ${targetPath} already`);
    }
    const folder = files.directory(targetPath), partial = `${targetPath}.${hex(random.bytes(4))}.partial`;
    await checkRoom(files, folder, storage.stats().fileBytes, "a copy of the database");
    try {
      await claim(runtime, partial);
      const { bytes } = await syncedMeanwhile(
        runtime,
        partial,
        () => runTask(workers, "sqlite.copyDatabase", { path: dataPath, target: partial }),
      );
      await files.rename(partial, targetPath);
      logger.info("copied the database", { file: targetPath, bytes });
      return { bytes };
    } catch (error) {
      await removeAll(runtime, partial);
      throw error;
    }
  }

  /** Where anybody with the key may have a file written: nothing but a database, nothing that is there, nothing of this node's. */
  #checkTarget(targetPath: string): void {
    const { runtime: { files }, dataPath, ownFolder: data = files.directory(dataPath) } = this.#options;
    const refused = (sentence: string): DfdbError =>
      new DfdbError("bad_request", `targetPath: ${sentence}`, { details: { field: "targetPath" } });
    if (files.absolute(targetPath) !== targetPath) {
      throw refused("expected an absolute path on the server, without . and ..");
    }
    if (!targetPath.endsWith(".dfdb")) throw refused("expected a file whose name ends in .dfdb");
    for (
      let folder = files.directory(targetPath), below = "";
      folder !== below;
      folder = files.directory(folder)
    ) {
      if (folder === data) throw refused("the folder of this node's own data takes no copies");
      below = folder;
    }
  }
}

async function sizeOf({ files }: Pick<Runtime, "files">, path: string): Promise<number | null> {
  try {
    return await files.size(path);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Makes the file, empty: what cannot be written there is the caller's to know. */
async function claim({ files }: Pick<Runtime, "files">, path: string): Promise<void> {
  try {
    await (await files.openWrite(path, { truncate: true })).close();
  } catch (error) {
    if (error instanceof DfdbError && error.code === "disk_full") throw error;
    throw unwritable(path, error);
  }
}

function unwritable(path: string, cause: unknown): DfdbError {
  return new DfdbError("bad_request", `targetPath: no file can be written there (${messageOf(cause)})`, {
    details: { field: "targetPath", path },
    cause,
  });
}

async function removeAll({ files }: Pick<Runtime, "files">, path: string): Promise<void> {
  for (const each of [path, `${path}-journal`]) await files.remove(each).catch(() => {});
}
