/** Whose history the terms of a file are: one that was copied and got an id of its own goes on with those of the database that it was copied from. */
import type { DatabaseSync } from "node:sqlite";
import type { DfdbError } from "../../base/errors.ts";
import type { DatabaseId } from "../../base/ids.ts";
import { databaseIdOf, isHexId } from "../../base/ids.ts";

/** An id that the file had before. */
export interface FormerId {
  /** Number of the last term that is a run of it. */
  readonly lastTerm: number;
  readonly database: DatabaseId;
}

/** The ids that a file has and had. */
export interface OwnIds {
  readonly database: DatabaseId;
  /** Ascending. */
  readonly former: readonly FormerId[];
}

/** Only in a file that had another id. */
export const formerIdsTable = "former_ids";

/** Whose run the term of that number is. */
export function ownerOf({ database, former }: OwnIds, term: number): DatabaseId {
  return former.find(({ lastTerm }) => term <= lastTerm)?.database ?? database;
}

/** Of a file with so many terms; throws what `corrupt` makes. */
export function loadFormerIds(
  db: DatabaseSync,
  terms: number,
  corrupt: (what: string) => DfdbError,
): FormerId[] {
  const table = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(
    formerIdsTable,
  );
  if (table === undefined) return [];
  return db.prepare(`SELECT last_term, database FROM ${formerIdsTable} ORDER BY last_term`).all().map(
    (row) => {
      const lastTerm = Number(row["last_term"]), database = row["database"];
      if (lastTerm < 1 || lastTerm > terms || !isHexId(database)) throw corrupt("its former id is damaged");
      return { lastTerm, database: databaseIdOf(database) };
    },
  );
}

/** From the attached file `source` into this one, which has none. */
export function copyFormerIds(db: DatabaseSync): void {
  const table = db.prepare("SELECT 1 FROM source.sqlite_schema WHERE type = 'table' AND name = ?").get(
    formerIdsTable,
  );
  if (table === undefined) return;
  addFormerIds(db, []);
  db.prepare(`INSERT INTO main.${formerIdsTable} SELECT * FROM source.${formerIdsTable}`).run();
}

/** Inside the caller's transaction; makes the table where there is none. */
export function addFormerIds(db: DatabaseSync, former: readonly FormerId[]): void {
  db.prepare(
    `CREATE TABLE IF NOT EXISTS ${formerIdsTable} (last_term INTEGER PRIMARY KEY, database TEXT NOT NULL) STRICT`,
  ).run();
  const add = db.prepare(`INSERT OR REPLACE INTO ${formerIdsTable} VALUES (?, ?)`);
  for (const { lastTerm, database } of former) add.run(lastTerm, database);
}
