/** A client's text is a name or a value, wherever it stands: it never changes what is asked of SQLite. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CollectionNumber, IndexNumber } from "../../src/base/ids.ts";
import { DfdbError, isErrorCode } from "../../src/base/errors.ts";
import { fieldSteps } from "../../src/document/field_path.ts";
import { checkIndex } from "../../src/document/index_definition.ts";
import { collectionName } from "../../src/document/names.ts";
import { fieldCondition } from "../../src/engine/delete_by_field.ts";
import { compileMatches, compileSelect } from "../../src/query/compile.ts";
import { signatureOf } from "../../src/query/compile_constants.ts";
import type { QueryParameters } from "../../src/query/compile_slots.ts";
import { parse } from "../../src/query/parse.ts";
import { rowsSql, triggersOf } from "../../src/storage/sqlite/index_sql.ts";
import { hostileTexts } from "../tool/hostile_texts.ts";
import { indexOn, inputsOf, QueryDatabase } from "../tool/query_database.ts";
import { mine } from "../tool/shared_out.ts";
import { sqlShape } from "../tool/sql_shape.ts";

const documents = ['{"a":1,"b":"x","t":[1,{"b":2}]}', '{"a":"y"}'];

function database(): QueryDatabase {
  return new QueryDatabase(
    { name: "c", documents, indexes: [indexOn("a"), indexOn("b"), indexOn("t.[*]")] },
    { name: "other", documents },
  );
}

const texts = mine(hostileTexts);

/** The statements for SQLite that a text comes to at one place; throws where it is refused. */
type Place = (text: string, db: QueryDatabase) => readonly string[];

const name = (text: string): string => `"${text.replaceAll('"', '""')}"`;
const value = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A statement of the query language, compiled, prepared and run. */
function compiled(sql: string, db: QueryDatabase, parameters: QueryParameters = []): readonly string[] {
  const statement = parse(sql);
  if (statement.kind === "select") {
    const made = [false, true].map((looks) => compileSelect(statement, db.catalog(), parameters, looks));
    return made.map((one) => {
      if (one.kind === "count") return "";
      db.run(one.sql, one.values(inputsOf(parameters)));
      return one.sql;
    });
  }
  if (statement.kind === "update" || statement.kind === "delete") {
    const { name: collection } = statement.kind === "update" ? statement.collection : statement.from;
    const { sql: found, values } = compileMatches(statement.where, collection, db.catalog(), parameters);
    db.run(found, values(inputsOf(parameters)));
    return [found];
  }
  if (statement.kind === "createIndex") return indexTexts(statement.paths.map(({ steps }) => steps));
  return [];
}

/** All that the storage says of an index: its triggers have the paths as literals. */
function indexTexts(paths: readonly (readonly (string | number)[])[], time = false): readonly string[] {
  checkIndex({ name: "i", unique: false, time, paths });
  const index = { number: 1 as IndexNumber, collection: 1 as CollectionNumber, time, paths };
  return [...triggersOf(index), rowsSql(index, "d", "docs_1 d")];
}

