/** Which statements may be read where nobody may wait. */
import assert from "node:assert/strict";
import test from "node:test";
import { limits } from "../../src/base/limits.ts";
import type { Select } from "../../src/query/ast.ts";
import { compileMatches, compileSelect } from "../../src/query/compile.ts";
import { lookFunction } from "../../src/query/compile_slots.ts";
import { parse } from "../../src/query/parse.ts";
import { isStepwise } from "../../src/query/stepwise.ts";
import { indexOn, inputsOf, QueryDatabase } from "../tool/query_database.ts";

const documents = Array.from(
  { length: 50 },
  (_, i) => `{"a":"a${i % 5}","b":${i},"u":"u${i}","t":["t${i % 3}"]}`,
);
const indexes = [indexOn("a", "b"), indexOn("b"), { ...indexOn("u"), unique: true }, indexOn("t.[*]")];

/** What the compiler says, and whether SQLite agrees. */
function stepwise(text: string, parameters: readonly unknown[] = []): readonly [string | null, boolean] {
  using database = new QueryDatabase({ name: "things", documents, indexes }, { name: "others", documents });
  const compiled = compileSelect(parse(text) as Select, database.catalog(), parameters, true);
  assert.ok(compiled.kind === "rows");
  assert.equal(compiled.sql.includes(lookFunction), compiled.stepwise === null, text);
  return [
    compiled.stepwise,
    isStepwise(compiled.stepwise, database.explain(compiled.sql, compiled.values(inputsOf(parameters)))),
  ];
}

test("flow: each document that is looked at is a row", () => {
  const statements = [
    "SELECT * FROM things",
    "SELECT a, b + 1 AS c, t[*] FROM things LIMIT 5 OFFSET 1000",
    "SELECT * FROM things WHERE a = 'x'",
    "SELECT * FROM things WHERE a = 'x' AND b = 7",
    "SELECT * FROM things WHERE a = 'x' AND b > 7 AND b < 9",
    "SELECT * FROM things WHERE a IN ('x', 'y')",
    "SELECT * FROM things WHERE a IS NULL",
    "SELECT * FROM things WHERE u IS NULL",
    "SELECT * FROM things WHERE t[*] = 'x'",
    "SELECT * FROM things ORDER BY b DESC LIMIT 3",
    "SELECT * FROM things ORDER BY a, b",
    "SELECT * FROM things ORDER BY a DESC, b DESC",
    "SELECT * FROM things WHERE a = 'x' ORDER BY b DESC",
    "SELECT * FROM things WHERE a = 'x' ORDER BY a, b",
    "SELECT b AS c FROM things ORDER BY c",
  ];
  for (const text of statements) assert.deepEqual(stepwise(text), ["flow", true], text);
});

test("few: no more than some documents are looked at, whatever is done with them", () => {
  const statements = [
    "SELECT * FROM things WHERE u = 'u1'",
    "SELECT * FROM things WHERE u = 'u1' AND b LIKE 'x' ORDER BY t",
    "SELECT * FROM things WHERE u IN ('u1', 'u2') ORDER BY b DESC",
    "SELECT * FROM things WHERE _id = '7'",
    "SELECT * FROM things WHERE _id = '7' AND a = 'x' ORDER BY b",
  ];
  for (const text of statements) assert.deepEqual(stepwise(text), ["few", true], text);
  assert.deepEqual(stepwise("SELECT * FROM things WHERE u = ?", ["5"]), ["few", true]);
});

