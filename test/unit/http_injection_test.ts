/** Hostile texts at every place of the HTTP API where one could reach SQL: every statement that the process prepares keeps a shape that harmless ones have. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isErrorCode } from "../../src/base/errors.ts";
import { indexTableOf, triggersOf } from "../../src/storage/sqlite/index_sql.ts";
import { tableOf } from "../../src/storage/sqlite/schema.ts";
import type { Body, TestNode } from "../suites/http_fixture.ts";
import { directTransport, withNode } from "../suites/http_fixture.ts";
import { patient } from "../suites/storage_fixture.ts";
import { currentRuntime } from "../tool/current_runtime.ts";
import { hostileTexts } from "../tool/hostile_texts.ts";
import { mine, todays } from "../tool/shared_out.ts";
import { sqlShape } from "../tool/sql_shape.ts";

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const kept = ['{"_id":"1","n":1,"s":"kept"}', '{"_id":"2","n":2,"t":[1,{"b":2}]}'];
const name = (text: string): string => `"${text.replaceAll('"', '""')}"`;
const value = (text: string): string => `'${text.replaceAll("'", "''")}'`;
const at = (method: string, path: string, body?: unknown): Asked => ({
  method,
  path,
  ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
});
const query = (sql: string, params?: unknown): Asked => at("POST", "/query", { sql, params });

/** A text may be a scope, and a key be made that closes the door to who has none. */
const apiKey = "administrator";

function withKey(node: TestNode): TestNode {
  const authorization = `Bearer ${apiKey}`;
  return {
    ...node,
    request: (method, path, options = {}) =>
      node.request(method, path, { ...options, headers: { authorization, ...options.headers } }),
  };
}

/** The part of a path; null: it is none (the runtime takes dots away, or there is no such UTF-8). */
function part(text: string): string | null {
  return text === "" || !text.isWellFormed() || text === "." || text === ".."
    ? null
    : encodeURIComponent(text);
}

/** In paths and query parameters. */
function inPaths(text: string): readonly Asked[] {
  const t = part(text);
  if (t === null || t.length > 4_000) return [];
  return [
    at("GET", `/collections/${t}`),
    at("PUT", `/collections/${t}/1`, {}),
    at("POST", `/collections/${t}`, {}),
    at("GET", `/collections/c/${t}`),
    at("PUT", `/collections/d/${t}`, { n: 1 }),
    at("PATCH", `/collections/d/${t}`, { n: 2 }),
    at("DELETE", `/collections/d/${t}`),
    at("GET", `/collections/c/by/${t}/v`),
    at("GET", `/collections/c/by/s/${t}`),
    at("GET", `/collections/c/by/n/${t}`),
    at("PUT", `/collections/c/by/${t}/none`, {}),
    at("PATCH", `/collections/c/by/s/${t}`, { n: 1 }),
    at("DELETE", `/collections/c/by/${t}/none`),
    at("DELETE", `/collections/c/by/s/${t}`),
    at("GET", `/indexes/${t}`),
    at("DELETE", `/index/c/${t}`),
    at("POST", `/admin/rebuild-index/c/${t}`),
    at("GET", `/collections/c?limit=${t}&after=${t}`),
    at("GET", `/changes?once=true&since=${t}`),
    at("GET", `/changes?once=true&since=start&collection=${t}`),
    at("GET", `/collections/${t}/schema`),
    at("DELETE", `/collections/${t}/ttl`),
    at("DELETE", `/admin/keys/${t}`),
  ];
}

/** In headers that are looked at. */
function inHeaders(text: string): readonly Asked[] {
  if (!/^[\x21-\x7e]+$/.test(text) || text.length > 2_000) return [];
  return [
    { ...at("GET", "/collections/c"), headers: { "x-dfdb-min-position": text } },
    { ...at("DELETE", "/collections/c/1"), headers: { "if-match": `"${text.replaceAll('"', "")}"` } },
    { ...at("POST", "/collections/d", { n: 1 }), headers: { "idempotency-key": text } },
    { ...at("GET", "/collections"), headers: { "x-database": text } },
  ];
}

