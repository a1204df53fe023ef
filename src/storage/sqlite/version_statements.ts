import type { DatabaseSync, StatementSync } from "node:sqlite";

const key = "FROM versions WHERE collection = ? AND id = ?";
const row = "run, seq, change, modified_ms, deleted, state, vector";

/** Open for tests of their plans. */
export const versionSql = {
  key: `SELECT ${row} ${key}`,
  /** `bare`: there is no body. */
  judged: `SELECT ${row}, body IS NULL AS bare ${key}`,
  whole: `SELECT ${row}, CAST(body AS BLOB) AS body ${key}`,
  insert: "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT))",
  /** The only row of a key. */
  replace:
    "UPDATE versions SET run = ?, seq = ?, change = ?, modified_ms = ?, deleted = ?, state = ?, vector = ?, " +
    "body = CAST(? AS TEXT) WHERE collection = ? AND id = ?",
  /** The same, of that run. */
  again: "UPDATE versions SET seq = ?, change = ?, modified_ms = ?, deleted = ?, state = ?, vector = ?, " +
    "body = CAST(? AS TEXT) WHERE collection = ? AND id = ? AND run = ?",
  removeKey: `DELETE ${key}`,
  remove: `DELETE ${key} AND run = ?`,
  touch: "UPDATE versions SET change = ? WHERE collection = ? AND id = ? AND run = ?",
  setState: "UPDATE versions SET state = ? WHERE collection = ? AND id = ? AND state <> ?",
  setBody: "UPDATE versions SET body = CAST(? AS TEXT) WHERE collection = ? AND id = ? AND run = ?",
  changedIn: "SELECT DISTINCT id FROM versions WHERE change = ? AND collection = ?",
  changed:
    "SELECT change, collection, id FROM versions WHERE (change, collection, id) > (?, ?, ?) AND change < ? " +
    "ORDER BY change, collection, id LIMIT ?",
  dots:
    "SELECT change, collection, id, run, seq FROM versions WHERE (change, collection, id, run) > (?, ?, ?, ?) " +
    "ORDER BY change, collection, id, run LIMIT ?",
  hidden:
    "SELECT DISTINCT collection, id FROM versions INDEXED BY versions_hidden WHERE state > 0 AND state = ? AND (collection, id) > (?, ?) " +
    "AND collection <= ? ORDER BY collection, id LIMIT ?",
  keys: "SELECT collection, id FROM versions WHERE (collection, id) > (?, ?) ORDER BY collection, id LIMIT ?",
  after: `SELECT id, ${row} FROM versions WHERE collection = ? AND id > ? ORDER BY id LIMIT ?`,
  space: "INSERT OR REPLACE INTO spaces VALUES (?, ?, ?, ?)",
  run: "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)",
  drop: "INSERT INTO drops VALUES (?, ?, ?, ?, ?)",
  dropped: "UPDATE drops SET after_id = ? WHERE change = ? AND collection = ?",
  dropDone: "DELETE FROM drops WHERE change = ? AND collection = ?",
} as const;

type Name = keyof typeof versionSql;

/** Prepared statements over the tables of versions, for one connection; none is prepared before it is needed. */
export class VersionStatements {
  readonly #db: DatabaseSync;
  #prepared: Partial<Record<Name, StatementSync>> = {};

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  get(name: Name): StatementSync {
    return this.#prepared[name] ??= this.#db.prepare(versionSql[name]);
  }

  /** After the whole content was replaced. */
  clear(): void {
    this.#prepared = {};
  }
}
