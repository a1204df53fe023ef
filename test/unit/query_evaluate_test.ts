import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import type { Value } from "../../src/document/json_value.ts";
import { jsonOf, valueOf } from "../../src/document/json_value.ts";
import type { Step } from "../../src/document/json_find.ts";
import type { Comparison, Condition, Expression, FunctionName, Literal } from "../../src/query/ast.ts";
import { calculated, negated } from "../../src/query/arithmetic.ts";
import { like, order } from "../../src/query/compare.ts";
import type { Context } from "../../src/query/evaluate.ts";
import { evaluate, holds } from "../../src/query/evaluate.ts";

const at = 0;
let ids = 0;
const context: Context = { now: "2024-05-06T07:08:09.000Z", newId: () => `id${++ids}` };

/** A path by its steps; `*` stands for every element. */
const path = (...steps: (string | number)[]): Expression => ({
  kind: "path",
  at,
  steps: steps.map((step): Step => step === "*" ? "*each" : step) as [string],
  text: steps.join("."),
});
const literal = (value: Literal): Expression => ({ kind: "literal", at, value });
/** A number as it is written. */
const number = (text: string): Expression => literal({ number: text });
const call = (name: FunctionName, ...args: Expression[]): Expression => ({ kind: "call", at, name, args });
const compare = (left: Expression, operator: Comparison, right: Expression): Condition => ({
  kind: "compare",
  at,
  operator,
  left,
  right,
});
const not = (of: Condition): Condition => ({ kind: "not", at, of });

/** The JSON text of the value. */
const value = (expression: Expression, document = "{}", within = context): string =>
  jsonOf(evaluate(expression, document, within));

const operators: readonly Comparison[] = ["=", "!=", "<", "<=", ">", ">="];

/** Which of the six comparisons hold. */
const held = (left: Expression, right: Expression, document = "{}"): string =>
  operators.filter((operator) => holds(compare(left, operator, right), document, context)).join(" ");

const equal = "= <= >=", less = "!= < <=", greater = "!= > >=", different = "!=", sameOnly = "=";

test("comparing values of one type", () => {
  const table: [string, string, string][] = [
    ["1", "1.0", equal],
    ["1e2", "100", equal],
    ["-0", "0", equal],
    ["2", "10", less],
    ["-2", "-10", greater],
    ["9007199254740993", "9007199254740992", greater],
    ["-9007199254740993", "-9007199254740992", less],
    ["9007199254740993", "9007199254740993.0", equal],
    ["0.1", "0.1000000000000000055", less],
    ["1e400", "1e401", less],
    ["-1e400", "1e400", less],
    ["1e-400", "0", greater],
    ["-1e-400", "0.0", less],
    ["1e-400", "2e-400", less],
    ["0e999999999999999999", "0", equal],
    ["123456789012345680000", "1.2345678901234568e20", equal],
    ['"a"', '"a"', equal],
    ['"a"', '"B"', greater],
    ['"a"', '"A"', greater],
    ['"a"', '"aa"', less],
    ['""', '"a"', less],
    ['"10"', '"9"', less],
    ['"é"', '"z"', greater],
    ['"\uffff"', '"😀"', less],
    ['"a😀"', '"a\ue000"', greater],
    ["true", "true", equal],
    ["false", "true", less],
  ];
  for (const [left, right, wanted] of table) {
    const document = `{"a":${left},"b":${right}}`,
      back = wanted === less ? greater : wanted === greater ? less : wanted;
    assert.equal(held(path("a"), path("b"), document), wanted, document);
    assert.equal(held(path("b"), path("a"), document), back, document);
    assert.equal(held(literal(valueOf(left) as Literal), path("b"), document), wanted, document);
  }
});

