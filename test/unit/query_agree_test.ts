/** The same question through an index, through a scan and through the evaluator: three ways, one answer. */
import assert from "node:assert/strict";
import test from "node:test";
import { prng } from "../../src/base/prng.ts";
import type { Prng } from "../../src/base/prng.ts";
import { valueAt } from "../../src/document/json_find.ts";
import type { Value } from "../../src/document/json_value.ts";
import { valueOf } from "../../src/document/json_value.ts";
import type { Select } from "../../src/query/ast.ts";
import { order, satisfies } from "../../src/query/compare.ts";
import { holds } from "../../src/query/evaluate.ts";
import { parse } from "../../src/query/parse.ts";
import { indexOn, inputsOf, QueryDatabase, steps } from "../tool/query_database.ts";
import { mine } from "../tool/shared_out.ts";

const sets = mine(Array.from({ length: 500 }, (_, set) => set));
const fewer = sets.filter((_, i) => i % 5 === 0);
const questionsPerSet = 20;

/** JSON texts, of every class that the compiler tells apart, and their neighbours. */
const scalars = [
  ...[
    "null",
    "true",
    "false",
    "0",
    "1",
    "1.0",
    "-1",
    "0.5",
    "2",
    "10",
    "1e1",
    "-0.0",
    "9007199254740992",
    "1e300",
  ],
  ...[
    '""',
    '"a"',
    '"A"',
    '"b"',
    '"1"',
    '"1.0"',
    '"10"',
    '"0"',
    '"true"',
    '"TRUE"',
    '"False"',
    '"null"',
    '"[1]"',
    '"{}"',
  ],
  ...[
    '"[]"',
    '"é"',
    '"😀"',
    '"\uffee"',
    '"z"',
    '"a%"',
    '" a "',
    '"2020-01-01"',
    '"9007199254740993"',
    '"1e400"',
  ],
];
const trees = ["[1]", "[]", "{}", '["a"]', '{"b":1}', '[true,"a"]', '"[1]"'];
const indexes = [
  ...[indexOn("a"), indexOn("b"), indexOn("a", "b"), indexOn("o.b"), indexOn("t.[*]"), indexOn("t.[*].b")],
  ...[indexOn("c", "t.[*]"), indexOn("t.[0]")],
];
const paths = ["a", "b", "c", "o.b", "t[*]", "t[*].b", "t[0]", "t[1].b", "o", "nowhere", "a", "b"];

test("a condition holds for the same documents through an index, in a scan and in the evaluator", () => {
  const used = new Map<string, number>();
  for (const set of sets) {
    const random = prng(1000 + set);
    const documents = Array.from({ length: 4 + random.below(12) }, () => randomDocument(random));
    const chosen = indexes.filter(() => random.below(3) > 0);
    using database = new QueryDatabase({ name: "things", documents, indexes: chosen });
    for (let i = 0; i < questionsPerSet; i++) {
      const parameters: Value[] = [];
      const where = randomCondition(random, 2, parameters);
      const plan = askThreeWays(
        database,
        documents,
        `SELECT _id FROM things WHERE ${where}`,
        parameters,
        `set ${set}`,
      );
      const name = plan.replace(/\(.*?\)/, "");
      used.set(name, (used.get(name) ?? 0) + 1);
    }
  }
  const wanted = [
    "COLLECTION_SCAN",
    "INDEX_SCAN",
    "INDEX_SCAN_MULTI",
    "INDEX_RANGE_SCAN",
    "INDEX_SCAN_COMPOSITE",
  ];
  for (const name of wanted) {
    assert.ok((used.get(name) ?? 0) > 20, `${name}: ${used.get(name)} of ${[...used]}`);
  }
});

/** Returns the plan of the first way. */
function askThreeWays(
  database: QueryDatabase,
  documents: readonly string[],
  sql: string,
  values: readonly Value[],
  name: string,
): string {
  const parameters = values.map(asParameter);
  const condition = (parse(sql) as Select).where!;
  const context = {
    ...inputsOf(parameters),
    newId: () => "",
    parameter: (at: number | string) => values[at as number]!,
  };
  const expected = documents.flatMap((body, i) => holds(condition, body, context) ? [String(i + 1)] : []);
  const note = (way: string): string =>
    `${name}: ${sql} ${JSON.stringify(parameters)} ${way}\n${
      documents.map((body, i) => `${i + 1} ${body}`).join("\n")
    }`;
  const answer = database.select(sql, parameters);
  assert.deepEqual(ids(answer.rows), expected, note(`${answer.plan}\n${answer.sql}`));
  assert.deepEqual(ids(database.select(sql, parameters, true).rows), expected, note("scan"));
  assert.deepEqual(database.matches(sql, parameters).sort(byNumber), expected, note("matches"));
  const counted = database.select(sql.replace("_id", "COUNT(*)"), parameters);
  assert.deepEqual(counted.rows, [`{"count":${expected.length}}`], note(`${counted.plan}\n${counted.sql}`));
  return answer.plan;
}