const quotedPlaces: Readonly<Record<string, string>> = {
  "a member": "SELECT % FROM c",
  "a member below another": "SELECT a.%.b FROM c WHERE a.% = 1",
  "a member of each element": "SELECT t[*].% FROM c WHERE t[*].% > 1",
  "a member with elements": "SELECT * FROM c WHERE %[*].b = 1",
  "a name with AS": "SELECT a AS %, b FROM c ORDER BY %",
  "ORDER BY": "SELECT a FROM c ORDER BY %, b.% DESC",
  "DISTINCT": "SELECT DISTINCT % FROM c ORDER BY %",
  "GROUP BY": "SELECT %, COUNT(*) AS n FROM c GROUP BY % HAVING MAX(%) > 1 ORDER BY n",
  "a name of an aggregate": "SELECT SUM(%.n) AS % FROM c",
  "a function": "SELECT LOWER(%), COALESCE(%, 'x') FROM c WHERE LENGTH(TRIM(%)) + 1 > 2",
  "IS NULL": "SELECT * FROM c WHERE % IS NULL OR NOT % IS NOT NULL",
  "ON": "SELECT c.a FROM c LEFT JOIN other ON c.% = other.% AND c.a = other.%.b",
  "a member of a side": "SELECT c.%, other.% FROM c CROSS JOIN other WHERE other.% = c.%",
  "what UPDATE and DELETE look for": "DELETE FROM c WHERE %.b = 1 OR % LIKE 'x'",
  "SET": "UPDATE c SET % = 1, b.% = 2 WHERE a = 1",
  "paths of an index": "CREATE INDEX i ON c (%, t[*].%)",
};
/** Collections and indexes: a text that is no name of one is refused. */
const namedPlaces: Readonly<Record<string, string>> = {
  "FROM": "SELECT * FROM %",
  "JOIN": "SELECT c.a FROM c LEFT JOIN % ON c.a = %.b",
  "the collection of DELETE": "DELETE FROM % WHERE a = 1",
  "the name of an index": "CREATE INDEX % ON c (a)",
  "the name of an index that is dropped": "DROP INDEX % ON c",
};
const valuePlaces: Readonly<Record<string, string>> = {
  "=": "SELECT * FROM c WHERE a = %",
  "=, without an index": "SELECT * FROM c WHERE z = % AND z != %",
  "order": "SELECT * FROM c WHERE a < % OR z >= %",
  "BETWEEN": "SELECT * FROM c WHERE a BETWEEN % AND %",
  "IN": "SELECT * FROM c WHERE a IN (%, 'k') AND NOT z IN (%, 1)",
  "LIKE": "SELECT * FROM c WHERE a LIKE % OR NOT LOWER(z) LIKE %",
  "_id": "SELECT * FROM c WHERE _id = %",
  "each element": "SELECT * FROM c WHERE t[*] = % AND t[*].b < %",
  "a result": "SELECT % AS v, UPPER(%) FROM c",
  "an argument": "SELECT * FROM c WHERE COALESCE(a, %) = %",
  "HAVING": "SELECT a FROM c GROUP BY a HAVING MIN(b) = %",
  "ORDER BY": "SELECT a FROM c ORDER BY COALESCE(a, %)",
  "ON": "SELECT c.a FROM c JOIN other ON c.a = other.a WHERE other.b = %",
  "what UPDATE looks for": "UPDATE c SET b = % WHERE a = % AND z > %",
};

/** What stands for `text` at each mark. */
const placed = (pattern: string, text: string): string => pattern.replaceAll("%", () => text);

/** A harmless text of the same class of constants: that one decides what is compared. */
function likeness(text: string): string {
  const texts = ["v", "[v", "-v", "2", "0.5", "9223372036854775808", "1e999", "true", ""];
  const found = texts.find((each) => signatureOf([each]) === signatureOf([text]));
  assert.ok(found !== undefined, `${JSON.stringify(text)} is of a class of its own`);
  return found;
}

const places = new Map<string, { readonly place: Place; readonly harmless: (text: string) => string }>();

/** `_id` and `_etag` are columns, and say so. */
const member = (text: string): string => text === "_id" || text === "_etag" ? text : "v";

function add(what: string, place: Place, harmless: (text: string) => string = member): void {
  assert.ok(!places.has(what), what);
  places.set(what, { place, harmless });
}

for (const [what, pattern] of Object.entries(quotedPlaces)) {
  add(`name: ${what}`, (text, db) => compiled(placed(pattern, name(text)), db));
}
for (const [what, pattern] of Object.entries(namedPlaces)) {
  add(
    `name: ${what}`,
    (text, db) => compiled(placed(pattern, name(text)), db),
    (text) => isOwn(text) ? text : "other",
  );
}
for (const [what, pattern] of Object.entries(valuePlaces)) {
  add(`value: ${what}`, (text, db) => compiled(placed(pattern, value(text)), db), likeness);
  const positional = (text: string): readonly string[] => [...pattern.matchAll(/%/g)].map(() => text);
  add(
    `parameter: ${what}`,
    (text, db) => compiled(pattern.replaceAll("%", "?"), db, positional(text)),
    likeness,
  );
  add(
    `named parameter: ${what}`,
    (text, db) => compiled(pattern.replaceAll("%", ":p"), db, { p: text, [text]: text }),
    likeness,
  );
}
add("LIMIT", (text, db) => compiled("SELECT * FROM c LIMIT ? OFFSET ?", db, [text, text]));
add(
  "a document among the parameters",
  (text, db) => compiled("SELECT * FROM c WHERE a = ?", db, [{ [text]: text }]),
);
add("a field of a request", (text) => indexTexts([fieldSteps(text)]));
add(
  "a member of a request's field",
  (text) => indexTexts([fieldSteps(`a.${text}`), fieldSteps(`b[*].${text}`)]),
);
add("a step of an index", (text) => indexTexts([["a", text], ["t", "*each", text]]));
add("the moment of expiry", (text) => indexTexts([fieldSteps(text)], true));
add("a field by its value", (text, db) => {
  const condition = fieldCondition({ field: text, value: "x" });
  return [compileMatches(condition, "c", db.catalog(), []).sql];
});
add("a value by its field", (text, db) => {
  const condition = fieldCondition({ field: "a", value: text });
  return [compileMatches(condition, "c", db.catalog(), []).sql];
}, likeness);
add("a collection of a request", (text, db) => [
  compileMatches(null, collectionName(text), db.catalog(), []).sql,
], (text) => isOwn(text) ? text : "other");