test("comparing across types: a string may be the text of a number or a boolean", () => {
  const document = '{"n":42,"d":1.0,"s":"42","t":"TrUe","b":true,"f":false,"a":[1],"o":{},"x":"x","one":1}';
  const table: [Expression, Expression, string][] = [
    [path("n"), path("s"), sameOnly],
    [path("s"), number("42"), sameOnly],
    [path("s"), number("42.0"), different],
    [path("s"), number("41"), different],
    [path("n"), literal("42"), equal],
    [path("n"), literal("42.0"), equal],
    [path("n"), literal("5"), greater],
    [literal("5"), path("n"), less],
    [path("s"), literal("5"), less],
    [path("n"), literal(" 42"), different],
    [path("n"), literal("042"), different],
    [path("n"), literal("x"), different],
    [path("d"), literal("1"), equal],
    [path("n"), path("x"), different],
    [path("t"), path("b"), sameOnly],
    [path("f"), literal("FALSE"), sameOnly],
    [path("f"), literal("0"), different],
    [path("b"), path("one"), different],
    [path("b"), number("1"), different],
    [path("a"), path("a"), different],
    [path("o"), path("o"), different],
    [path("o"), literal("{}"), different],
    [path("a"), literal("[1]"), different],
    [path("a"), number("1"), different],
    [call("LOWER", literal("42")), path("n"), sameOnly],
    [call("LOWER", literal("5")), path("n"), different],
  ];
  for (const [left, right, wanted] of table) {
    assert.equal(held(left, right, document), wanted, `${JSON.stringify(left)} ${JSON.stringify(right)}`);
  }
});

test("null compares with nothing, and what is not true is true when turned", () => {
  const document = '{"n":null,"a":1}';
  for (const nothing of [path("n"), path("x"), path("a", "b"), literal(null), path("x", "*")]) {
    for (const other of [path("a"), path("n"), literal(null), literal("null"), number("0")]) {
      assert.equal(held(nothing, other, document), "");
      assert.equal(held(other, nothing, document), "");
      assert.ok(holds(not(compare(nothing, "=", other)), document, context));
      assert.ok(holds(not(compare(nothing, "!=", other)), document, context));
    }
    const isNull = (turned: boolean): Condition => ({ kind: "isNull", at, left: nothing, not: turned });
    assert.ok(holds(isNull(false), document, context));
    assert.ok(!holds(isNull(true), document, context));
  }
  assert.ok(holds({ kind: "isNull", at, left: path("a"), not: true }, document, context));
  assert.ok(!holds({ kind: "isNull", at, left: path("a"), not: false }, document, context));
});

test("and, or, in, between", () => {
  const yes = compare(number("1"), "=", number("1")), no = not(yes);
  const all = (...all: Condition[]): Condition => ({ kind: "and", at, all });
  const any = (...all: Condition[]): Condition => ({ kind: "or", at, all });
  for (
    const [condition, wanted] of [[all(yes, no), false], [all(yes, yes), true], [any(no, yes), true], [
      any(no),
      false,
    ]]
  ) {
    assert.equal(holds(condition as Condition, "{}", context), wanted);
  }
  const isIn = (left: Expression, ...list: Expression[]): boolean =>
    holds({ kind: "in", at, left, list }, '{"n":2,"s":"b","t":true}', context);
  assert.ok(isIn(path("n"), number("1"), number("2.0")));
  assert.ok(isIn(path("n"), literal("2")));
  assert.ok(isIn(path("s"), literal(null), literal("b")));
  assert.ok(isIn(path("t"), literal("true")));
  assert.ok(!isIn(path("s"), literal("B"), path("n")));
  assert.ok(!isIn(path("x"), literal(null)));
  const between = (left: Expression, low: Expression, high: Expression): boolean =>
    holds({ kind: "between", at, left, low, high }, '{"n":2,"s":"b"}', context);
  assert.ok(between(path("n"), number("2"), literal("3")));
  assert.ok(between(path("n"), number("1"), number("2")));
  assert.ok(!between(path("n"), number("3"), number("1")));
  assert.ok(between(path("s"), literal("a"), literal("c")));
  assert.ok(!between(path("s"), literal("a"), path("x")));
});