test("neither: SQLite may look at many documents for one row", () => {
  const many = Array.from({ length: 101 }, (_, i) => `'${i}'`).join(", ");
  const statements = [
    "SELECT * FROM things WHERE t = 'x'",
    "SELECT * FROM things WHERE a = 'x' AND t = 'x'",
    "SELECT * FROM things WHERE b = 1",
    "SELECT * FROM things WHERE a LIKE 'x%'",
    "SELECT * FROM things ORDER BY t",
    "SELECT * FROM things ORDER BY a",
    "SELECT * FROM things ORDER BY b, a",
    "SELECT * FROM things ORDER BY a, b DESC",
    "SELECT t AS b FROM things ORDER BY b",
    "SELECT * FROM things WHERE a IN ('x', 'y') ORDER BY b",
    "SELECT * FROM things WHERE t[*] IN ('x', 'y')",
    "SELECT * FROM things LIMIT 5 OFFSET 1001",
    `SELECT * FROM things WHERE u IN (${many})`,
    "SELECT DISTINCT a FROM things WHERE u = 'u1'",
    "SELECT COUNT(*) FROM things WHERE u = 'u1'",
    "SELECT MAX(b) FROM things",
    "SELECT * FROM things JOIN others ON things.a = others.a",
    "SELECT * FROM others WHERE a = 'x'",
  ];
  for (const text of statements) assert.deepEqual(stepwise(text), [null, false], text);
  assert.deepEqual(stepwise("SELECT * FROM things LIMIT 1 OFFSET ?", [1]), [null, false]);
});

test("a scan where a lookup was meant is found out", () => {
  assert.equal(isStepwise("few", ["SCAN d", "USE TEMP B-TREE FOR ORDER BY"]), false);
  assert.equal(
    isStepwise("flow", ["SEARCH i USING PRIMARY KEY (k1=?)", "USE TEMP B-TREE FOR LAST TERM OF ORDER BY"]),
    false,
  );
});

test("what gives all rows at once takes no large body and no more rows than are wanted", () => {
  const { queryAtOnceRows, queryAtOnceBodyBytes } = limits;
  const body = (bytes: number): string => `{"a":"${"é".repeat((bytes - 8) / 2)}"}`;
  const sized = [body(queryAtOnceBodyBytes), body(queryAtOnceBodyBytes + 2)];
  const many = Array.from({ length: queryAtOnceRows + 9 }, () => '{"a":1}');
  using database = new QueryDatabase({ name: "sized", documents: sized }, { name: "many", documents: many });
  const rows = (text: string, parameters: readonly unknown[] = []) => {
    const compiled = compileSelect(parse(text) as Select, database.catalog(), parameters, true);
    assert.ok(compiled.kind === "rows" && compiled.wholeSql !== null, text);
    return database.run(compiled.wholeSql, compiled.values(inputsOf(parameters)));
  };
  assert.deepEqual(rows("SELECT * FROM sized").map((cells) => cells[2]), [sized[0], null]);
  assert.equal(rows("SELECT * FROM many").length, queryAtOnceRows + 1);
  assert.equal(rows("SELECT * FROM many LIMIT 9000000000000000 OFFSET 20").length, queryAtOnceRows - 11);
  assert.equal(rows("SELECT * FROM many LIMIT ?", [3]).length, 3);
  for (const where of ["WHERE a = 1", "WHERE _id = '1'", "LEFT JOIN sized ON many.a = sized.a"]) {
    const text = `SELECT * FROM many ${where}`;
    const compiled = compileSelect(parse(text) as Select, database.catalog(), [], true);
    assert.ok(compiled.kind === "rows");
    assert.equal(compiled.wholeSql, null, text);
  }
});

test("the documents of UPDATE and DELETE", () => {
  using database = new QueryDatabase({ name: "things", documents, indexes });
  const cases = [["u = 'u1'", "few"], ["a = 'x'", "flow"], ["t = 'x'", null]] as const;
  for (const [where, expected] of cases) {
    const made = parse(`DELETE FROM things WHERE ${where}`);
    assert.ok(made.kind === "delete");
    const compiled = compileMatches(made.where, "things", database.catalog(), [], true);
    assert.deepEqual(
      [compiled.stepwise, compiled.sql.includes(lookFunction)],
      [expected, expected === null],
      where,
    );
  }
});
