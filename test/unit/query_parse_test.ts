import assert from "node:assert/strict";
import { test } from "node:test";
import type { Select, Statement, Step } from "../../src/query/ast.ts";
import { parse } from "../../src/query/parse.ts";
import { placeOf } from "../../src/query/syntax_error.ts";
import { queryText, withoutPositions } from "../tool/query_text.ts";

/** A node without its position, as tables write it. */
type Bare = Record<string, unknown>;

function path(text: string, ...steps: Step[]): Bare {
  return { kind: "path", steps: steps.length === 0 ? text.split(".") : steps, text };
}
const value = (of: string | boolean | null): Bare => ({ kind: "literal", value: of });
const number = (text: string): Bare => ({ kind: "literal", value: { number: text } });
const parameter = (name: number | string): Bare => ({ kind: "parameter", name });
const call = (name: string, ...args: Bare[]): Bare => ({ kind: "call", name, args });
const aggregate = (name: string, of: Bare | null): Bare => ({ kind: "aggregate", name, of });
const calculate = (left: Bare, operator: string, right: Bare): Bare => ({
  kind: "arithmetic",
  operator,
  left,
  right,
});
const minus = (of: Bare): Bare => ({ kind: "minus", of });
const compare = (left: Bare, operator: string, right: Bare): Bare => ({
  kind: "compare",
  operator,
  left,
  right,
});
const not = (of: Bare): Bare => ({ kind: "not", of });
const all = (kind: "and" | "or", ...conditions: Bare[]): Bare => ({ kind, all: conditions });

const a = path("a"), b = path("b"), c = path("c"), one = number("1"), two = number("2");
const isOne = compare(a, "=", one),
  isTwo = compare(b, "=", two),
  isNull = { kind: "isNull", left: c, not: false };

const plain = {
  kind: "select",
  distinct: false,
  items: null,
  from: { name: "x" },
  joins: [],
  where: null,
  groupBy: [],
  having: null,
  orderBy: [],
  limit: null,
  offset: null,
};

function bare(text: string): unknown {
  return withoutPositions(parse(text));
}

function check(
  title: string,
  table: readonly (readonly [text: string, expected: unknown])[],
  of = bare,
): void {
  test(title, () => {
    for (const [text, expected] of table) assert.deepEqual(of(text), expected, text);
  });
}

function selectOf(text: string): Select {
  const made = parse(text);
  assert.equal(made.kind, "select");
  return made as Select;
}
const expressionOf = (text: string): unknown =>
  withoutPositions(selectOf(`SELECT ${text} FROM x`).items?.map((item) => item.value)[0]);
const conditionOf = (text: string): unknown =>
  withoutPositions(selectOf(`SELECT * FROM x WHERE ${text}`).where);

check("the clauses of SELECT", [
  ["SELECT * FROM x", plain],
  ["select * from x;", plain],
  ["\n/* a */ Select -- b\n * fRoM\tx -- end", plain],
  ["SELECT DISTINCT * FROM x", { ...plain, distinct: true }],
  ["SELECT a, b AS total FROM x", {
    ...plain,
    items: [{ name: "a", value: a }, { name: "total", value: b }],
  }],
  ["SELECT * FROM x WHERE a = 1", { ...plain, where: isOne }],
  ["SELECT * FROM x GROUP BY a, b", { ...plain, groupBy: [a, b] }],
  ["SELECT * FROM x GROUP BY a HAVING COUNT(*) > 1", {
    ...plain,
    groupBy: [a],
    having: compare(aggregate("COUNT", null), ">", one),
  }],
  ["SELECT * FROM x ORDER BY a, b DESC, SUM(c) ASC", {
    ...plain,
    orderBy: [
      { by: a, descending: false },
      { by: b, descending: true },
      { by: aggregate("SUM", c), descending: false },
    ],
  }],
  ["SELECT * FROM x LIMIT 1 OFFSET 2", { ...plain, limit: one, offset: two }],
  ["SELECT * FROM x OFFSET ?", { ...plain, offset: parameter(0) }],
  ["SELECT * FROM x LIMIT :most", { ...plain, limit: parameter("most") }],
  ["SELECT * FROM x LIMIT 9007199254740991", { ...plain, limit: number("9007199254740991") }],
]);