test("[*]: one element makes a condition hold", () => {
  const document = '{"a":[{"v":1,"t":"x"},{"v":5,"t":null},{"t":"YX"}],"b":[5,9],"e":[],"s":3}';
  const v = path("a", "*", "v");
  assert.equal(held(v, number("5"), document), "= != < <= >=");
  assert.equal(held(v, number("0"), document), "!= > >=");
  assert.equal(held(v, path("b", "*"), document), "= != < <= >=");
  assert.equal(held(path("e", "*"), number("1"), document), "");
  assert.equal(held(path("s", "*"), number("3"), document), "");
  const between = (low: string, high: string): Condition => ({
    kind: "between",
    at,
    left: v,
    low: number(low),
    high: number(high),
  });
  assert.ok(holds(between("2", "5"), document, context));
  assert.ok(!holds(between("2", "4"), document, context));
  const isNull = (left: Expression, turned: boolean): boolean =>
    holds({ kind: "isNull", at, left, not: turned }, document, context);
  assert.ok(isNull(v, false) && isNull(v, true));
  assert.ok(!isNull(path("b", "*"), false));
  assert.ok(isNull(path("e", "*"), false) && !isNull(path("e", "*"), true));
  assert.ok(
    holds({ kind: "like", at, left: path("a", "*", "t"), pattern: literal("y_") }, document, context),
  );
  assert.ok(holds({ kind: "in", at, left: v, list: [number("7"), path("b", "*")] }, document, context));
  assert.ok(holds(compare(call("LENGTH", path("a", "*", "t")), "=", number("2")), document, context));
  assert.equal(value(v, document), "[1,5,null]");
  assert.equal(value(path("e", "*"), document), "null");
  assert.equal(value(call("LOWER", path("a", "*", "t")), document), '["x",null,"yx"]');
  const many = `{"a":[${Array(1100).fill("1").join(",")}]}`,
    pairs = compare(path("a", "*"), "=", path("a", "*"));
  assert.throws(() => holds(pairs, many, context), { code: "bad_request" });
});

test("LIKE", () => {
  const table: [string, string, boolean][] = [
    ["", "", true],
    ["", "%%", true],
    ["", "_", false],
    ["abc", "ABC", true],
    ["abc", "ab", false],
    ["abc", "a%", true],
    ["abc", "%b%", true],
    ["abc", "%c_", false],
    ["é", "É", false],
    ["😀x", "_x", true],
    ["😀", "__", false],
    ["a😀b", "%_b", true],
    ["😀", "%\ude00", false],
    ["aab", "%ab", true],
    ["100%", "100%", true],
    ["a.c", "a_c", true],
    ["a\nb", "a%b", true],
    ["a%c", "a\\%c", false],
  ];
  for (const [text, pattern, wanted] of table) {
    assert.equal(like(text, pattern), wanted, `${text} ${pattern}`);
  }
  assert.ok(!like("a".repeat(20_000), "%a".repeat(20) + "%b"));
  const held = (left: Expression, pattern: Expression): boolean =>
    holds({ kind: "like", at, left, pattern }, '{"n":12,"s":"12"}', context);
  assert.ok(held(path("s"), literal("1%")));
  assert.ok(!held(path("n"), literal("1%")));
  assert.ok(!held(path("s"), number("12")));
  assert.ok(!held(path("x"), literal("%")));
});

test("LIKE, LOWER, UPPER, TRIM, LENGTH are those of SQLite", () => {
  const database = new DatabaseSync(":memory:");
  const asked = database.prepare(
    "SELECT ?1 LIKE ?2 AS l, lower(?1) AS low, upper(?1) AS up, trim(?1) AS t, length(?1) AS n",
  );
  const random = prng(3), parts = ["a", "B", "ab", "%", "_", "é", "É", "😀", " ", "\t", "K", "x"];
  const text = (): string =>
    Array.from({ length: random.below(6) }, () => parts[random.below(parts.length)]).join("");
  for (let round = 0; round < 3000; round++) {
    const a = text(), b = text(), row = asked.get(a, b) as Record<string, unknown>;
    const of = (name: FunctionName): string => value(call(name, literal(a)));
    assert.equal(like(a, b), row["l"] === 1, `${a} LIKE ${b}`);
    assert.deepEqual(
      [of("LOWER"), of("UPPER"), of("TRIM"), of("LENGTH")],
      [row["low"], row["up"], row["t"], row["n"]].map((one) => JSON.stringify(one)),
    );
  }
  database.close();
});

