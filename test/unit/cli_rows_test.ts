/** Rows as tables that fit, and as CSV; pages of documents taken apart. */
import assert from "node:assert/strict";
import test from "node:test";
import { csvWriter } from "../../src/cli/csv_rows.ts";
import { documentTexts } from "../../src/cli/list_page.ts";
import { statementError } from "../../src/cli/query_error.ts";
import { rowTable } from "../../src/cli/rows.ts";
import { cut, widthOf } from "../../src/cli/table.ts";
import { DfdbError } from "../../src/base/errors.ts";

const screen = (columns: number | null) => ({ columns, colours: false });

test("wide characters take two places, combining ones none", () => {
  assert.deepEqual(["abc", "日本", "e\u0301", "😀", "ß"].map(widthOf), [3, 4, 1, 2, 1]);
  assert.equal(cut("日本語", 6), "日本語");
  assert.equal(cut("日本語", 5), "日本…");
  assert.equal(cut("日本語", 4), "日…");
  assert.equal(cut("abcdef", 4), "abc…");
  assert.equal(cut("├ replica", 2), "├…");
  assert.equal(cut("👨‍👩‍👧👨‍👩‍👧x", 4), "👨‍👩‍👧…");
  assert.equal(cut("e\u0301\u0301bc", 2), "e\u0301\u0301…");
  assert.equal(cut("abc", 1), "…");
});

test("a table fits the terminal, its columns stand below each other, control characters are not shown", () => {
  const rows = [
    { n: 7, _id: "a", name: "日本語の名前です", long: { text: "x".repeat(200) } },
    { n: 12, _id: "b", name: "\u001b[31mred", extra: null },
  ];
  const text = rowTable(rows, screen(60)), lines = text.trimEnd().split("\n");
  for (const line of lines) assert.ok(widthOf(line) <= 60, line);
  assert.match(lines[0] as string, /^_id\s+n\s+name\s+long\s+extra$/);
  assert.ok(!text.includes("\u001b"));
  assert.ok(text.includes("日本語の名前です"));
  assert.match(lines[1] as string, /^a {4} 7 {2}日本語の名前です {2}\{"text":"x+…$/);
  assert.match(lines[2] as string, /^b {4}12 {2}\?\[31mred +null$/);
  const wide = rowTable(rows, screen(null));
  assert.ok(wide.includes("x".repeat(200)));
});

test("columns that do not fit are named below the table", () => {
  const row = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`column${i}`, "some text"]));
  const text = rowTable([row], screen(50));
  assert.match(text, /\n25 more: column5, column6/);
  for (const line of text.trimEnd().split("\n")) assert.ok(widthOf(line) <= 50, line);
});

test("CSV: quotes where they are needed, paths, JSON in cells, what has no column is told", () => {
  let text = "";
  const named = csvWriter(["_id", "a.b", "list"], (more) => text += more);
  named.row('{"_id":"1","a":{"b":"x,\\"y\\""},"list":[1,2],"more":1}');
  named.row('{"_id":"2","a":5,"list":"two\\nlines"}');
  assert.deepEqual(named.end(), []);
  assert.equal(text, '_id,a.b,list\n1,"x,""y""","[1,2]"\n2,,"two\nlines"\n');
  text = "";
  const found = csvWriter(null, (more) => text += more);
  found.row('{"b":true,"_id":"1","_etag":"x"}');
  for (let i = 0; i < 1_000; i++) found.row(`{"_id":"${i}","c":1.5}`);
  found.row('{"_id":"last","late":1}');
  assert.deepEqual(found.end(), ["late"]);
  const lines = text.trimEnd().split("\n");
  assert.equal(lines.length, 1_003);
  assert.deepEqual([lines[0], lines[1], lines[2], lines.at(-1)], ["_id,b,c", "1,true,", "0,,1.5", "last,,"]);
});

test("a page is taken apart with its documents to the letter, without etags", () => {
  const documents = [
    '{"_id":"a","_etag":"1.ab-1","n":1.10,"t":"]},{\\"\\\\"}',
    '{"_id":"b\\"","_etag":"1.ab-2"}',
    '{"_id":"c","_etag":"1.ab-3","_etags":[{"x":[]}]}',
  ];
  const page = `{"collection":"c","documents":[${documents.join(",")}],"count":3,"next":"9"}`;
  assert.deepEqual(documentTexts(page), {
    texts: ['{"_id":"a","n":1.10,"t":"]},{\\"\\\\"}', '{"_id":"b\\""}', '{"_id":"c","_etags":[{"x":[]}]}'],
    next: "9",
    conflicts: 0,
  });
  assert.deepEqual(documentTexts('{"documents":[],"count":0}'), { texts: [], next: null, conflicts: 0 });
  assert.equal(documentTexts('{"documents":[],"count":0,"conflicts":3}').conflicts, 3);
  for (const wrong of ["", "[]", "{}", '{"documents":{}}', '{"documents":[],"next":{}}']) {
    assert.throws(() => documentTexts(wrong), { code: "bad_frame" }, wrong);
  }
});

test("a refused statement is shown with a caret below the place, also in a long line", () => {
  const error = (line: number, column: number) =>
    new DfdbError("bad_request", `found FRM (line ${line}, column ${column})`, { details: { line, column } });
  assert.equal(
    statementError(error(2, 5), "SELECT 日本,\n 日本 FRM x", 80),
    "ERROR: found FRM (line 2, column 5) (bad_request)\n   日本 FRM x\n        ^\n",
  );
  const [, line = "", caret = ""] = statementError(
    error(1, 301),
    `${"a".repeat(300)}FRM${"b".repeat(300)}`,
    60,
  )
    .split("\n");
  assert.ok(widthOf(line) <= 60);
  assert.equal(line.slice(caret.indexOf("^"), caret.indexOf("^") + 3), "FRM");
  assert.equal(
    statementError(new DfdbError("query_timeout", "too slow"), "x", null),
    "ERROR: too slow (query_timeout)\n",
  );
});