/** In bodies. */
function inBodies(text: string): readonly Asked[] {
  const one = (op: Readonly<Record<string, unknown>>): Asked =>
    at("POST", "/tx/batch", [{ collection: "d", ...op }]);
  return [
    at("POST", "/collections/d/bulk", [{ [`x${text}`]: text }]),
    one({ op: "insert", doc: { [`x${text}`]: [text] } }),
    one({ op: "replace", id: text, doc: { v: text } }),
    one({ op: "delete", id: text }),
    one({ op: "delete", collection: text, id: "1" }),
    one({ op: "deleteByField", field: text, value: "none" }),
    one({ op: "deleteByField", field: "none", value: text }),
    at("POST", "/collections/c/1/conditional", {
      conditions: [{ field: text, op: "==", value: "none" }],
      operations: [{ field: "n", op: "set", value: 7 }],
    }),
    at("POST", "/collections/c/1/conditional", {
      conditions: [{ field: "s", op: "==", value: text }],
      operations: [{ field: text, op: "set", value: text }],
    }),
    at("PUT", "/collections/d/schema", { required: [text], types: { [text]: "string" } }),
    at("PUT", "/collections/d/schema", { checks: [text] }),
    at("PUT", "/collections/d/schema", { checks: [`${name(text)} = ${value(text)}`] }),
    at("PUT", "/collections/d/schema", { refs: [{ field: text, collection: "c" }] }),
    at("PUT", "/collections/d/schema", { refs: [{ field: "none", collection: text }] }),
    at("DELETE", "/collections/d/schema"),
    at("POST", "/index", { collection: text, path: "n" }),
    at("POST", "/index", { collection: "d", path: "n", name: text }),
    at("DELETE", "/index/d/idx_d_n"),
    at("POST", "/admin/keys", { scopes: [text] }),
  ];
}

/** In statements of the query language. */
function inStatements(text: string): readonly Asked[] {
  const n = name(text), v = value(text);
  return [
    query(text),
    query(`SELECT * FROM c WHERE n = ${text}`),
    query(`SELECT ${n}, n AS ${n} FROM c WHERE ${n} = ${v} ORDER BY ${n}, s DESC`),
    query(`SELECT ${n}, COUNT(*) FROM c WHERE t[*].${n} = 1 GROUP BY ${n} HAVING MIN(s) = ${v}`),
    query(`SELECT * FROM c WHERE s LIKE ${v} OR n IN (${v}, 7) LIMIT 1`),
    query("SELECT * FROM c WHERE s = ? AND n > ? LIMIT 1", [text, text]),
    query("SELECT * FROM c WHERE s = :p", { p: text, [text]: text }),
    query("SELECT * FROM c LIMIT ? OFFSET ?", [text, text]),
    query(`SELECT c.n FROM c JOIN ${n} ON c.n = ${n}.n`),
    query(`SELECT * FROM ${n}`),
    query(`UPDATE c SET ${n} = ${v} WHERE s = ${v}`),
    query(`DELETE FROM c WHERE ${n} = ${v} AND n > 7`),
    query(`INSERT INTO d (a, ${n}) VALUES (1, ${v})`),
    query(`INSERT INTO ${n} VALUES {}`),
    query(`CREATE INDEX ${n} ON d (n)`),
    query(`DROP INDEX ${n} ON c`),
    query(`DROP INDEX idx_d_n ON d`),
  ];
}

/** Indexes take several entries each, so they are gone again at once. */
function inIndexes(text: string): readonly Asked[] {
  return [
    at("POST", "/index", { collection: "d", path: text, name: "made" }),
    at("DELETE", "/index/d/made"),
    at("POST", "/index", { collection: "d", path: ["n", `t[*].${text}`], name: "made" }),
    at("DELETE", "/index/d/made"),
    query(`CREATE INDEX made ON d (${name(text)}, t[*].${name(text)})`),
    at("DELETE", "/index/d/made"),
    at("PUT", "/collections/d/ttl", { field: text }),
    at("DELETE", "/collections/d/ttl"),
  ];
}

const all = (text: string): readonly Asked[] => [
  ...inPaths(text),
  ...inHeaders(text),
  ...inBodies(text),
  ...inStatements(text),
  ...inIndexes(text),
];

/** One of each class of constants that comparisons tell apart, and what is a name or a path. */
const harmless = [
  "v",
  "other",
  "a.b",
  "a,b",
  "a[0]",
  "t[*]",
  "[v",
  "-v",
  "2",
  "0.5",
  "1e999",
  "true",
  "null",
  "",
  "_id",
  "_etag",
];