/** A name that a collection may have, so there may be one. */
const isOwn = (text: string): boolean => /^[A-Za-z_][A-Za-z0-9_.-]*$/.test(text) && text.length <= 128;

/** Their shapes, or the code of the refusal. */
function shapesAt(place: Place, text: string, db: QueryDatabase): readonly string[] | string {
  try {
    return place(text, db).map(sqlShape);
  } catch (error) {
    if (error instanceof DfdbError && isErrorCode(error.code) && error.status < 500) return error.code;
    throw new Error(`${JSON.stringify(text.slice(0, 60))}: ${error}`, { cause: error });
  }
}

test("a statement for SQLite has one shape, whatever text of a client is in it", () => {
  using db = database();
  const refusals = new Set<string>();
  let taken = 0;
  for (const [what, { place, harmless }] of places) {
    const wanted = new Map<string, readonly string[] | string>();
    for (const text of texts) {
      const shapes = shapesAt(place, text, db);
      if (typeof shapes === "string") {
        refusals.add(shapes);
        continue;
      }
      taken++;
      const like = harmless(text);
      if (!wanted.has(like)) wanted.set(like, shapesAt(place, like, db));
      assert.deepEqual(shapes, wanted.get(like), `${what}: ${JSON.stringify(text.slice(0, 80))}`);
      assert.doesNotMatch(
        shapes.join(),
        /!|;(?!.*\bend\b)/,
        `${what}: it holds one statement, and no comment`,
      );
    }
  }
  assert.deepEqual([...refusals].sort(), ["bad_request", "collection_not_found"]);
  assert.ok(taken > places.size * texts.length / 2, `${taken} were taken`);
});

test("a text that is written into a statement of the query language is refused, or asks for what it says, in our own words", () => {
  using db = database();
  const patterns = [
    ...Object.values(quotedPlaces),
    ...Object.values(namedPlaces),
    ...Object.values(valuePlaces),
  ];
  const words = new Set<string>();
  const tell = (pattern: string, text: string): readonly string[] => {
    const shapes = shapesAt((raw, on) => compiled(placed(pattern, raw), on), text, db);
    return typeof shapes === "string" ? [] : shapes.flatMap((shape) => shape.split(" "));
  };
  const sums = "SELECT a FROM c WHERE a = 1 * b % 2 / a - 1 + -b LIMIT 1 OFFSET 2";
  for (const sql of compiled(sums, db)) for (const word of sqlShape(sql).split(" ")) words.add(word);
  for (const pattern of patterns) {
    for (const text of ["other", "b", "t[*]", "_id", "'v'", "'[v'", "2", "-2", "NULL", "TRUE", "?"]) {
      for (const word of tell(pattern, text)) words.add(word);
    }
  }
  const foreign = new Set<string>();
  let taken = 0;
  for (
    const pattern of [
      ...patterns,
      "SELECT * FROM c %",
      "%",
      "SELECT a FROM c LIMIT %",
      "SELECT a FROM c WHERE a = 1 %",
    ]
  ) {
    for (const text of texts) {
      const told = tell(pattern, text);
      if (told.length > 0) taken++;
      for (const word of told) {
        if (!words.has(word)) foreign.add(`${word} of ${pattern}: ${text.slice(0, 40)}`);
      }
    }
  }
  assert.deepEqual([...foreign], []);
  assert.ok(taken > texts.length, `${taken} were taken`);
});

test("the shape of a statement shows what a text would have changed", () => {
  const bare = (text: string): string =>
    sqlShape(`SELECT a FROM docs_1 WHERE a = '${text}' AND "${text}" = 1`);
  assert.equal(bare("v"), "select a from docs_n where a = text and quoted = number");
  const changing = hostileTexts.filter((text) => bare(text) !== bare("v"));
  assert.ok(
    changing.length > 15 && changing.includes("' OR 1=1 --") && changing.includes('")'),
    String(changing.length),
  );
  assert.match(sqlShape("SELECT 1 -- x"), /comment!/);
  assert.match(sqlShape("SELECT 1\u0000"), /nul!/);
  assert.notEqual(sqlShape("SELECT x"), sqlShape("SELECT 'x'"));
});
