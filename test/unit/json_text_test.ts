import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { keepsValue, scanDocument } from "../../src/document/json_scan.ts";
import { documentBody, nestingMaxLimit } from "../../src/document/json_text.ts";

const limits = { bytesMax: 1000, nestingMax: 100 };
const wide = { bytesMax: 1e7, nestingMax: 100 };

/** The stored text of `text`, and the id sent with it. */
function stored(text: string): [string, string | null] {
  const { body, id } = documentBody(utf8(text), wide);
  return [utf8Text(body), id];
}

function refused(input: string | Uint8Array, code: string, message: RegExp, within = limits): void {
  const bytes = typeof input === "string" ? utf8(input) : input;
  assert.throws(() => documentBody(bytes, within), (thrown) => {
    assert.ok(thrown instanceof DfdbError, String(thrown));
    assert.equal(thrown.code, code);
    assert.match(thrown.message, message);
    return true;
  });
}

test("a canonical document is kept as the very bytes that were sent", () => {
  for (
    const text of [
      "{}",
      '{"a":1,"b":[true,false,null,{"c":"é😀"}],"d":-1.5,"e":1e+21,"":""}',
      '{"__proto__":{"x":1},"constructor":{"prototype":2},"toString":3,"toJSON":4}',
      '{"a":{"_id":1,"_etag":2,"@metadata":3}}',
      '{"lone":"\\ud800","\\udfff":"\\u0000\\u001f\u007f\u2028"}',
    ]
  ) {
    const bytes = utf8(text);
    const { body, id } = documentBody(bytes, limits);
    assert.equal(body, bytes);
    assert.equal(id, null);
  }
});

test("whitespace goes, every other token stays as it was spelled", () => {
  assert.deepEqual(stored(' \t\r\n{ "a" : 1 ,\n"b" : [ 1 , 2 , { } , [ ] ] , "c d" : " x  y " } \n'), [
    '{"a":1,"b":[1,2,{},[]],"c d":" x  y "}',
    null,
  ]);
  assert.equal(stored('{"z":1,"2":2,"1":3}')[0], '{"z":1,"2":2,"1":3}');
  assert.equal(stored('{"\\u0061":"\\/\\u00E9\\uD83D\\uDE00"}')[0], '{"\\u0061":"\\/\\u00E9\\uD83D\\uDE00"}');
  assert.equal(stored('{"a":"\\uD800","b": "\\uDC00\\uD800"}')[0], '{"a":"\\uD800","b":"\\uDC00\\uD800"}');
  assert.equal(stored('{ "__proto__" : 1 , "constructor" : 2 }')[0], '{"__proto__":1,"constructor":2}');
});

test("numbers of the same decimal value are kept to the letter", () => {
  const zeros = "0".repeat(400);
  const numbers = [
    "1.0",
    "1e2",
    "1E+2",
    "1e-2",
    "-0",
    "-0.0",
    "0e5",
    "0.0e999999",
    "0.10",
    "100e-2",
    "5e-324",
  ];
  numbers.push(
    "9007199254740992",
    "90071992547409920",
    "1e23",
    "100000000000000000000000",
    "123456789012345680000",
  );
  numbers.push("1.7976931348623157e308", `1${zeros}e-400`, `0.${zeros}1e401`, "1e0000000002", "0.1e1");
  for (const number of numbers) {
    assert.equal(stored(`{"a":${number}}`)[0], `{"a":${number}}`);
    assert.equal(stored(`{"a": [${number} ]}`)[0], `{"a":[${number}]}`);
  }
});

test("numbers that a double would change are refused, with number and path", () => {
  assert.throws(() => stored('{"a":[0,{"b":12345678901234567890}]}'), {
    code: "bad_request",
    message: "the number 12345678901234567890 would become 12345678901234567000 as a double " +
      "(send it as a string), at byte 13 in $.a[1].b",
  });
  for (
    const number of ["0.1000000000000000055511151231257827", "1e400", "-1e400", "1e-400", "9007199254740993"]
  ) {
    refused(`{"a":${number}}`, "bad_request", /the number .* would become .* in \$\.a$/);
  }
  refused(
    `{"x y":1${"0".repeat(500)}}`,
    "bad_request",
    /the number 1000.*… would become Infinity .* in \$\["x y"\]$/,
  );
});