const pair = { left: path("x.a"), right: path("y.b") };
check("joins", [
  ["SELECT * FROM x JOIN y ON x.a = y.b", {
    ...plain,
    joins: [{ type: "inner", with: { name: "y" }, on: [pair] }],
  }],
  ["SELECT * FROM x INNER JOIN y ON x.a = y.b", {
    ...plain,
    joins: [{ type: "inner", with: { name: "y" }, on: [pair] }],
  }],
  [
    "SELECT * FROM x LEFT JOIN y ON x.a = y.b AND a = b RIGHT OUTER JOIN z ON a = c CROSS JOIN w WHERE a = 1",
    {
      ...plain,
      joins: [
        { type: "left", with: { name: "y" }, on: [pair, { left: a, right: b }] },
        { type: "right", with: { name: "z" }, on: [{ left: a, right: c }] },
        { type: "cross", with: { name: "w" }, on: [] },
      ],
      where: isOne,
    },
  ],
  ["SELECT * FROM x LEFT OUTER JOIN y ON x.items[*].id = y._id", {
    ...plain,
    joins: [{
      type: "left",
      with: { name: "y" },
      on: [{ left: path("x.items[*].id", "x", "items", "*each", "id"), right: path("y._id") }],
    }],
  }],
]);

check("INSERT, UPDATE, DELETE", [
  [`INSERT INTO x VALUES {"a": 1}`, {
    kind: "insert",
    into: { name: "x" },
    rows: { documents: [{ text: '{"a": 1}' }] },
  }],
  [`insert into x.y values { "a":"}{\\"'--" ,\n"b":{"c":[{}]}}, {} ;`, {
    kind: "insert",
    into: { name: "x.y" },
    rows: { documents: [{ text: `{ "a":"}{\\"'--" ,\n"b":{"c":[{}]}}` }, { text: "{}" }] },
  }],
  ["INSERT INTO x (a, b) VALUES (1, NEWID()), (?, ? + 1)", {
    kind: "insert",
    into: { name: "x" },
    rows: {
      paths: [a, b],
      tuples: [
        { values: [one, call("NEWID")] },
        { values: [parameter(0), calculate(parameter(1), "+", one)] },
      ],
    },
  }],
  ["UPDATE x SET a = 1, b.c[0] = LOWER(a)", {
    kind: "update",
    collection: { name: "x" },
    set: [{ path: a, value: one }, { path: path("b.c[0]", "b", "c", 0), value: call("LOWER", a) }],
    where: null,
  }],
  ["UPDATE x SET a = NULL WHERE b = 2", {
    kind: "update",
    collection: { name: "x" },
    set: [{ path: a, value: value(null) }],
    where: isTwo,
  }],
  ["DELETE FROM x", { kind: "delete", from: { name: "x" }, where: null }],
  ["DELETE FROM x WHERE a = 1", { kind: "delete", from: { name: "x" }, where: isOne }],
]);

check("indexes", [
  ["CREATE INDEX i ON x (a)", {
    kind: "createIndex",
    unique: false,
    name: "i",
    on: { name: "x" },
    paths: [a],
  }],
  ['CREATE UNIQUE INDEX "i-1 x" ON x(a, b)', {
    kind: "createIndex",
    unique: true,
    name: "i-1 x",
    on: { name: "x" },
    paths: [a, b],
  }],
  ["CREATE INDEX if ON x (a)", {
    kind: "createIndex",
    unique: false,
    name: "if",
    on: { name: "x" },
    paths: [a],
  }],
  ["DROP INDEX idx_x_a ON x", { kind: "dropIndex", name: "idx_x_a", on: { name: "x" } }],
]);

check("literals and parameters", [
  ["''", value("")],
  ["'it''s'", value("it's")],
  ["'a\nb -- c /* \\'", value("a\nb -- c /* \\")],
  ["TRUE", value(true)],
  ["false", value(false)],
  ["Null", value(null)],
  ["0", number("0")],
  ["1.50", number("1.50")],
  ["1e400", number("1e400")],
  ["2.0E-7", number("2.0E-7")],
  ["9007199254740993", number("9007199254740993")],
  ["-5", number("-5")],
  ["-0", number("-0")],
  ["?", parameter(0)],
  [":Name_2", parameter("Name_2")],
  [":select", parameter("select")],
], expressionOf);

test("? counts by its place in the text", () => {
  const made = parse("UPDATE x SET a = ? WHERE b IN (?, ?) AND c LIKE ?");
  const names = [...JSON.stringify(made).matchAll(/"kind":"parameter","at":\d+,"name":(\d+)/g)].map((m) =>
    m[1]
  );
  assert.deepEqual(names, ["0", "1", "2", "3"]);
});

