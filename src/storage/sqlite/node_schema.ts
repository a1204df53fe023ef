import type { DatabaseSync } from "node:sqlite";
import type { FileKind } from "./connection.ts";
import { pragma } from "./connection.ts";

const version1 = [
  "CREATE TABLE node (one INTEGER PRIMARY KEY CHECK (one = 1), node_id TEXT NOT NULL) STRICT",
  `CREATE TABLE states (
    database_id TEXT PRIMARY KEY NOT NULL,
    role TEXT CHECK (role IN ('none', 'leader', 'follower')),
    highest_epoch INTEGER NOT NULL,
    read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    read_only_reason TEXT
  ) STRICT`,
];

/** How a node came to its role, the promotion and the handover that may be unfinished (`handover`: JSON), and the nodes that it knows. */
const version2 = [
  `ALTER TABLE states ADD COLUMN origin TEXT NOT NULL DEFAULT 'settings'
    CHECK (origin IN ('settings', 'operator', 'promoted', 'failover', 'handover', 'fenced'))`,
  "ALTER TABLE states ADD COLUMN lead_port INTEGER",
  "ALTER TABLE states ADD COLUMN term_epoch INTEGER",
  "ALTER TABLE states ADD COLUMN term_run TEXT",
  "ALTER TABLE states ADD COLUMN leader_address TEXT",
  "ALTER TABLE states ADD COLUMN handover TEXT",
  `CREATE TABLE peers (
    database_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    node_name TEXT NOT NULL,
    http_url TEXT,
    wire_address TEXT,
    candidate INTEGER NOT NULL CHECK (candidate IN (0, 1)),
    silence_ms INTEGER,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (database_id, node_id)
  ) STRICT, WITHOUT ROWID`,
];

/** Destinations of masters that fail. */
const version3 = [
  `CREATE TABLE failures (
    database_id TEXT NOT NULL,
    url TEXT NOT NULL,
    count INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (database_id, url)
  ) STRICT, WITHOUT ROWID`,
];

const run = (statements: readonly string[]) => (db: DatabaseSync): void => {
  for (const statement of statements) db.prepare(statement).run();
};

/** `node.dfdb`: application id "dfdn". */
export const nodeFile: FileKind = {
  applicationId: 0x6466646e,
  version: 3,
  migrations: [run(version2), run(version3)],
};

/** Writes this version into an empty file; inside the caller's transaction. */
export function createNodeSchema(db: DatabaseSync, nodeId: string): void {
  run([...version1, ...version2, ...version3])(db);
  db.prepare("INSERT INTO node VALUES (1, ?)").run(nodeId);
  pragma(db, `application_id = ${nodeFile.applicationId}`);
  pragma(db, `user_version = ${nodeFile.version}`);
}