/** The shapes of all statements that are prepared while `run` runs. */
async function prepared(run: () => Promise<void>): Promise<Map<string, string>> {
  const shapes = new Map<string, string>(), { prepare, exec } = DatabaseSync.prototype;
  const note = (sql: string): void => {
    const shape = sqlShape(sql);
    if (!shapes.has(shape)) shapes.set(shape, sql);
  };
  DatabaseSync.prototype.prepare = function (sql: string, ...more: []) {
    note(sql);
    return prepare.call(this, sql, ...more);
  };
  DatabaseSync.prototype.exec = function (sql: string) {
    note(sql);
    return exec.call(this, sql);
  };
  try {
    await run();
  } finally {
    Object.assign(DatabaseSync.prototype, { prepare, exec });
  }
  return shapes;
}

async function askAll({ request }: TestNode, texts: readonly string[]): Promise<number> {
  let taken = 0;
  for (const text of texts) {
    for (const { method, path, body, headers } of all(text)) {
      const answer = await request(method, path, {
        ...(body === undefined ? {} : { body }),
        ...(headers === undefined ? {} : { headers }),
      });
      const told = await answer.text(), what = `${method} ${path} ${body ?? ""}`.slice(0, 300);
      if (answer.ok) {
        taken++;
        continue;
      }
      assert.ok(answer.status < 500 && answer.status !== 401, `${what}: ${answer.status} ${told}`);
      const { error, code } = JSON.parse(told) as Body;
      assert.ok(isErrorCode(code) && typeof error === "string", `${what}: ${told}`);
    }
  }
  return taken;
}

/** What the catalog says that must be in the file, and what is there. */
function tables(
  { storage }: TestNode,
  path: string,
): readonly [wanted: readonly string[], found: readonly string[]] {
  while (storage.reclaim());
  const own = ["collections", "indexes", "log", "meta", "terms"].map((table) => `table ${table}`);
  const made = storage.read((view) =>
    view.collections().flatMap(({ number }) => [
      `table ${tableOf(number)}`,
      ...view.indexes(number).flatMap((index) => [
        `table ${indexTableOf(index.number)}`,
        ...triggersOf({ ...index, collection: number }).map((sql) => `trigger ${sql}`),
      ]),
    ])
  );
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = db.prepare("SELECT type, name, sql FROM sqlite_schema WHERE type <> 'index'").all();
    const found = rows.map(({ type, name, sql }) => `${type} ${type === "trigger" ? sql : name}`);
    return [[...own, ...made].sort(), found.sort()];
  } finally {
    db.close();
  }
}

test(
  "over HTTP no text changes the shape of a statement, the tables or another's documents",
  patient,
  async () => {
    await withNode(currentRuntime(), directTransport(), { apiKey }, async (given) => {
      const node = withKey(given);
      for (const collection of ["c", "secret"]) {
        const made = await node.request("POST", `/collections/${collection}/bulk`, {
          body: `[${kept.join()}]`,
        });
        assert.equal(made.status, 200);
        assert.equal(
          (await node.request("POST", "/index", { body: JSON.stringify({ collection, path: "s" }) })).status,
          200,
        );
      }
      const content = async (): Promise<string[]> =>
        await Promise.all(
          ["c", "secret"].map(async (each) => (await node.request("GET", `/collections/${each}`)).text()),
        );
      const before = await content();
      const allowed = await prepared(async () => void await askAll(node, harmless));
      assert.ok(allowed.size > 50, `${allowed.size} shapes`);
      assert.deepEqual(await content(), before, "so much for harmless ones");
      const texts = todays(mine(hostileTexts));
      let taken = 0;
      const shapes = await prepared(async () => void (taken = await askAll(node, texts)));
      assert.ok(taken > texts.length * 10, `${taken} were taken`);
      assert.ok(shapes.size > 20, `${shapes.size} shapes`);
      const foreign = [...shapes].filter(([shape]) => !allowed.has(shape)).map(([, sql]) => sql);
      assert.deepEqual(foreign, []);
      assert.deepEqual(await content(), before);
      assert.deepEqual(node.logged, []);
      const [wanted, found] = tables(node, node.storage.stats().path);
      assert.deepEqual(found, wanted);
    });
  },
);
