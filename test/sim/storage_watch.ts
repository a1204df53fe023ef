/** Tells of every commit and before every trimming, so that nothing of a log goes unseen, not even while a node starts. */
import { SqliteStorage } from "../../src/storage/sqlite/sqlite_storage.ts";
import type { OpenWrite, Storage } from "../../src/storage/storage.ts";

/**
 * `look` is called with a storage after each of its commits and before its log is trimmed, on the thread of whoever writes. Must not throw.
 * Returns what ends it; watches end in the opposite order of their beginning.
 */
export function watchStorages(look: (storage: Storage) => void): () => void {
  const own = SqliteStorage.prototype, { write, begin, trimLog } = own;
  own.write = function <Result>(this: SqliteStorage, ...args: Parameters<typeof write>): Result {
    const result = write.apply(this, args) as Result;
    look(this);
    return result;
  } as typeof write;
  own.begin = function (this: SqliteStorage): OpenWrite {
    const opened = begin.call(this);
    return {
      ...opened,
      commit: () => {
        opened.commit();
        look(this);
      },
    };
  };
  own.trimLog = function (this: SqliteStorage, ...args: Parameters<typeof trimLog>): boolean {
    look(this);
    return trimLog.apply(this, args);
  };
  return () => void Object.assign(own, { write, begin, trimLog });
}
