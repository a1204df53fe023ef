import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { arrayElements } from "../../src/document/json_array.ts";

const limits = { bulkDocumentsMax: 1000 };

function elements(text: string): string[] {
  return Array.from(arrayElements(utf8(text), limits), utf8Text);
}

function refused(text: string, message: string): void {
  assert.throws(() => elements(text), { code: "bad_request", message });
}

test("an array is split into the texts of its elements", () => {
  assert.deepEqual(elements("[]"), []);
  assert.deepEqual(elements(" \n[ \t] \r\n"), []);
  assert.deepEqual(elements("[1]"), ["1"]);
  assert.deepEqual(elements('[{"a":1},{"b":[1,{"c":2}]} , [] ,"x" , null,-1.5e+3,true]'), [
    '{"a":1}',
    '{"b":[1,{"c":2}]}',
    "[]",
    '"x"',
    "null",
    "-1.5e+3",
    "true",
  ]);
});

test("brackets, commas and quotes inside strings separate nothing", () => {
  const strings = [
    "]",
    "[,",
    '"',
    "\\",
    '\\"',
    '\\\\"]',
    "é😀",
    '{"',
    "x".repeat(23),
    `${"x".repeat(30)}",[`,
  ];
  for (let i = 18; i < 30; i++) {
    for (const end of ['\\"', "\\\\", '\\\\\\"']) strings.push(`${"y".repeat(i)}${end}]`);
  }
  const values = strings.flatMap((text) => [text, { [text]: [text] }]);
  assert.deepEqual(elements(JSON.stringify(values)).map((text) => JSON.parse(text)), values);
  assert.deepEqual(elements(JSON.stringify(values, null, 2)).map((text) => JSON.parse(text)), values);
});

test("elements are views of the given bytes, found as they are asked for", () => {
  const bytes = utf8('[{"a":1}, {"b":2}, oh no');
  const found = arrayElements(bytes, limits);
  const first = found.next().value as Uint8Array, second = found.next().value as Uint8Array;
  assert.equal(first.buffer, bytes.buffer);
  assert.equal(utf8Text(first), '{"a":1}');
  assert.equal(utf8Text(second), '{"b":2}');
  assert.equal(utf8Text(found.next().value as Uint8Array), "oh");
  assert.throws(() => found.next(), { message: 'expected "," or "]" in the JSON array, at byte 22' });
  assert.equal(found.next().done, true);
});

test("anything but one array is refused with the place", () => {
  for (const text of ["", " ", "{}", '{"a":[]}', "1", '"[]"', "\ufeff[]"]) {
    refused(text, `expected a JSON array, at byte ${text === " " ? 1 : 0}`);
  }
  refused("[", "the JSON array is not closed, at byte 1");
  refused("[1", "the JSON array is not closed, at byte 2");
  refused("[1,", "the JSON array is not closed, at byte 3");
  refused("[1 ,]", "expected an element of the JSON array, at byte 4");
  refused("[,1]", "expected an element of the JSON array, at byte 1");
  refused("[}", "expected an element of the JSON array, at byte 1");
  refused("[1 2]", 'expected "," or "]" in the JSON array, at byte 3');
  refused("[{}{}]", 'expected "," or "]" in the JSON array, at byte 3');
  refused("[1}", 'expected "," or "]" in the JSON array, at byte 2');
  refused('["a"1]', 'expected "," or "]" in the JSON array, at byte 4');
  refused("[1]]", "something follows the JSON array, at byte 3");
  refused("[1] x", "something follows the JSON array, at byte 4");
  refused("[]{}", "something follows the JSON array, at byte 2");
  refused("[[1]", "the JSON array is not closed, at byte 4");
  refused('[{"a":1', "an element of the JSON array is not closed, at byte 1");
  refused('[ "a]', "a string in the JSON array is not closed, at byte 2");
  refused(`["${"a".repeat(40)}\\"]`, "a string in the JSON array is not closed, at byte 1");
  refused('["a\\', "a string in the JSON array is not closed, at byte 1");
});

test("more than bulkDocumentsMax elements are refused when the first too many is met", () => {
  const found = arrayElements(utf8("[1,2,3"), { bulkDocumentsMax: 2 });
  assert.equal(found.next().done, false);
  assert.equal(found.next().done, false);
  assert.throws(() => found.next(), { code: "payload_too_large", message: "an array may have 2 elements" });
  assert.equal(Array.from(arrayElements(utf8("[1,2]"), { bulkDocumentsMax: 2 })).length, 2);
});

test("deep nesting and long runs of escapes take linear time and no stack", () => {
  const deep = `${"[".repeat(500_000)}${"]".repeat(500_000)}`;
  assert.equal(Array.from(arrayElements(utf8(deep), limits))[0]?.length, 999_998);
  assert.throws(() => Array.from(arrayElements(utf8("[".repeat(500_000)), limits)), { code: "bad_request" });
  const escapes = JSON.stringify([`${"\\".repeat(500_000)}${'"'.repeat(200_000)}`]);
  assert.equal(elements(escapes)[0]?.length, 1_400_002);
});
