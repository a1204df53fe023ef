import type { DatabaseSync } from "node:sqlite";
import { hex } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import { isHexId, nodeIdOf } from "../../base/ids.ts";
import type { Random } from "../../runtime/runtime.ts";
import type { NodeStore } from "../storage.ts";
import { checkKind, configure, connect, isEmpty, prepareEmpty, transaction } from "./connection.ts";
import type { Lock, LockHolder } from "./lock.ts";
import { holdLock } from "./lock.ts";
import { createNodeSchema, nodeFile } from "./node_schema.ts";
import { mapped } from "./sqlite_error.ts";
import { SqliteNodeStore } from "./sqlite_node_store.ts";

/** What {@linkcode openNodeStore} needs from outside. */
export interface NodeStoreOptions extends LockHolder {
  readonly path: string;
  readonly random: Random;
}

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
  transaction(db, () => createNodeSchema(db, hex(random.bytes(16))));
}