check("paths", [
  ["_a9", path("_a9")],
  ["a[0].b[12]", path("a[0].b[12]", "a", 0, "b", 12)],
  ["a[*][*].b", path("a[*][*].b", "a", "*each", "*each", "b")],
  ["a . b [ 0 ]", path("a.b[0]", "a", "b", 0)],
  ["a./* c */b", path("a.b", "a", "b")],
  ["a.select.FROM", path("a.select.FROM", "a", "select", "FROM")],
  ['"a b"."c""d"', path('"a b"."c""d"', "a b", 'c"d')],
  ['"a.b".""', path('"a.b".""', "a.b", "")],
  ['"select"."a--b"', path('"select"."a--b"', "select", "a--b")],
  ["größe.é2", path("größe.é2")],
  ["index.key.value", path("index.key.value")],
  ["count", path("count")],
  ["lower.now", path("lower.now")],
  ["__proto__.toString", path("__proto__.toString")],
], expressionOf);

check("functions", [
  ["NEWID()", call("NEWID")],
  ["newId ( )", call("NEWID")],
  ["NOW()", call("NOW")],
  ["GETDATE()", call("NOW")],
  ["CURRENT_TIMESTAMP()", call("NOW")],
  ["LOWER(a)", call("LOWER", a)],
  ["UPPER(a)", call("UPPER", a)],
  ["LENGTH(a)", call("LENGTH", a)],
  ["TRIM(LOWER(a))", call("TRIM", call("LOWER", a))],
  ["COALESCE(a, b, 1)", call("COALESCE", a, b, one)],
  ["ifnull(a, '')", call("COALESCE", a, value(""))],
  ["COUNT(*)", aggregate("COUNT", null)],
  ["count ( a )", aggregate("COUNT", a)],
  ["SUM(a * b)", aggregate("SUM", calculate(a, "*", b))],
  ["AVG(a) + MIN(b)", calculate(aggregate("AVG", a), "+", aggregate("MIN", b))],
  ["MAX(a[*].b)", aggregate("MAX", path("a[*].b", "a", "*each", "b"))],
  ["COALESCE(SUM(a), 1)", call("COALESCE", aggregate("SUM", a), one)],
], expressionOf);

check("arithmetic: signs bind before * / %, these before + -, from the left", [
  ["a + b * c", calculate(a, "+", calculate(b, "*", c))],
  ["a * b + c", calculate(calculate(a, "*", b), "+", c)],
  ["a - b - c", calculate(calculate(a, "-", b), "-", c)],
  ["a - (b - c)", calculate(a, "-", calculate(b, "-", c))],
  ["(a + b) % c", calculate(calculate(a, "+", b), "%", c)],
  ["a / b * c", calculate(calculate(a, "/", b), "*", c)],
  ["-a * b", calculate(minus(a), "*", b)],
  ["-(a * b)", minus(calculate(a, "*", b))],
  ["- -a", minus(minus(a))],
  ["-(1)", minus(one)],
  ["a -1", calculate(a, "-", one)],
  ["a - -1", calculate(a, "-", number("-1"))],
  ["((a))", a],
], expressionOf);

check("comparisons", [
  ["a = 1", isOne],
  ["a != 1", compare(a, "!=", one)],
  ["a <> 1", compare(a, "!=", one)],
  ["a<1", compare(a, "<", one)],
  ["a<=1", compare(a, "<=", one)],
  ["a>1", compare(a, ">", one)],
  ["a>=-1", compare(a, ">=", number("-1"))],
  ["1 = a", compare(one, "=", a)],
  ["? = a", compare(parameter(0), "=", a)],
  ["LOWER(a) = LOWER(b)", compare(call("LOWER", a), "=", call("LOWER", b))],
  ["a + 1 > b", compare(calculate(a, "+", one), ">", b)],
  ["(a + 1) * 2 > b", compare(calculate(calculate(a, "+", one), "*", two), ">", b)],
  [
    "((a + 1) * 2) - c > (b)",
    compare(calculate(calculate(calculate(a, "+", one), "*", two), "-", c), ">", b),
  ],
  ["a LIKE 'x%'", { kind: "like", left: a, pattern: value("x%") }],
  ["a NOT LIKE ?", not({ kind: "like", left: a, pattern: parameter(0) })],
  ["a IN (1)", { kind: "in", left: a, list: [one] }],
  ["a in (1, 'x', -1, NULL, :p)", {
    kind: "in",
    left: a,
    list: [one, value("x"), number("-1"), value(null), parameter("p")],
  }],
  ["a NOT IN (1, 2)", not({ kind: "in", left: a, list: [one, two] })],
  ["a BETWEEN 1 AND 2", { kind: "between", left: a, low: one, high: two }],
  [
    "a NOT BETWEEN b + 1 AND ?",
    not({ kind: "between", left: a, low: calculate(b, "+", one), high: parameter(0) }),
  ],
  ["a IS NULL", { kind: "isNull", left: a, not: false }],
  ["LOWER(a) is not null", { kind: "isNull", left: call("LOWER", a), not: true }],
], conditionOf);