test("a key given twice is refused wherever it is, also when spelled differently", () => {
  refused('{"a":1,"a":1}', "bad_request", /^the key "a" occurs twice, at byte 7 in \$$/);
  refused(
    '{"é":{"b":[{"k":1,"\\u006b":2}]}}',
    "bad_request",
    /the key "k" occurs twice, at byte 19 in \$\["é"\]\.b\[0\]$/,
  );
  refused('{"__proto__":1,"__proto__":2}', "bad_request", /"__proto__" occurs twice/);
  refused('{"\\ud800":1,"\\uD800":2}', "bad_request", /"\\ud800" occurs twice/);
  refused('{"_id":"a","_id":"a"}', "bad_request", /"_id" occurs twice/);
  refused('{"_etag":1,"\\u005fetag":2}', "bad_request", /"_etag" occurs twice/);
  assert.equal(stored('{"a":{"a":{"a":1}},"b":{"a":1}, "A":1}')[0], '{"a":{"a":{"a":1}},"b":{"a":1},"A":1}');
});

test("the reserved members are taken out of the document itself only", () => {
  assert.deepEqual(stored('{"_id":"x","a":1}'), ['{"a":1}', "x"]);
  assert.deepEqual(stored('{"_id":"x"}'), ["{}", "x"]);
  assert.deepEqual(stored('{"_etag":"1.2-3","_id":"é😀","a":"ü"}'), ['{"a":"ü"}', "é😀"]);
  assert.deepEqual(stored('{"@metadata":{"a":[1]},"_id":"x","_etag":null}'), ["{}", "x"]);
  assert.deepEqual(stored('{"a":1,"_id":"x"}'), ['{"a":1}', "x"]);
  assert.deepEqual(stored('{"_id":"x","a":1,"_etag":2,"b":3,"@metadata":4}'), ['{"a":1,"b":3}', "x"]);
  assert.deepEqual(stored('{ "_id" : "x" , "a" : 1 , "_etag" : [ 2 ] , "b" : { "_id" : 3 } }'), [
    '{"a":1,"b":{"_id":3}}',
    "x",
  ]);
  assert.deepEqual(stored('{"\\u005fid":"\\u0078","a":1}'), ['{"a":1}', "x"]);
  assert.deepEqual(stored('{"_etag":{"k":1,"k":1e400},"a":1.0}'), ['{"a":1.0}', null]);
  assert.deepEqual(stored('{"_ID":1,"_Etag":2,"metadata":3}'), ['{"_ID":1,"_Etag":2,"metadata":3}', null]);
});

test("cutting the reserved members leaves the given bytes alone", () => {
  const text = '{"_id":"x","a":1}', bytes = utf8(`${text}${text}`), half = bytes.subarray(text.length);
  assert.equal(utf8Text(documentBody(half, limits).body), '{"a":1}');
  assert.equal(utf8Text(bytes), `${text}${text}`);
  const buffer = Buffer.from(text); // whose slice() is a view
  assert.equal(utf8Text(documentBody(buffer, limits).body), '{"a":1}');
  assert.equal(buffer.toString(), text);
});

test("an _id must be a string that can be an id", () => {
  for (const id of ["1", "null", "[]", "{}", "true"]) {
    refused(`{"_id":${id}}`, "bad_request", /_id must be a string/);
  }
  refused('{"_id":""}', "bad_request", /empty/);
  refused('{"_id":"\\ud800"}', "bad_request", /lone surrogate/);
  refused('{"_id":"bulk"}', "reserved_id", /bulk/);
});

test("anything but a JSON object is refused", () => {
  refused("[]", "bad_request", /^expected a JSON object, found an array$/);
  refused("null", "bad_request", /found null/);
  refused(' "{}"', "bad_request", /found a string/);
  refused("1", "bad_request", /found a number/);
  refused("true", "bad_request", /found a boolean/);
});

