import assert from "node:assert/strict";
import { test } from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import type { Statement } from "../../src/query/ast.ts";
import { parse } from "../../src/query/parse.ts";
import { queryLimits } from "../../src/query/syntax_error.ts";
import { RandomQueries } from "../tool/query_random.ts";
import { queryText, withoutPositions } from "../tool/query_text.ts";

function pick<T>(random: Prng, from: readonly T[]): T {
  return from[random.below(from.length)] as T;
}

const spaces = [" ", "  ", "\n", "\t", "\r\n", "/* , */", "/**/", " -- '\n", " -- x\r\n ", "/* - */ "];

function anySpace(random: Prng): string {
  // Two signs that stand together could be another one, so there is always something between tokens.
  return random.below(3) > 0 ? " " : pick(random, spaces);
}

function anyCase(random: Prng, word: string): string {
  const choice = random.below(3);
  if (choice === 0) return word;
  if (choice === 1) return word.toLowerCase();
  return [...word].map((char) => random.below(2) === 0 ? char : char.toLowerCase()).join("");
}

/** The statement, or undefined when it was refused as it should be: `bad_request` with a place inside the text. */
function parsed(text: string): Statement | undefined {
  try {
    return parse(text);
  } catch (error) {
    assert.ok(error instanceof DfdbError, `${String(error)} for ${JSON.stringify(text.slice(0, 500))}`);
    assert.equal(error.code, "bad_request", text);
    const { line, column } = error.details;
    const lines = text.split("\n");
    assert.ok(typeof line === "number" && line >= 1 && line <= lines.length, text);
    const width = [...lines[line - 1] ?? ""].length;
    assert.ok(typeof column === "number" && column >= 1 && column <= width + 1, text);
    assert.ok(
      error.message.includes(`(line ${line}, column ${column})`) && error.message.length < 600,
      error.message,
    );
    return undefined;
  }
}

test("what is printed is parsed again, whatever stands between the tokens", () => {
  const random = prng(0x5e1ec7), queries = new RandomQueries(random);
  for (let i = 0; i < 4_000; i++) {
    const made = queries.statement();
    const text = queryText(made, () => anySpace(random), (word) => anyCase(random, word));
    const end = pick(random, ["", ";", " ; -- end", "\n"]);
    assert.deepEqual(withoutPositions(parse(text + end)), withoutPositions(made), text);
  }
});

const pieces = [
  ..."()[]{},;.*=<>+-/%?!:'\"$@`\\|&~^#",
  ...[
    "--",
    "/*",
    "*/",
    "''",
    '""',
    "<>",
    "==",
    "\n",
    "\u0000",
    "\u00a0",
    "\ufeff",
    "é",
    "😀",
    "\ud800",
    "\udc00",
  ],
  ...[
    "SELECT",
    "FROM",
    "NOT",
    "AND",
    "IN (",
    "BETWEEN",
    "NULL",
    "AS",
    "VALUES",
    "ON",
    "COUNT(",
    "LOWER(",
    "JOIN",
  ],
  ...[
    "1",
    "00",
    "1e",
    "1.",
    ".5",
    ":a",
    "a.b",
    "[*]",
    "[0]",
    "{",
    '{"a":"',
    "__proto__",
    "constructor",
    "toString",
  ],
];

function mutated(random: Prng, text: string, other: string): string {
  const from = random.below(text.length + 1), to = Math.min(text.length, from + random.below(8));
  switch (random.below(7)) {
    case 0:
      return text.slice(0, from);
    case 1:
      return text.slice(0, from) + text.slice(to);
    case 2:
      return text.slice(0, from) + text.slice(from, to).repeat(2 + random.below(4)) + text.slice(to);
    case 3:
      return text.slice(0, from) + other.slice(random.below(other.length));
    case 4:
      return text.slice(0, from) + String.fromCharCode(random.below(0x180)) +
        text.slice(from + random.below(2));
  }
  return `${text.slice(0, from)}${pick(random, ["", " "])}${pick(random, pieces)}${pick(random, ["", " "])}${
    text.slice(to)
  }`;
}

test("a statement that was changed anywhere is parsed or refused with a place, and parses to what it prints", () => {
  const random = prng(0xf022), queries = new RandomQueries(random);
  let refused = 0, taken = 0, other = "SELECT * FROM a";
  for (let i = 0; i < 12_000; i++) {
    const whole = queryText(queries.statement());
    let text = whole;
    for (let changes = 1 + random.below(3); changes > 0; changes--) text = mutated(random, text, other);
    other = whole;
    const made = parsed(text);
    if (made === undefined) {
      refused++;
      continue;
    }
    taken++;
    const again = queryText(made);
    assert.equal(queryText(parse(again)), again, text);
  }
  assert.ok(refused > 1_000 && taken > 500, `${refused} refused, ${taken} parsed`);
});

test("long and deep texts of one pattern are parsed or refused, whatever they end with", () => {
  const starts = [
    "",
    "SELECT * FROM a WHERE ",
    "SELECT ",
    "INSERT INTO a VALUES ",
    "UPDATE a SET x = ",
    "SELECT a",
  ];
  const parts = [
    ..."([{\"'?-.,;*",
    ...[
      "NOT ",
      "- ",
      "a.",
      "a[0]",
      ".a",
      "[*]",
      "LOWER(",
      "COALESCE(1,",
      "1+",
      "a=1 AND ",
      "a=1 OR ",
      "(a=1) AND (",
      "(a+",
    ],
    ...[
      "1,",
      "{}",
      "{},",
      '{"a":',
      "/*",
      "/**/",
      "--",
      "--\n",
      "\n",
      "é",
      "😀",
      "a ",
      "''",
      '""',
      ":a,",
      "1e",
      "NOT (",
      "9",
    ],
  ];
  for (const start of starts) {
    for (const part of parts) {
      for (const count of [99, 100, 101, 5_000, 30_000]) {
        for (const end of ["", " = 1", "a)"]) parsed(start + part.repeat(count) + end);
      }
    }
  }
});

test("a text at the limit of length is parsed, one above it is refused unread", () => {
  const start = "SELECT * FROM a WHERE b = '", fill = queryLimits.textCharsMax - start.length - 1;
  assert.ok(parsed(`${start}${"x".repeat(fill)}'`) !== undefined);
  assert.equal(parsed(`${start}${"x".repeat(fill + 1)}'`), undefined);
  for (const piece of ["(", "a.", "1,", "NOT ", "/**/", "a = 1 OR ", "{"]) {
    parsed(`SELECT * FROM a WHERE ${piece.repeat((queryLimits.textCharsMax - 30) / piece.length)}`);
  }
});
