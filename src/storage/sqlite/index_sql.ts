/** The SQL of indexes: their tables, and the triggers that keep them. Triggers bind nothing: paths are literals. */
import type { DatabaseSync } from "node:sqlite";
import type { CollectionNumber, IndexNumber } from "../../base/ids.ts";
import type { Step } from "../../document/json_find.ts";
import { hasEach, jsonPath, partsAtEach } from "../../document/json_path.ts";
import type { IndexDefinition } from "../../document/operation.ts";
import { tableOf } from "./schema.ts";

/** What the SQL of one index is made from. */
export interface IndexTable extends Pick<IndexDefinition, "time" | "paths"> {
  readonly number: IndexNumber;
  readonly collection: CollectionNumber;
}

/** Stands for null: no JSON number is so small, and it sorts first. */
export const nullKey = "-9e999";

/** Name of the table that holds the keys of an index. */
export function indexTableOf(index: IndexNumber): string {
  return `index_${index}`;
}

/** One document has one key, however often it changes. */
export function hasOneKey({ time, paths }: Pick<IndexDefinition, "time" | "paths">): boolean {
  return !time && !paths.some(hasEach);
}

/** The columns of its key: k1, k2, ... */
export function keyColumns({ paths }: Pick<IndexDefinition, "paths">): readonly string[] {
  return paths.map((_, i) => `k${i + 1}`);
}

/** Where the keys of a document come from. */
export interface Keys {
  /** Table-valued functions, in a FROM after whatever has the document. */
  readonly sources: readonly string[];
  /** One for each path; null where it leads nowhere. */
  readonly keys: readonly string[];
}

/** Of an index of values; `body`: the column that has the document. */
export function valueKeys({ paths }: Pick<IndexDefinition, "paths">, body: string): Keys {
  const sources: string[] = [];
  const keys = paths.map((path) => {
    const [first, ...rest] = partsAtEach(path);
    let parent = body, at = literal(first!), key = `${body} ->> ${at}`;
    rest.forEach((part, i) => {
      const alias = `e${i + 1}`;
      // json_each would walk objects and single values, too.
      sources.push(
        `json_each(CASE json_type(${parent}, ${at}) WHEN 'array' THEN ${parent} -> ${at} END) ${alias}`,
      );
      // The text of a string may look like JSON, or not: it is not looked into.
      parent = `(CASE WHEN ${alias}.type IN ('array','object') THEN ${alias}.value END)`;
      at = literal(part);
      key = part.length === 0 ? `${alias}.value` : `${parent} ->> ${at}`;
    });
    return key;
  });
  return { sources, keys };
}

/** ms since 1970, null for what is no moment: of a number, or of a text in the form of ISO 8601 as SQLite reads it. */
function momentSql({ paths }: Pick<IndexDefinition, "paths">, body: string): string {
  const path = literal(paths[0]!), value = `${body} ->> ${path}`;
  return `CASE json_type(${body}, ${path}) WHEN 'integer' THEN ${value} ` +
    `WHEN 'real' THEN CAST(${value} AS INTEGER) ` +
    `WHEN 'text' THEN CASE WHEN ${value} GLOB '[0-9][0-9][0-9][0-9]-*' ` +
    `THEN CAST(round((julianday(${value}) - 2440587.5) * 86400000.0) AS INTEGER) END END`;
}

/** What JavaScript, too, takes for a moment. */
const momentMs = 8_640_000_000_000_000;

/**
 * A SELECT of the rows that a document has in the index, some of them twice. `from`: what has the document, with the columns
 * `body` and `row`; null: names in the place where it stands, as in a trigger.
 */
export function rowsSql(index: IndexTable, alias: string, from: string | null): string {
  const body = `${alias}.body`, row = `${alias}.row`;
  if (index.time) {
    const source = from === null ? "" : ` FROM ${from}`;
    return `SELECT k, r FROM (SELECT ${momentSql(index, body)} AS k, ${row} AS r${source}) ` +
      `WHERE k BETWEEN -${momentMs} AND ${momentMs}`;
  }
  const { sources, keys } = valueKeys(index, body);
  const columns = keys.map((key) => `coalesce(${key}, ${nullKey})`).join(", ");
  const all = [...(from === null ? sources.length === 0 ? [] : ["(SELECT 1)"] : [from]), ...sources];
  return `SELECT ${columns}, ${row}${all.length === 0 ? "" : ` FROM ${all.join(" LEFT JOIN ")}`}`;
}

/** Makes the table of an index, empty. */
export function createIndexTable(db: DatabaseSync, index: IndexTable): void {
  const columns = [...keyColumns(index), "row"].join(", ");
  db.prepare(
    `CREATE TABLE ${indexTableOf(index.number)} (${columns}, PRIMARY KEY (${columns})) WITHOUT ROWID`,
  ).run();
}

/** From now on each write to its collection writes to the index. */
export function createTriggers(db: DatabaseSync, index: IndexTable): void {
  for (const text of triggersOf(index)) db.prepare(text).run();
}

export function dropTriggers(db: DatabaseSync, index: IndexNumber): void {
  for (const event of ["insert", "delete", "update"]) {
    db.prepare(`DROP TRIGGER IF EXISTS ${indexTableOf(index)}_${event}`).run();
  }
}

/** As `sqlite_schema` has them. */
export function triggersOf(index: IndexTable): readonly string[] {
  const name = indexTableOf(index.number), on = `ON ${tableOf(index.collection)}`;
  const insert = `INSERT OR IGNORE INTO ${name} ${rowsSql(index, "new", null)};${counted(index, "+")}`;
  const remove = `${removal(index)};${counted(index, "-")}`;
  return [
    `CREATE TRIGGER ${name}_insert AFTER INSERT ${on} BEGIN ${insert} END`,
    `CREATE TRIGGER ${name}_delete AFTER DELETE ${on} BEGIN ${remove} END`,
    `CREATE TRIGGER ${name}_update AFTER UPDATE OF body ${on} WHEN ${
      changed(index)
    } BEGIN ${remove} ${insert} END`,
  ];
}

function removal(index: IndexTable): string {
  const name = indexTableOf(index.number), columns = keyColumns(index);
  if (!hasOneKey(index)) {
    return `DELETE FROM ${name} WHERE (${columns.join(", ")}, row) IN (${rowsSql(index, "old", null)})`;
  }
  const { keys } = valueKeys(index, "old.body");
  const same = keys.map((key, i) => `${columns[i]} = coalesce(${key}, ${nullKey})`);
  // Without its affinity: a column without type would not be searched for by it, and all of the same key be walked through.
  return `DELETE FROM ${name} WHERE ${same.join(" AND ")} AND row = +old.row`;
}

/** Where a document has one key, the entries are the documents. `changes()`: of the statement before, in the same trigger. */
function counted(index: IndexTable, sign: "+" | "-"): string {
  if (hasOneKey(index)) return "";
  return ` UPDATE indexes SET entries = entries ${sign} changes() WHERE number = ${index.number} AND changes() > 0;`;
}

function changed({ time, paths }: IndexTable): string {
  return paths.map((path) => {
    const at = literal(partsAtEach(path)[0]!), operator = time || hasEach(path) ? "->" : "->>";
    return `old.body ${operator} ${at} IS NOT new.body ${operator} ${at}`;
  }).join(" OR ");
}

function literal(steps: readonly Step[]): string {
  return `'${jsonPath(steps).replaceAll("'", "''")}'`;
}
