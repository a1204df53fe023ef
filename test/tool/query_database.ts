/** Documents and indexes in SQLite as the storage keeps them, to run compiled statements on. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { limits } from "../../src/base/limits.ts";
import type { Select, Step } from "../../src/query/ast.ts";
import type { QueryCatalog, QueryCollection } from "../../src/query/catalog.ts";
import { compileMatches, compileSelect } from "../../src/query/compile.ts";
import type { Inputs, QueryParameters, SqlValue } from "../../src/query/compile_slots.ts";
import { lookFunction } from "../../src/query/compile_slots.ts";
import { parse } from "../../src/query/parse.ts";
import { jsonPath, pathKey } from "../../src/query/path_sql.ts";
import { countPlanName, planName } from "../../src/query/plan_name.ts";
import { rowWriter } from "../../src/query/result_rows.ts";
import { isStepwise } from "../../src/query/stepwise.ts";
import { eachStep, valuesAt } from "../../src/document/json_find.ts";

export interface IndexSample {
  readonly name: string;
  readonly paths: readonly (readonly Step[])[];
  readonly unique?: boolean;
}

export interface CollectionSample {
  readonly name: string;
  /** JSON texts of bodies; ids are `1`, `2`, ... */
  readonly documents: readonly string[];
  readonly indexes?: readonly IndexSample[];
}

export interface Answer {
  readonly rows: readonly string[];
  readonly plan: string;
  readonly sql: string;
}

export class QueryDatabase implements Disposable {
  readonly #db = new DatabaseSync(":memory:");
  readonly #collections = new Map<string, QueryCollection>();
  #tables = 0;
  #asked = 0;

  constructor(...samples: readonly CollectionSample[]) {
    this.#db.function(lookFunction, () => 1);
    for (const sample of samples) this.#add(sample);
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  /** With `scanning` it shows no indexes. */
  catalog(scanning = false): QueryCatalog {
    return {
      collection: (name) => {
        const found = this.#collections.get(name.toLowerCase());
        return found === undefined ? null : scanning ? { ...found, indexes: [] } : found;
      },
      names: () => [...this.#collections.values()].map(({ name }) => name),
    };
  }

  /** Runs a SELECT; some of them, to compare, once more as worker threads do. */
  select(text: string, parameters: QueryParameters = [], scanning = false): Answer {
    const compiled = compileSelect(parse(text) as Select, this.catalog(scanning), parameters);
    if (compiled.kind === "count") {
      const { collection, name } = compiled;
      const n = collection === null ? 0 : this.catalog().collection(collection)!.documents;
      return { rows: [`{${JSON.stringify(name)}:${n}}`], plan: countPlanName, sql: "" };
    }
    const values = compiled.values(inputsOf(parameters));
    const write = rowWriter(compiled.shape, (seq) => `e${seq}`);
    const rows = this.run(compiled.sql, values).map((cells) => write(cells));
    const details = this.explain(compiled.sql, values), { wholeSql } = compiled;
    if (wholeSql !== null) {
      assert.deepEqual(this.explain(wholeSql, values), details, text);
      const whole = this.run(wholeSql, values).map((cells) => write(cells));
      assert.deepEqual(whole, rows.slice(0, limits.queryAtOnceRows + 1), text);
    }
    if (compiled.stepwise === "flow") assert.ok(isStepwise("flow", details), `${text}: ${details}`);
    else if (this.#asked++ % 4 === 0) {
      const looking = compileSelect(parse(text) as Select, this.catalog(scanning), parameters, true);
      assert.ok(looking.kind === "rows");
      if (compiled.stepwise === null) assert.ok(looking.sql.includes(lookFunction), text);
      const looked = this.run(looking.sql, looking.values(inputsOf(parameters)));
      assert.deepEqual(looked.map((cells) => write(cells)), rows, text);
    }
    return { rows, plan: planName(compiled.plan, details), sql: compiled.sql };
  }

  /** The ids that `SELECT * FROM collection WHERE ...` means, by way of UPDATE and DELETE. */
  matches(text: string, parameters: QueryParameters = [], scanning = false): string[] {
    const select = parse(text) as Select;
    const compiled = compileMatches(select.where, select.from.name, this.catalog(scanning), parameters);
    return this.run(compiled.sql, compiled.values(inputsOf(parameters))).map((cells) => cells[1] as string);
  }

  run(sql: string, values: readonly SqlValue[]): SqlValue[][] {
    const statement = this.#db.prepare(sql);
    statement.setReturnArrays(true);
    return statement.all(...values) as unknown as SqlValue[][];
  }

  explain(sql: string, values: readonly SqlValue[]): string[] {
    return this.#db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values).map((row) => String(row["detail"]));
  }

  #add({ name, documents, indexes = [] }: CollectionSample): void {
    const table = `docs_${++this.#tables}`;
    this.#db.exec(
      `CREATE TABLE ${table} (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL,
      created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, flags INTEGER NOT NULL DEFAULT 0, vector BLOB,
      body TEXT NOT NULL) STRICT; BEGIN`,
    );
    const put = this.#db.prepare(`INSERT INTO ${table} VALUES (?, ?, ?, 0, 0, 0, NULL, ?)`);
    documents.forEach((body, i) => put.run(i + 1, String(i + 1), 100 + i, body));
    const made = indexes.map((index) => ({
      unique: false,
      ...index,
      table: this.#addIndex(index, documents),
    }));
    this.#db.exec("COMMIT");
    this.#collections.set(name.toLowerCase(), { name, table, documents: documents.length, indexes: made });
  }

  #addIndex({ paths }: IndexSample, documents: readonly string[]): string {
    const table = `index_${++this.#tables}`, columns = paths.map((_, i) => `k${i + 1}`);
    this.#db.exec(
      `CREATE TABLE ${table} (${columns.join()}, row, PRIMARY KEY (${columns.join()}, row)) WITHOUT ROWID`,
    );
    const key = (path: readonly Step[]): string => path.includes(eachStep) ? "? ->> '$'" : "? ->> ?";
    const put = this.#db.prepare(
      `INSERT OR IGNORE INTO ${table} VALUES (${
        paths.map((path) => `coalesce(${key(path)}, -9e999)`).join()
      }, ?)`,
    );
    const each = paths.find((path) => path.includes(eachStep));
    documents.forEach((body, i) => {
      const elements = each === undefined ? [null] : valuesAt(body, each);
      for (const element of elements) {
        put.run(...paths.flatMap((path) => path === each ? [element] : [body, jsonPath(path)]), i + 1);
      }
    });
    return table;
  }
}

export function inputsOf(parameters: QueryParameters): Inputs {
  return { parameters, now: "2026-01-02T03:04:05.678Z", newId: () => "0123456789abcdef0123456789abcdef" };
}

/** `a.b[0].c[*]`: for samples alone. */
export function steps(path: string): Step[] {
  return path.split(/\.|(?=\[)/).map((part) =>
    part === "[*]" ? eachStep : part.startsWith("[") ? Number(part.slice(1, -1)) : part
  );
}

/** An index on paths, called by them. */
export function indexOn(...paths: readonly string[]): IndexSample {
  return {
    name: `by_${paths.map((path) => pathKey(steps(path)).replace(/[^a-z0-9]/g, "")).join("_")}`,
    paths: paths.map(steps),
  };
}
