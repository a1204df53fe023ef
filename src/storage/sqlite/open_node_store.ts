import type { DatabaseSync } from "node:sqlite";
import { assert } from "../../base/assert.ts";
import { hex } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId, NodeId } from "../../base/ids.ts";
import { isHexId, nodeIdOf } from "../../base/ids.ts";
import type { Random } from "../../runtime/runtime.ts";
import type { NodeState, NodeStore } from "../storage.ts";
import type { FileKind } from "./connection.ts";
import { checkKind, configure, connect, isEmpty, pragma, prepareEmpty, transaction } from "./connection.ts";
import type { Lock, LockHolder } from "./lock.ts";
import { holdLock } from "./lock.ts";
import { mapped } from "./sqlite_error.ts";

/** What {@linkcode openNodeStore} needs from outside. */
export interface NodeStoreOptions extends LockHolder {
  readonly path: string;
  readonly random: Random;
}

/** `node.dfdb`: application id "dfdn". */
const nodeFile: FileKind = { applicationId: 0x6466646e, version: 1, migrations: [] };

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

/**
 * Opens what belongs to this node, or makes it with a new node id. Locked like the data. Throws DfdbError as
 * `openStorage` does, except `unclean_copy`.
 */
export async function openNodeStore(options: NodeStoreOptions): Promise<NodeStore> {
  const { path, files, random } = options;
  await files.makeDirectory(files.directory(path));
  const lock = await holdLock(path, options);
  try {
    return mapped(`opening ${path}`, () => openLocked(path, random, lock));
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

function openLocked(path: string, random: Random, lock: Lock): NodeStore {
  const db = connect(path, false);
  try {
    if (isEmpty(db)) create(db, path, random);
    else checkKind(db, path, nodeFile);
    configure(db, { path, cacheKiB: 256, readOnly: false });
    const nodeId = db.prepare("SELECT node_id FROM node").get()?.["node_id"];
    if (!isHexId(nodeId)) throw new DfdbError("data_corrupt", `${path}: no node id`);
    return new SqliteNodeStore(path, db, lock, nodeIdOf(nodeId));
  } catch (thrown) {
    db.close();
    throw thrown;
  }
}

function create(db: DatabaseSync, path: string, random: Random): void {
  prepareEmpty(db);
  configure(db, { path, cacheKiB: 256, readOnly: false });
  transaction(db, () => {
    for (const statement of version1) db.prepare(statement).run();
    db.prepare("INSERT INTO node VALUES (1, ?)").run(hex(random.bytes(16)));
    pragma(db, `application_id = ${nodeFile.applicationId}`);
    pragma(db, "user_version = 1");
  });
}

class SqliteNodeStore implements NodeStore {
  readonly nodeId: NodeId;
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #lock: Lock;

  constructor(path: string, db: DatabaseSync, lock: Lock, nodeId: NodeId) {
    this.nodeId = nodeId;
    this.#path = path;
    this.#db = db;
    this.#lock = lock;
  }

  state(databaseId: DatabaseId): NodeState | null {
    const row = mapped(`reading ${this.#path}`, () => {
      return this.#db.prepare("SELECT * FROM states WHERE database_id = ?").get(databaseId);
    });
    if (row === undefined) return null;
    return {
      role: row["role"] as NodeState["role"],
      highestEpoch: Number(row["highest_epoch"]),
      readOnly: row["read_only"] === 1,
      readOnlyReason: row["read_only_reason"] as string | null,
    };
  }

  setState(databaseId: DatabaseId, state: NodeState): void {
    const { role, highestEpoch, readOnly, readOnlyReason } = state;
    // A fence that is forgotten is two leaders.
    assert(
      highestEpoch >= (this.state(databaseId)?.highestEpoch ?? 0),
      "the highest epoch ever seen never falls",
    );
    mapped(`writing ${this.#path}`, () => {
      const upsert = this.#db.prepare("INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?)");
      transaction(
        this.#db,
        () => upsert.run(databaseId, role, highestEpoch, readOnly ? 1 : 0, readOnlyReason),
      );
      // The file is small and written rarely: what is in it is never only in the WAL for long.
      pragma(this.#db, "wal_checkpoint(PASSIVE)");
    });
  }

  close(): void {
    if (this.#db.isOpen) this.#db.close();
    this.#lock.release();
  }
}
