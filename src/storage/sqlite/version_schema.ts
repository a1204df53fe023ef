import type { DatabaseSync } from "node:sqlite";

/** Only in a database with the bundle. */
export const versionTables = ["drops", "runs", "spaces", "versions"] as const;

/**
 * `spaces` are the names of collections, folded, which deletions outlive; never removed. A key holds one version of a run at most. `versions.collection` is the number of one, `run` is the
 * number of an own term or, below 0, of one of `runs`; `change` is the seq of the entry that brought the row here, or by which the key shows something else since;
 * `vector` is null where it is the dot alone; `body` is null where the version is a deletion, or what the table of documents shows. `state` is that of the
 * key: 0 its document is shown, 1 deleted, 2 in conflict. `drops`: collections whose rows up to that entry are tombstones now, to be
 * written as such; all up to `after_id` are.
 */
const tables = [
  `CREATE TABLE spaces (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    tombstones INTEGER NOT NULL,
    conflicts INTEGER NOT NULL
  ) STRICT`,
  `CREATE TABLE versions (
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    change INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    state INTEGER NOT NULL,
    vector BLOB,
    body TEXT,
    PRIMARY KEY (collection, id, run)
  ) STRICT, WITHOUT ROWID`,
  "CREATE INDEX versions_change ON versions (change, collection, id)",
  "CREATE INDEX versions_hidden ON versions (state, collection, id) WHERE state > 0",
  `CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    database TEXT NOT NULL,
    run TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    parent TEXT
  ) STRICT`,
  `CREATE TABLE drops (
    change INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    run INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    after_id TEXT NOT NULL,
    PRIMARY KEY (change, collection)
  ) STRICT, WITHOUT ROWID`,
];

/** Inside the caller's transaction. */
export function createVersionTables(db: DatabaseSync): void {
  for (const statement of tables) db.prepare(statement).run();
}