test("functions", () => {
  const document = '{"s":" aÉ ","n":1,"z":null,"o":{"a":1.0}}';
  assert.equal(value(call("NOW")), '"2024-05-06T07:08:09.000Z"');
  assert.notEqual(value(call("NEWID")), value(call("NEWID")));
  assert.equal(value(call("COALESCE", path("x"), path("z"), path("o"), path("n")), document), '{"a":1.0}');
  assert.equal(value(call("COALESCE", path("x"), literal(null)), document), "null");
  assert.equal(value(call("COALESCE", literal(false), literal(true)), document), "false");
  for (const name of ["LOWER", "UPPER", "TRIM", "LENGTH"] as const) {
    for (const arg of [path("n"), path("x"), path("o"), literal(true)]) {
      assert.equal(value(call(name, arg), document), "null");
    }
  }
  assert.equal(value(call("LENGTH", call("TRIM", path("s"))), document), "2");
});

test("values keep their text; parameters and aggregates come from the context", () => {
  const document = '{"a":{"n":1.50,"s":"\\u0061\\"","t":[1.0,{}]}}';
  assert.equal(value(path("a", "n"), document), "1.50");
  assert.equal(value(path("a", "s"), document), '"a\\""');
  assert.equal(value(path("a", "t"), document), "[1.0,{}]");
  assert.equal(value(number("9007199254740993")), "9007199254740993");
  const parameter = (name: number | string): Expression => ({ kind: "parameter", at, name });
  const sum: Expression = { kind: "aggregate", at, name: "SUM", of: path("n") };
  const within: Context = {
    ...context,
    parameter: (name) => name === 0 ? "5" : { number: "7" },
    aggregate: ({ name }) => ({ number: name === "SUM" ? "12" : "0" }),
  };
  assert.equal(value(parameter(0), "{}", within), '"5"');
  assert.equal(
    value({ kind: "arithmetic", at, operator: "-", left: sum, right: parameter("p") }, "{}", within),
    "5",
  );
  assert.ok(holds(compare(path("n"), ">", parameter(0)), '{"n":6}', within));
  assert.throws(() => value(parameter(0)), { code: "bad_request", message: /parameter 1/ });
  assert.throws(() => value(parameter("p")), { code: "bad_request", message: /parameter :p/ });
  assert.throws(() => value(sum), { code: "bad_request", message: /SUM/ });
});

test("arithmetic", () => {
  const table: [string, "+" | "-" | "*" | "/" | "%", string, string][] = [
    ["1", "+", "2", "3"],
    ["0.1", "+", "0.2", "0.30000000000000004"],
    ["7", "/", "2", "3.5"],
    ["6", "/", "2", "3"],
    ["1.0", "*", "2.50", "2.5"],
    ["7", "%", "3", "1"],
    ["-7", "%", "3", "-1"],
    ["7.5", "%", "2", "1.5"],
    ["1", "/", "0", "null"],
    ["0", "/", "0.0", "null"],
    ["1", "%", "0", "null"],
    ["0", "*", "-1", "0"],
    ["1e308", "*", "10", "null"],
    ["1e400", "-", "1", "null"],
    ["9007199254740992", "+", "1", "9007199254740993"],
    ["9007199254740993", "-", "1", "9007199254740992"],
    ["3037000500", "*", "3037000499", "9223372033963249500"],
    ["9223372036854775807", "+", "1", "9223372036854776000"],
    ["-9223372036854775808", "/", "-1", "9223372036854776000"],
    ["9007199254740994", "/", "2", "4503599627370497"],
    ["9007199254740995", "/", "2", "4503599627370498"],
    ["9007199254740995", "%", "2", "1"],
    ["9007199254740993", "%", "0", "null"],
  ];
  for (const [a, operator, b, wanted] of table) {
    assert.equal(jsonOf(calculated(operator, { number: a }, { number: b })), wanted, `${a} ${operator} ${b}`);
  }
  for (const other of [null, "1", true, { json: "[1]" }]) {
    assert.equal(calculated("+", other, { number: "1" }), null);
    assert.equal(calculated("*", { number: "1" }, other), null);
    assert.equal(negated(other), null);
  }
  for (
    const [a, wanted] of [["1.50", "-1.50"], ["-1e5", "1e5"], ["0", "0"], ["0.0e7", "0"], [
      "1e-400",
      "-1e-400",
    ]]
  ) {
    assert.deepEqual(negated({ number: a as string }), { number: wanted });
  }
  const expression: Expression = {
    kind: "arithmetic",
    at,
    operator: "*",
    left: path("a"),
    right: { kind: "minus", at, of: path("b") },
  };
  assert.equal(value(expression, '{"a":3,"b":2}'), "-6");
  assert.equal(value(expression, '{"a":3}'), "null");
});