test("ORDER BY gives one order, whether an index has it or it is sorted", () => {
  for (const set of fewer) {
    const random = prng(9000 + set);
    const documents = Array.from({ length: 20 }, () => randomDocument(random));
    using database = new QueryDatabase({ name: "things", documents, indexes });
    for (let i = 0; i < 10; i++) {
      const keys = Array.from({ length: 1 + random.below(2) }, () => ({
        path: pick(random, ["a", "b", "c", "o.b", "t[0]"]),
        descending: random.below(2) === 0,
      }));
      const by = keys.map(({ path, descending }) => path + (descending ? " DESC" : "")).join();
      const where = random.below(2) === 0 ? "" : `WHERE ${randomCondition(random, 0, null)} `;
      const sql = `SELECT _id FROM things ${where}ORDER BY ${by} LIMIT ${5 + random.below(20)} OFFSET ${
        random.below(3)
      }`;
      const found = database.select(sql), scanned = database.select(sql, [], true);
      assert.deepEqual(found.rows, scanned.rows, `${sql}\n${found.sql}`);
      const sorted = found.rows.map((row) => documents[Number(JSON.parse(row)._id) - 1]!);
      sorted.slice(1).forEach((after, at) =>
        assert.ok(inOrder(sorted[at]!, after, keys) <= 0, `${sql}: ${sorted[at]} ${after}`)
      );
    }
  }
});

test("a join finds the same pairs by an index, by keys and by comparing each with each", () => {
  for (const set of fewer) {
    const random = prng(5000 + set);
    const values = (): string[] =>
      Array.from({ length: 12 }, () => random.below(9) === 0 ? pick(random, trees) : pick(random, scalars));
    const left = values(), right = values();
    const equal = (a: string, b: string): boolean => joins(valueOf(a), valueOf(b));
    const pairs = left.flatMap((a, i) => right.flatMap((b, k) => equal(a, b) ? [`${i + 1}:${k + 1}`] : []));
    const alone = left.flatMap((a, i) => right.some((b) => equal(a, b)) ? [] : [`${i + 1}:`]);
    using database = new QueryDatabase(
      { name: "l", documents: left.map((json) => `{"x":${json},"t":[${json},7,${json}]}`) },
      { name: "r", documents: right.map((json) => `{"y":${json}}`), indexes: [indexOn("y")] },
    );
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ["l JOIN r ON l.x = r.y", pairs],
      ["l LEFT JOIN r ON r.y = l.x", [...pairs, ...alone]],
      ["r RIGHT JOIN l ON r.y = l.x", [...pairs, ...alone]],
      ["l JOIN r ON l.t[*] = r.y AND l.x = r.y", pairs],
    ];
    for (const scanning of [false, true]) {
      for (const [from, expected] of cases) {
        const { rows, sql } = database.select(`SELECT l._id AS a, r._id AS b FROM ${from}`, [], scanning);
        const found = rows.map((row) => JSON.parse(row) as { a: string; b?: string }).map(({ a, b }) =>
          `${a}:${b ?? ""}`
        );
        assert.deepEqual(found.sort(), [...expected].sort(), `${from}\n${left}\n${right}\n${sql}`);
      }
    }
  }
});

/** As comparisons do, but that a boolean meets no text in capitals. */
function joins(a: Value, b: Value): boolean {
  if (typeof a === "boolean" && typeof b === "string") return String(a) === b;
  if (typeof b === "boolean" && typeof a === "string") return String(b) === a;
  return satisfies("=", { value: a, literal: false }, { value: b, literal: false });
}

function inOrder(a: string, b: string, keys: readonly { path: string; descending: boolean }[]): number {
  for (const { path, descending } of keys) {
    const [x, y] = [a, b].map((body) => valueOf(valueAt(body, steps(path)))) as [Value, Value];
    const found = order(x, y);
    if (found !== 0) return descending ? -found : found;
  }
  return 0;
}

