import type { DatabaseSync } from "node:sqlite";
import { hex } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { databaseIdOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { CrashPoint, Random } from "../../runtime/runtime.ts";
import type { Storage } from "../storage.ts";
import { checkKind, configure, connect, isEmpty, pragma, prepareEmpty, transaction } from "./connection.ts";
import { isCopy, openCopy } from "./copied_file.ts";
import { loadState } from "./load_state.ts";
import type { Lock, LockHolder } from "./lock.ts";
import { holdLock } from "./lock.ts";
import { createSchema, dataFile } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";
import { SqliteStorage } from "./sqlite_storage.ts";

/** What {@linkcode openStorage} needs from outside. */
export interface StorageOptions extends LockHolder {
  /** The data file; `-wal`, `-shm`, `.lock` and `.lock.json` stand beside it. */
  readonly path: string;
  readonly random: Random;
  /** Called at the labels of `storageCrashPoints`. */
  readonly crashPoint: CrashPoint;
  /** Does `node.dfdb` know this database? Asked once, while the lock is held, only for a file without a clean mark. */
  readonly known: (databaseId: DatabaseId) => boolean;
  /** Largest size of the data file in pages of 4 KiB; beyond it `disk_full`. Default: SQLite's own. */
  readonly pagesMax?: number;
}

/**
 * Opens the database at `path`, or makes it. Throws DfdbError `data_locked`, `data_foreign`, `data_newer`,
 * `data_corrupt`, `unclean_copy`, `disk_full`, `io_error`; nothing stays open then.
 */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const { path, files } = options;
  await files.makeDirectory(files.directory(path));
  const lock = await holdLock(path, options);
  try {
    options.crashPoint("open:locked");
    return mapped(`opening ${path}`, () => openLocked(options, lock));
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

function openLocked(options: StorageOptions, lock: Lock): Storage {
  const { path, crashPoint } = options, open: DatabaseSync[] = [];
  try {
    const writer = connect(path, false);
    open.push(writer);
    if (isEmpty(writer)) create(writer, options);
    else {
      checkKind(writer, path, dataFile);
      if (isCopy(writer)) openCopy(writer, path, crashPoint);
    }
    configure(writer, { path, cacheKiB: limits.cacheKiB, readOnly: false });
    if (options.pagesMax !== undefined) pragma(writer, `max_page_count = ${options.pagesMax}`);
    const { databaseId, state } = loadState(writer, path);
    if (!state.clean && !options.known(databaseId)) {
      const message = `${path} was copied while in use: copy a file that was closed, or a backup`;
      throw new DfdbError("unclean_copy", message, { details: { databaseId } });
    }
    return new SqliteStorage({ path, databaseId, state, writer, lock, crashPoint });
  } catch (thrown) {
    for (const db of open) db.close();
    throw thrown;
  }
}

function create(db: DatabaseSync, { path, random, wall, crashPoint }: StorageOptions): void {
  prepareEmpty(db);
  configure(db, { path, cacheKiB: limits.cacheKiB, readOnly: false });
  crashPoint("open:empty");
  const id = databaseIdOf(hex(random.bytes(16)));
  transaction(db, () => {
    createSchema(db, id, wall());
    crashPoint("open:schema");
  });
  crashPoint("open:created");
}