test("text that is not JSON is refused with the place, alike on every runtime", () => {
  const cases: [string, string][] = [
    ["", "not valid JSON: expected a value, found the end of the text, at byte 0 in $"],
    ['{"a":1', 'not valid JSON: expected "," or "}", found the end of the text, at byte 6 in $'],
    ['{"a":1}x', 'not valid JSON: expected the end, found "x", at byte 7 in $'],
    ['{"é":[1,]}', 'not valid JSON: expected a value, found "]", at byte 9 in $["é"][1]'],
    ['{"a":[1 2]}', 'not valid JSON: expected "," or "]", found "2", at byte 8 in $.a[0]'],
    ['{"a":1,}', 'not valid JSON: expected a key in double quotes, found "}", at byte 7 in $'],
    ["{a:1}", 'not valid JSON: expected a key in double quotes, found "a", at byte 1 in $'],
    ['{"a" 1}', 'not valid JSON: expected ":", found "1", at byte 5 in $'],
    ['{"a":01}', 'not valid JSON: expected "," or "}", found "1", at byte 6 in $'],
    ['{"a":1.}', 'not valid JSON: expected a digit, found "}", at byte 7 in $.a'],
    ['{"a":"\\x"}', "not valid JSON: a backslash begins no escape, at byte 6 in $.a"],
    ['{"a":"\\u12"}', "not valid JSON: a backslash begins no escape, at byte 6 in $.a"],
    ['{"a":"\n"}', 'not valid JSON: expected the end of the string, found "\\n", at byte 6 in $.a'],
    ['{"a":😀}', 'not valid JSON: expected a value, found "😀", at byte 5 in $.a'],
    ['{"a":NaN}', 'not valid JSON: expected a value, found "N", at byte 5 in $.a'],
    ["\u00a0{}", 'not valid JSON: expected a value, found "\u00a0", at byte 0 in $'],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => documentBody(utf8(text), limits), { code: "bad_request", message });
  }
  for (
    const text of ["{}{}", "{'a':1}", '{"a":+1}', '{"a":.5}', '{"a":-}', '{"a":1e}', '{"a":tru}', '{"a":"']
  ) {
    refused(text, "bad_request", /at byte \d+ in \$/);
  }
});

test("bytes that are not UTF-8 and a byte order mark are refused", () => {
  for (
    const bad of [[0x80], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82], [0xff]]
  ) {
    const bytes = Uint8Array.from([...utf8('{"é":"'), ...bad, ...utf8('"}')]);
    refused(bytes, "bad_request", /^not valid UTF-8 near byte [789]$/);
  }
  refused("\ufeff{}", "bad_request", /byte order mark/);
});

test("messages echo little of what was sent", () => {
  const long = "k".repeat(300), path = `{"${long}":{"${long}":`;
  for (const text of [`${path}{"${long}":1,"${long}":2}}}`, `${path}${"1".repeat(100)}}}`, `{"${long}`]) {
    assert.throws(() => documentBody(utf8(text), wide), (thrown: Error) => {
      assert.ok((thrown.message.match(/[k1]/g) ?? []).length <= 100, thrown.message);
      assert.ok(thrown.message.length < 240);
      return true;
    });
  }
});

test("a document may have bytesMax bytes and nestingMax levels", () => {
  const text = `{"a":"${"x".repeat(992)}"}`;
  assert.equal(documentBody(utf8(text), limits).body.length, 1000);
  refused(`${text} `, "payload_too_large", /1000 bytes, not 1001/);

  const nested = (levels: number) => `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
  assert.equal(stored(nested(100))[0], nested(100));
  refused(nested(101), "bad_request", /^JSON nests deeper than 100 levels, at byte 104$/);
  for (const piece of ["[", '{"a":', '[{"a":']) {
    refused(`{"a":${piece.repeat(200_000)}`, "bad_request", /nests deeper/, wide);
    refused(piece.repeat(200_000), "bad_request", /nests deeper/, wide);
  }
  const shallow = `{"a":[${Array(500).fill('{"b":"[[[{{{\\"[\\\\"},[]').join(",")}]}`;
  assert.equal(stored(shallow)[0], shallow);
});

test("SQLite reads what is stored, to the deepest level that a setting may allow", () => {
  using db = new DatabaseSync(":memory:");
  const valid = db.prepare("SELECT json_valid(?) AS valid");
  const deep = `{"a":${"[".repeat(nestingMaxLimit - 1)}${"]".repeat(nestingMaxLimit - 1)}}`;
  for (const text of [deep, '{"":1E+5,"\\ud800":[-0.0,"\\u0000\u007f"],"__proto__":{}}', '{ "a" : 1e0 }']) {
    const { body } = documentBody(utf8(text), { bytesMax: 1e6, nestingMax: nestingMaxLimit });
    assert.deepEqual({ ...valid.get(utf8Text(body)) }, { valid: 1 });
  }
});

test("a number with very many digits is compared in linear time", () => {
  const zeros = "0".repeat(2_000_000);
  assert.equal(keepsValue(`1${zeros}e-2000000`), true);
  assert.equal(keepsValue(`0.${zeros}1`), false);
  assert.equal(keepsValue(`1.${zeros}1`), false);
});

test("the scan alone refuses what is not an object", () => {
  for (const text of ["[]", "1", "[{}]", '"a"']) {
    assert.throws(() => scanDocument(text), { code: "bad_request" });
  }
  assert.equal(scanDocument(' { "a" : [ ] } '), '{"a":[]}');
});
