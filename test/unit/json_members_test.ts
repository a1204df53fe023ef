import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { objectMembers } from "../../src/document/json_members.ts";

const members = (text: string): Record<string, string> =>
  Object.fromEntries([...objectMembers(utf8(text))].map(([name, value]) => [name, utf8Text(value)]));

test("members: values to the letter, keys as they are meant", () => {
  assert.deepEqual(members(" { } "), {});
  assert.deepEqual(
    members('\n{"a" : 1.50 , "\\u0062":{"x":"}\\""} ,"é":[ 1 , {"]":2} ], "__proto__":null}\t'),
    Object.fromEntries([["a", "1.50"], ["b", '{"x":"}\\""}'], ["é", '[ 1 , {"]":2} ]'], [
      "__proto__",
      "null",
    ]]),
  );
});

test("members: what is no object, or has a key twice, is refused with its place", () => {
  const wrong = [
    "",
    " ",
    "7",
    "[]",
    '"{}"',
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{"a" 1}',
    "{a:1}",
  ];
  wrong.push(
    '{"a":}',
    '{"a":1}}',
    '{"a":1} x',
    '{"a":1,"\\u0061":2}',
    '{"\\x":1}',
    '{"a":1 "b":2}',
    "{1:2}",
    '{"a":"x}',
  );
  for (const text of wrong) {
    assert.throws(() => members(text), (error: { code?: string; details?: { offset?: number } }) => {
      assert.equal(error.code, "bad_request", text);
      return typeof error.details?.offset === "number" && error.details.offset <= text.length;
    }, text);
  }
});

test("members: whatever a JSON parser takes is separated as it parses it", () => {
  const texts = ['{"a":{"b":[{},[],"\\\\"]},"c":"\\"\\\\\\"","d":-1e5,"e":true}', '{"":"","\\u0000":[[[]]]}'];
  for (const text of texts) {
    const parsed = JSON.parse(text) as Record<string, unknown>;
    const found = Object.entries(members(text)).map(([name, value]) => [name, JSON.parse(value) as unknown]);
    assert.deepEqual(found, Object.entries(parsed));
  }
});