check("NOT binds before AND, AND before OR; conditions side by side are one list", [
  ["a = 1 AND b = 2", all("and", isOne, isTwo)],
  ["a = 1 OR b = 2 OR c IS NULL", all("or", isOne, isTwo, isNull)],
  ["a = 1 OR b = 2 AND c IS NULL", all("or", isOne, all("and", isTwo, isNull))],
  ["(a = 1 OR b = 2) AND c IS NULL", all("and", all("or", isOne, isTwo), isNull)],
  ["NOT a = 1 AND b = 2", all("and", not(isOne), isTwo)],
  ["NOT (a = 1 AND b = 2)", not(all("and", isOne, isTwo))],
  ["NOT a NOT IN (1)", not(not({ kind: "in", left: a, list: [one] }))],
  ["a BETWEEN 1 AND 2 AND b = 2", all("and", { kind: "between", left: a, low: one, high: two }, isTwo)],
  ["a = 1 AND (b = 2 AND c IS NULL)", all("and", isOne, all("and", isTwo, isNull))],
  ["((a = 1))", isOne],
  ["((a) = 1 OR ((b)) = 2)", all("or", isOne, isTwo)],
], conditionOf);

check("names of items: as written, without the space", [
  ["SUM( price )", "SUM(price)"],
  ["sum(Price)", "sum(Price)"],
  ["COUNT ( * )", "COUNT(*)"],
  ["a . b", "a.b"],
  ["a /* b */ + -- c\n 1", "a+1"],
  ["COALESCE(a, 'x  y')", "COALESCE(a,'x  y')"],
  ['"a b"  . c', '"a b".c'],
  ["a AS total", "total"],
  ['a as "x y"', "x y"],
  ["a AS order", "order"],
], (text) => selectOf(`SELECT ${text} FROM x`).items?.[0]?.name);

check("names of collections", [
  ["a.b.c", "a.b.c"],
  ["a . b", "a.b"],
  ["a.order", "a.order"],
  ['"my-coll"', "my-coll"],
  ['"my-coll".x', "my-coll.x"],
  ['"order"', "order"],
  ["Index", "Index"],
], (text) => selectOf(`SELECT * FROM ${text}`).from.name);

test("positions are where things begin in the text", () => {
  const text = "SELECT a, SUM(b) FROM x JOIN y ON x.a = y.b WHERE (c + 1) * 2 > ? AND NOT d IN (-1)";
  const made = selectOf(text);
  const at = (node: { at: number } | null | undefined, length: number): string =>
    text.slice(node?.at, (node?.at ?? 0) + length);
  assert.equal(at(made.items?.[1], 6), "SUM(b)");
  assert.equal(at(made.from, 1), "x");
  assert.equal(at(made.joins[0]?.with, 1), "y");
  assert.equal(at(made.joins[0]?.on[0]?.right, 3), "y.b");
  const { where } = made;
  assert.ok(where?.kind === "and");
  const [greater, negated] = where.all;
  assert.ok(greater?.kind === "compare" && negated?.kind === "not" && negated.of.kind === "in");
  assert.equal(at(greater, 7), "(c + 1)");
  assert.equal(at(greater.right, 1), "?");
  assert.equal(at(negated, 3), "NOT");
  assert.equal(at(negated.of, 1), "d");
  assert.equal(at(negated.of.list[0], 2), "-1");
});

test("lines and columns count from 1, columns in code points", () => {
  const text = "a😀é\r\nb\n\n😀c";
  const places: readonly [number, number, number][] = [
    [0, 1, 1],
    [1, 1, 2],
    [3, 1, 3],
    [4, 1, 4],
    [6, 2, 1],
    [8, 3, 1],
  ];
  for (const [at, line, column] of places) assert.deepEqual(placeOf(text, at), { line, column }, `${at}`);
  assert.deepEqual(placeOf(text, text.length), { line: 4, column: 3 });
  assert.deepEqual(placeOf("", 0), { line: 1, column: 1 });
});

test("what the printer of tests prints is what was parsed", () => {
  const text =
    `SELECT DISTINCT a.b[0], SUM(a) AS "x" FROM "my-coll" WHERE NOT (a = 'it''s' OR b IN (1, - 2)) LIMIT ?`;
  const made: Statement = parse(text);
  const again = queryText(made);
  assert.equal(
    again,
    `SELECT DISTINCT a . b [ 0 ] , SUM ( a ) AS "x" FROM "my-coll" WHERE NOT ( a = 'it''s' OR b IN ( 1 , - 2 ) ) LIMIT ?`,
  );
  assert.deepEqual(withoutPositions(parse(again)), withoutPositions(made));
});