function ids(rows: readonly string[]): string[] {
  return rows.map((row) => (JSON.parse(row) as { _id: string })._id).sort(byNumber);
}

function byNumber(a: string, b: string): number {
  return Number(a) - Number(b);
}

function pick<Item>(random: Prng, list: readonly Item[]): Item {
  return list[random.below(list.length)]!;
}

function randomDocument(random: Prng): string {
  const value = (): string => random.below(6) === 0 ? pick(random, trees) : pick(random, scalars);
  const element = (): string => random.below(3) === 0 ? `{"b":${value()}}` : value();
  const list = (): string => `[${Array.from({ length: random.below(4) }, element).join(",")}]`;
  const members = ["a", "b", "c"].filter(() => random.below(6) > 0).map((name) => `"${name}":${value()}`);
  if (random.below(4) > 0) members.push(`"t":${random.below(6) === 0 ? value() : list()}`);
  if (random.below(4) > 0) members.push(`"o":${random.below(6) === 0 ? value() : `{"b":${value()}}`}`);
  return `{${members.join(",")}}`;
}

/** `parameters` takes the values of `?`; null: literals alone. */
function randomCondition(random: Prng, depth: number, parameters: Value[] | null): string {
  if (depth > 0 && random.below(2) === 0) {
    const parts = Array.from(
      { length: 2 + random.below(2) },
      () => randomCondition(random, depth - 1, parameters),
    );
    if (random.below(4) === 0) return `NOT (${parts[0]})`;
    return `(${parts.join(random.below(3) === 0 ? " OR " : " AND ")})`;
  }
  const path = pick(random, paths), constant = (): string => randomConstant(random, parameters);
  switch (random.below(12)) {
    case 0:
      return `${path} IN (${Array.from({ length: 1 + random.below(4) }, constant).join()})`;
    case 1:
      return `${path} BETWEEN ${constant()} AND ${constant()}`;
    case 2:
      return `${path} IS ${random.below(2) === 0 ? "NOT " : ""}NULL`;
    case 3:
      return `${path} LIKE ${pick(random, ["'a%'", "'%'", "'_'", "'%A%'", "'[%'", constant()])}`;
    case 4:
      return `${path} = ${constant()} OR ${path} = ${constant()}`;
    case 5:
      return `${randomExpression(random, parameters)} ${randomComparison(random)} ${
        randomExpression(random, parameters)
      }`;
    case 6:
      return `${constant()} ${randomComparison(random)} ${path}`;
    case 7:
      return `(a = ${constant()} AND b = ${constant()})`;
    case 8: {
      const second = pick(random, ["a", "b", path]);
      return `(${path} ${pick(random, [">", ">="])} ${constant()} AND ${second} ${
        pick(random, ["<", "<="])
      } ${constant()})`;
    }
    case 9:
    case 10:
      return `${path} = ${constant()}`;
    default:
      return `${path} ${randomComparison(random)} ${constant()}`;
  }
}

function randomComparison(random: Prng): string {
  return pick(random, ["=", "!=", "<", "<=", ">", ">="]);
}

function randomExpression(random: Prng, parameters: Value[] | null): string {
  const path = pick(random, paths), other = pick(random, paths);
  return pick(random, [
    ...[
      path,
      path,
      other,
      randomConstant(random, parameters),
      `LOWER(${path})`,
      `UPPER(${path})`,
      `TRIM(${path})`,
    ],
    ...[
      `LENGTH(${path})`,
      `COALESCE(${path}, ${other})`,
      `COALESCE(${path}, 'a')`,
      `${path} + 1`,
      `${path} * 0.5`,
    ],
    ...[
      `-${path}`,
      `${path} / ${other}`,
      `LENGTH(${path}) % 3`,
      `LENGTH(${path}) % ${other}`,
      `${path} - ${other}`,
    ],
  ]);
}

function randomConstant(random: Prng, parameters: Value[] | null): string {
  const json = pick(random, scalars);
  if (parameters !== null && random.below(3) === 0 && json !== "-0.0") {
    const value = valueOf(json);
    parameters.push(
      typeof value === "object" && value !== null && "number" in value
        ? { number: String(Number(value.number)) }
        : value,
    );
    return "?";
  }
  return json.startsWith('"') ? `'${JSON.parse(json).replaceAll("'", "''")}'` : json;
}

function asParameter(value: Value): unknown {
  return typeof value === "object" && value !== null && "number" in value ? Number(value.number) : value;
}
