import type { DatabaseSync } from "node:sqlite";
import type { CollectionNumber, DatabaseId, WallMs } from "../../base/ids.ts";
import type { FileKind } from "./connection.ts";
import { pragma } from "./connection.ts";

/** `data.dfdb`: application id "dfdb". */
export const dataFile: FileKind = { applicationId: 0x64666462, version: 1, migrations: [] };

/**
 * Version 1. `meta` is one row; `clean_seq` is the last seq when the file was closed cleanly, null while it is in use;
 * `trimmed_*` describe the entry before the first one kept; `replication` is 1 where there are the tables of `version_schema.ts`. `terms.number` counts from 1. A collection whose name is
 * null was dropped and waits to be freed, and so is an index; `indexes.paths` are JSON, its `next_row` is that of the next document to
 * fill it with. `log.end_bytes` is the sum of all payloads ever, up to and with this one.
 */
const version1 = [
  `CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    database_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    clean_seq INTEGER,
    next_collection INTEGER NOT NULL,
    next_index INTEGER NOT NULL,
    trimmed_seq INTEGER NOT NULL,
    trimmed_term INTEGER NOT NULL,
    trimmed_chain INTEGER NOT NULL,
    trimmed_end_bytes INTEGER NOT NULL,
    replication INTEGER NOT NULL
  ) STRICT`,
  `CREATE TABLE terms (
    number INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    run TEXT NOT NULL,
    node_id TEXT NOT NULL,
    first_seq INTEGER NOT NULL
  ) STRICT`,
  `CREATE TABLE collections (
    number INTEGER PRIMARY KEY,
    name TEXT,
    documents INTEGER NOT NULL,
    next_row INTEGER NOT NULL
  ) STRICT`,
  `CREATE TABLE indexes (
    number INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL,
    name TEXT,
    is_unique INTEGER NOT NULL,
    is_time INTEGER NOT NULL,
    paths TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('preparing', 'building', 'ready')),
    next_row INTEGER NOT NULL,
    entries INTEGER NOT NULL
  ) STRICT`,
  `CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    chain INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    end_bytes INTEGER NOT NULL,
    payload BLOB NOT NULL
  ) STRICT`,
];

/** Writes version 1 into an empty file, marked as cleanly closed; inside the caller's transaction. */
export function createSchema(db: DatabaseSync, databaseId: DatabaseId, createdMs: WallMs): void {
  createTables(db);
  db.prepare("INSERT INTO meta VALUES (1, ?, ?, 0, 1, 1, 0, 0, 0, 0, 0)").run(databaseId, createdMs);
  markKind(db);
}

/** The tables that every data file has, empty. */
export function createTables(db: DatabaseSync): void {
  for (const statement of version1) db.prepare(statement).run();
}

/** Says whose file it is: before that nothing opens it. */
export function markKind(db: DatabaseSync): void {
  pragma(db, `application_id = ${dataFile.applicationId}`);
  pragma(db, "user_version = 1");
}

/** Name of the table that holds the documents of a collection. */
export function tableOf(collection: CollectionNumber): string {
  return `docs_${collection}`;
}

/**
 * The table of one collection. `row` is given by us and never given twice, so a page never steps over a document that
 * came later. The body is last: no other column is read through the pages of a large one.
 */
export function createDocuments(db: DatabaseSync, collection: CollectionNumber): void {
  db.prepare(`CREATE TABLE ${tableOf(collection)} (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    flags INTEGER NOT NULL DEFAULT 0,
    vector BLOB,
    body TEXT NOT NULL
  ) STRICT`).run();
}
