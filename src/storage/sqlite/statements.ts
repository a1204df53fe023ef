import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { CollectionNumber } from "../../base/ids.ts";
import { tableOf } from "./schema.ts";
import { VersionStatements } from "./version_statements.ts";

/** SQL over the table of one collection; `$` stands for the table. */
const sql = {
  insert:
    "INSERT INTO $ (row, id, seq, created_ms, modified_ms, body) VALUES (?, ?, ?, ?, ?, CAST(? AS TEXT))",
  update: "UPDATE $ SET seq = ?, modified_ms = ?, body = CAST(? AS TEXT) WHERE id = ? AND seq = ?",
  remove: "DELETE FROM $ WHERE id = ? AND seq = ?",
  get: "SELECT seq, created_ms, modified_ms, body FROM $ WHERE id = ?",
  seq: "SELECT seq FROM $ WHERE id = ?",
  // octet_length of a column is read from the row's header, not from the body's pages.
  sizes: "SELECT octet_length(body) AS bytes FROM $ WHERE row > ? ORDER BY row LIMIT ?",
  page: "SELECT row, id, seq, created_ms, modified_ms, body FROM $ WHERE row > ? ORDER BY row LIMIT ?",
  free: "DELETE FROM $ WHERE row IN (SELECT row FROM $ ORDER BY row LIMIT ?)",
} as const;

type Name = keyof typeof sql;
type Prepared = Partial<Record<Name, StatementSync>>;

/** Collections whose statements one connection keeps prepared: about 2 KiB for each statement. */
const collectionsMax = 256;

/** Prepared statements over collections' tables, for one connection; the least recently used are dropped. */
export class TableStatements {
  readonly #db: DatabaseSync;
  /** Of a database with the bundle. */
  readonly versions: VersionStatements;
  readonly #tables = new Map<CollectionNumber, Prepared>();
  #last: CollectionNumber | null = null;
  #prepared: Prepared = {};

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.versions = new VersionStatements(db);
  }

  get(collection: CollectionNumber, name: Name): StatementSync {
    if (collection !== this.#last) this.#use(collection);
    return this.#prepared[name] ??= this.#db.prepare(sql[name].replaceAll("$", tableOf(collection)));
  }

  /** After the table was dropped. */
  forget(collection: CollectionNumber): void {
    this.#tables.delete(collection);
    if (this.#last === collection) this.#last = null;
  }

  /** After the whole content was replaced. */
  clear(): void {
    this.#tables.clear();
    this.versions.clear();
    this.#last = null;
  }

  #use(collection: CollectionNumber): void {
    const found = this.#tables.get(collection) ?? {};
    this.#tables.delete(collection);
    this.#tables.set(collection, found);
    for (const oldest of this.#tables.keys()) {
      if (this.#tables.size <= collectionsMax) break;
      this.#tables.delete(oldest);
    }
    this.#last = collection;
    this.#prepared = found;
  }
}
