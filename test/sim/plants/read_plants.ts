/** Mistakes in what readers see. */
import type { ReadView, StoredDocument, WriteTransaction } from "../../../src/storage/storage.ts";
import { SqliteLogReader } from "../../../src/storage/sqlite/log_reader.ts";
import { SqliteStorage } from "../../../src/storage/sqlite/sqlite_storage.ts";
import { View } from "../../../src/storage/sqlite/view.ts";
import { all, every, type Plant, wrap } from "./plant.ts";

function staleRead(): () => void {
  const due = every(4), read = new WeakMap<View, Map<string, StoredDocument | null>>();
  return wrap(View.prototype, "document", (document) =>
    function (this: View, collection, id) {
      const known = read.get(this) ?? new Map<string, StoredDocument | null>(), key = `${collection}/${id}`;
      read.set(this, known);
      const old = known.get(key);
      if (old !== undefined && due()) return old;
      const found = document.call(this, collection, id);
      known.set(key, found);
      return found;
    });
}

function uncommittedRead(): () => void {
  const open = new WeakMap<SqliteStorage, WriteTransaction>();
  return all(
    wrap(SqliteStorage.prototype, "begin", (begin) =>
      function (this: SqliteStorage) {
        const opened = begin.call(this);
        return {
          slice: (run) =>
            opened.slice((tx) => {
              open.set(this, tx);
              return run(tx);
            }),
          commit: () => {
            open.delete(this);
            opened.commit();
          },
          rollback: () => {
            open.delete(this);
            opened.rollback();
          },
        };
      }),
    wrap(
      SqliteStorage.prototype,
      "write",
      (write) =>
        function (this: SqliteStorage, run: (tx: WriteTransaction) => unknown) {
          open.delete(this);
          return write.call(this, run);
        } as SqliteStorage["write"],
    ),
    wrap(
      SqliteStorage.prototype,
      "read",
      (read) =>
        function (this: SqliteStorage, run: (view: ReadView) => unknown) {
          const tx = open.get(this);
          return tx === undefined ? read.call(this, run) : run(tx);
        } as SqliteStorage["read"],
    ),
  );
}

function oldEntriesInMemory(): () => void {
  return wrap(SqliteLogReader.prototype, "reset", () => () => {});
}

export const readPlants: Readonly<Record<string, Plant>> = {
  stale_read: { mistake: "a document is now and then read from a cache", plant: staleRead },
  uncommitted_read: { mistake: "reads see what an open transaction wrote", plant: uncommittedRead },
  old_entries_in_memory: {
    mistake: "the log that a snapshot replaced is still read from memory",
    plant: oldEntriesInMemory,
  },
};
