/** Where statements end, and how parameters and places are read. */
import assert from "node:assert/strict";
import test from "node:test";
import { parseRanges, rangesText } from "../../src/cli/places.ts";
import { parametersOf } from "../../src/cli/query.ts";
import { isBlank, splitStatements } from "../../src/cli/statements.ts";

test("statements end at a ; outside strings, names, comments and JSON", () => {
  for (
    const [text, statements, rest] of [
      ["SELECT 1; SELECT 2", ["SELECT 1"], " SELECT 2"],
      ["a;;b ; ", ["a", "b "], " "],
      ["x = 'a;''b;'; y", ["x = 'a;''b;'"], " y"],
      ['"n;""m" ; y', ['"n;""m" '], " y"],
      ["a -- c; d\n;b", ["a -- c; d\n"], "b"],
      ["a /* ; */; b", ["a /* ; */"], " b"],
      ['INSERT {"a;}": "x\\"; y"}; b', ['INSERT {"a;}": "x\\"; y"}'], " b"],
      ["x = 'open; y", [], "x = 'open; y"],
      ['{"a": ";"', [], '{"a": ";"'],
    ] as const
  ) {
    assert.deepEqual(splitStatements(text), { statements: [...statements], rest }, text);
  }
});

test("what is white space and comments only is no statement", () => {
  for (const text of ["", " \n\t", "-- all; of it", "/* a */ -- b\n"]) assert.ok(isBlank(text), text);
  for (const text of ["x", "/* open", "'--'"]) assert.ok(!isBlank(text), text);
});

test("parameters: JSON keeps its digits, other text is text", () => {
  const param = ["a=1.10", "b=text", 'c="5"', "d=[1,null]", "e=01", "f="];
  assert.equal(parametersOf({ param }), '{"a":1.10,"b":"text","c":"5","d":[1,null],"e":"01","f":""}');
  assert.equal(parametersOf({ params: "[1, 2]" }), "[1, 2]");
  assert.equal(parametersOf({}), null);
  for (
    const flags of [{ params: "5" }, { params: "{" }, { param: ["x"] }, { param: ["1a=2"] }, {
      param: ["a=1", "a=2"],
    }, { params: "[]", param: ["a=1"] }]
  ) {
    assert.throws(() => parametersOf(flags), { code: "bad_request" }, JSON.stringify(flags));
  }
});

test("places are read and written as ranges", () => {
  assert.deepEqual(parseRanges("9, 3-7,12-"), [[3, 7], [9, 9], [12, Infinity]]);
  assert.equal(rangesText(parseRanges("9,3-7,12-")), "3-7,9,12-");
  for (const text of ["", "0", "7-3", "a", "1-2-3", "-4", "1,,2"]) {
    assert.throws(() => parseRanges(text), { code: "bad_request" }, text);
  }
});
