import assert from "node:assert/strict";
import { test } from "node:test";
import type { Expression } from "../../src/query/ast.ts";
import { parse } from "../../src/query/parse.ts";
import { queryLimits } from "../../src/query/syntax_error.ts";
import { refused } from "../tool/query_refused.ts";

const where = (text: string): unknown => parse(`SELECT * FROM x WHERE ${text}`);
const items = (text: string): unknown => parse(`SELECT ${text} FROM x`);

function firstItem(text: string): Expression {
  const made = parse(text);
  assert.ok(made.kind === "select" && made.items?.[0] !== undefined);
  return made.items[0].value;
}

/** How deep an expression is. */
function heightOf(node: Expression): number {
  if (node.kind === "arithmetic") return 1 + Math.max(heightOf(node.left), heightOf(node.right));
  return node.kind === "minus" ? 1 + heightOf(node.of) : 1;
}

test("at its limits a statement is still parsed", () => {
  const { nestingMax, listMax, partsMax, stepsMax, joinsMax } = queryLimits;
  const deep: readonly [string, (text: string) => unknown][] = [
    [`${"(".repeat(nestingMax)}a = 1${")".repeat(nestingMax)}`, where],
    [`${"(".repeat(nestingMax)}a${")".repeat(nestingMax)} = 1`, where],
    [`${"NOT ".repeat(nestingMax)}a = 1`, where],
    [`a IN (${Array(listMax).fill("1").join(",")})`, where],
    [Array(listMax).fill("a = 1").join(" OR "), where],
    [Array(listMax).fill("a = 1").join(" AND "), where],
    [Array(partsMax).fill("a").join(", "), items],
    [`a${".b".repeat(stepsMax - 1)}`, items],
    [`a FROM x ${"CROSS JOIN y ".repeat(joinsMax - 1)} CROSS JOIN z --`, (text) => parse(`SELECT ${text}`)],
    [`COALESCE(${Array(queryLimits.functionArgumentsMax).fill("1").join(",")})`, items],
  ];
  for (const [text, of] of deep) assert.ok(of(text), text.slice(0, 60));
  const sum = firstItem(`SELECT ${Array(nestingMax).fill("1").join("+")} FROM x`);
  assert.equal(heightOf(sum), nestingMax);
});

test("limits: what is beyond them is refused where it begins to be", () => {
  const { nestingMax, listMax, partsMax, stepsMax, joinsMax, textCharsMax } = queryLimits;
  const deep = `nests deeper than ${nestingMax} levels of parentheses, operators and calls`;
  const where = "SELECT * FROM x WHERE ", from = where.length, more = nestingMax + 1;
  const list = (of: string, count: number, between = ","): string => Array(count).fill(of).join(between);
  const table: readonly [string, string, number][] = [
    [where + "(".repeat(more), deep, from + more],
    [where + "NOT ".repeat(more), deep, from + 4 * nestingMax + 1],
    [where + "- ".repeat(more), deep, from + 2 * more + 1],
    [where + "a = " + "(".repeat(more), deep, from + 4 + more],
    [where + "LOWER".concat("(LOWER".repeat(more)), deep, from + 6 * nestingMax + 6],
    [where + list("a", more, "+"), deep, from + 2 * nestingMax],
    [where + list("a", more, "*"), deep, from + 2 * nestingMax],
    [
      `${where}a IN (${list("1", listMax + 1)})`,
      `there are more than ${listMax} values after IN`,
      from + 7 + 2 * listMax,
    ],
    [
      where + list("a=1", listMax + 1, " OR "),
      `there are more than ${listMax} conditions side by side under one OR`,
      from + 7 * listMax - 2,
    ],
    [
      `SELECT ${list("a", partsMax + 1)} FROM x`,
      `there are more than ${partsMax} items after SELECT`,
      8 + 2 * partsMax,
    ],
    [
      `SELECT a${".b".repeat(stepsMax + 1)} FROM x`,
      `there are more than ${stepsMax} steps in one path`,
      9 + 2 * stepsMax,
    ],
    [
      `SELECT * FROM x ${"CROSS JOIN y ".repeat(joinsMax + 1)}`,
      `there are more than ${joinsMax} joins`,
      17 + 13 * joinsMax + 11,
    ],
    [`SELECT COALESCE(${list("1", 101)}) FROM x`, "there are more than 100 arguments in one call", 17 + 200],
    ["S".repeat(textCharsMax + 1), `the statement has more than ${textCharsMax} characters`, 1],
  ];
  for (const [text, what, column] of table) assert.equal(refused(text), `${what} (line 1, column ${column})`);
});
