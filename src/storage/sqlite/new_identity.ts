import type { DatabaseSync } from "node:sqlite";
import { hex } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { databaseIdOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { Random } from "../../runtime/runtime.ts";
import type { Position } from "../log.ts";
import { checkKind, configure, connect, pragma, transaction } from "./connection.ts";
import { isCopy, openCopy } from "./copied_file.ts";
import { addFormerIds } from "./former_ids.ts";
import { loadState } from "./load_state.ts";
import type { LockHolder } from "./lock.ts";
import { holdLock } from "./lock.ts";
import { dataFile } from "./schema.ts";
import { mapped } from "./sqlite_error.ts";
import type { State } from "./state.ts";

export interface NewIdentityOptions extends LockHolder {
  /** The data file, which nobody has open and which was closed cleanly, or a backup. */
  readonly path: string;
  readonly random: Random;
}

export interface NewIdentity {
  readonly databaseId: DatabaseId;
  /** The one that it had. */
  readonly former: DatabaseId;
  readonly position: Position;
}

/**
 * Gives a copied database an id of its own, in one transaction: content, positions and versions stay as they are, and the terms so far stay runs of the
 * former id. Of the log only the last entry is kept: a follower gets a snapshot, because no entry says where the ids change. Rejects with `data_locked`, `unclean_copy`,
 * `data_foreign`, `data_newer`, `data_corrupt`, `disk_full`, `io_error`; nothing is changed then.
 */
export async function newIdentity(options: NewIdentityOptions): Promise<NewIdentity> {
  const { path, random } = options, lock = await holdLock(path, options);
  try {
    return mapped(`giving ${path} an id of its own`, () => {
      const db = connect(path, false);
      try {
        const { databaseId: former, state } = openClosed(db, path);
        const databaseId = databaseIdOf(hex(random.bytes(16)));
        transaction(db, () => change(db, state, former, databaseId));
        pragma(db, "wal_checkpoint(TRUNCATE)");
        return { databaseId, former, position: loadState(db, path).state.position };
      } finally {
        db.close();
      }
    });
  } finally {
    lock.release();
  }
}

function openClosed(db: DatabaseSync, path: string): ReturnType<typeof loadState> {
  checkKind(db, path, dataFile);
  if (isCopy(db)) openCopy(db, path, () => {});
  configure(db, { path, cacheKiB: limits.cacheKiB, readOnly: false });
  const loaded = loadState(db, path);
  if (loaded.state.clean) return loaded;
  const message = `${path} was not closed: open it once with its own node, or copy a file that was closed`;
  throw new DfdbError("unclean_copy", message, { details: { databaseId: loaded.databaseId } });
}

/** The mark of a clean close stays: the last entry does. */
function change(db: DatabaseSync, { position, terms }: State, former: DatabaseId, id: DatabaseId): void {
  const { seq } = position;
  db.prepare("UPDATE meta SET database_id = ?").run(id);
  if (seq === 0) return;
  if (seq === 1) {
    // Its term is all that there is, and nobody's.
    for (const table of ["log", "terms"]) db.prepare(`DELETE FROM ${table}`).run();
    db.prepare("UPDATE meta SET clean_seq = 0").run();
    return;
  }
  const before = db.prepare("SELECT seq, term, chain, end_bytes FROM log WHERE seq = ?").get(seq - 1);
  if (before !== undefined) {
    db.prepare("DELETE FROM log WHERE seq < ?").run(seq);
    db.prepare("UPDATE meta SET trimmed_seq = ?, trimmed_term = ?, trimmed_chain = ?, trimmed_end_bytes = ?")
      .run(...(["seq", "term", "chain", "end_bytes"] as const).map((name) => Number(before[name])));
  }
  addFormerIds(db, [{ lastTerm: terms.length, database: former }]);
}