const samples = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "1",
  "1.0",
  "-1",
  "0.5",
  "2",
  "1e3",
  "9007199254740993",
  "9007199254740992",
];
samples.push(
  "-9007199254740993",
  "1e400",
  "-1e400",
  "1e401",
  '""',
  '"a"',
  '"A"',
  '"1"',
  '"true"',
  '"[1]"',
  "[1]",
  "[]",
  "{}",
);
samples.push(
  '{"a":1}',
  '"é"',
  '"\uffff"',
  '"😀"',
  '"\ue000"',
  '"a😀"',
  '"aa"',
  '"\\ud800"',
  "1e-400",
  "0.1",
  "0.10000000000000001",
);

const sample = (random: Prng): Value => {
  if (random.below(3) > 0) return valueOf(samples[random.below(samples.length)] as string);
  const digits = String(random.below(30) / 10 ** random.below(3)) + (random.below(3) === 0 ? "e1" : "");
  return { number: (random.below(2) === 0 ? "-" : "") + digits };
};

test("the order of values is total", () => {
  const random = prng(8);
  for (let round = 0; round < 20_000; round++) {
    const [a, b, c] = [sample(random), sample(random), sample(random)] as [Value, Value, Value];
    const ab = Math.sign(order(a, b)), bc = Math.sign(order(b, c)), ac = Math.sign(order(a, c));
    const about = [a, b, c].map(jsonOf).join(" ");
    assert.equal(order(a, a), 0, about);
    assert.equal(ab + Math.sign(order(b, a)), 0, about);
    if (ab <= 0 && bc <= 0) assert.ok(ac <= 0 && (ac === 0) === (ab === 0 && bc === 0), about);
  }
});

test("the order of values: null, booleans among numbers, texts; that of SQLite", () => {
  const ordered = [
    "null",
    "-1e400",
    "-1",
    "false",
    "0.5",
    "true",
    "2",
    "9007199254740992",
    "9007199254740993",
    "1e400",
  ];
  ordered.push('""', '"A"', "[]", '"[]a"', '"a"', "{}", '"é"', '"\uffff"', '"😀"');
  ordered.forEach((a, i) =>
    ordered.forEach((b, j) =>
      assert.equal(Math.sign(order(valueOf(a), valueOf(b))), Math.sign(i - j), `${a} ${b}`)
    )
  );
  const database = new DatabaseSync(":memory:");
  const storable = samples.filter((text) => !/1e-?40|0000001|\\ud800|740993/.test(text));
  const keyed = database.prepare("SELECT key FROM json_each(?1) ORDER BY ?1 ->> ('$[' || key || ']'), key");
  const random = prng(9);
  for (let round = 0; round < 100; round++) {
    const texts = Array.from({ length: 30 }, () => storable[random.below(storable.length)] as string);
    const wanted = keyed.all(`[${texts.join(",")}]`).map((row) => Number(row["key"]));
    const sorted = texts.map((text, key) => ({ key, value: valueOf(text) }));
    sorted.sort((a, b) => order(a.value, b.value) || a.key - b.key);
    assert.deepEqual(sorted.map(({ key }) => key), wanted, texts.join(","));
  }
  database.close();
});
