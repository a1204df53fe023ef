import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import {
  applyOperations,
  applyPatch,
  firstFailed,
  operationsMax,
  readConditions,
  readOperations,
  readPatch,
} from "../../src/document/conditions.ts";
import { fieldSteps } from "../../src/document/field_path.ts";

const failed = (text: string, conditions: string): number => {
  const read = readConditions(utf8(conditions), 10), first = firstFailed(text, read);
  return first === null ? -1 : read.indexOf(first);
};
const operated = (text: string, operations: string): string =>
  applyOperations(text, readOperations(utf8(operations), 10));
const patched = (text: string, body: string): string => applyPatch(text, readPatch(utf8(body), 10));

const refused = (act: () => unknown, message: RegExp): void => {
  assert.throws(act, (error: { code?: string; message?: string }) => {
    assert.equal(error.code, "bad_request", String(error));
    assert.match(error.message ?? "", message);
    return true;
  });
};

test("fields: names, positions, every element", () => {
  assert.deepEqual(fieldSteps("a"), ["a"]);
  assert.deepEqual(fieldSteps("a.b-c.d e.é"), ["a", "b-c", "d e", "é"]);
  assert.deepEqual(fieldSteps("a[0][12].b[*].c"), ["a", 0, 12, "b", "*each", "c"]);
  assert.deepEqual(fieldSteps("__proto__.constructor"), ["__proto__", "constructor"]);
  for (
    const field of [
      "",
      ".",
      "a.",
      ".a",
      "a..b",
      "[0]",
      "[*]",
      "a[",
      "a[]",
      "a[-1]",
      "a[x]",
      "a[0]b",
      "a]",
      "*each",
      "a.*each",
    ]
  ) {
    refused(() => fieldSteps(field), /names no field/);
  }
  refused(() => fieldSteps("a" + ".b".repeat(2000)), /names no field/);
});

test("conditions: every op in every spelling", () => {
  const text = '{"n":5,"s":"b","t":true,"o":{"x":[1,2]},"z":null}';
  const table: [string, string, string, boolean][] = [];
  for (const op of ["==", "=", "eq"]) table.push(["n", op, "5.0", true], ["n", op, "6", false]);
  for (const op of ["!=", "ne"]) {
    table.push(["n", op, "6", true], ["n", op, "5", false], ["x", op, "5", false]);
  }
  for (const op of ["<", "lt"]) table.push(["n", op, "6", true], ["n", op, "5", false]);
  for (const op of ["<=", "lte"]) table.push(["n", op, "5", true], ["n", op, "4", false]);
  for (const op of [">", "gt"]) table.push(["s", op, '"a"', true], ["s", op, '"b"', false]);
  for (const op of [">=", "gte"]) {
    table.push(["s", op, '"b"', true], ["s", op, '"c"', false], ["x", op, "0", false]);
  }
  for (const op of ["notExists", "!exists"]) {
    table.push(["x", op, "1", true], ["n", op, "1", false], ["z", op, "1", false]);
  }
  table.push(["n", "exists", "1", true], ["z", "exists", "1", true], ["o.x[2]", "exists", "1", false]);
  table.push(["n", "=", '"5"', true], ["n", ">", '"4"', true], ["n", ">", '"x"', false], [
    "s",
    "<",
    "9",
    false,
  ]);
  table.push(["t", "=", '"TRUE"', true], ["t", "=", "1", false], ["o", "=", '{"x":[1,2]}', false]);
  table.push(["o.x[1]", "=", "2", true], ["o.x[*]", "=", "2", true], ["o.x[*]", "=", "3", false]);
  table.push(["o.x[*]", "exists", "1", true], ["s[*]", "exists", "1", false], [
    "s[*]",
    "notExists",
    "1",
    true,
  ]);
  for (const [field, op, value, holds] of table) {
    const condition = `[{"field":${JSON.stringify(field)},"op":"${op}","value":${value}}]`;
    assert.equal(failed(text, condition), holds ? -1 : 0, condition);
  }
});

test("conditions: null is asked for by equality, and nothing else compares with it", () => {
  const text = '{"z":null,"n":1,"a":[1,null],"e":[]}';
  const table: [string, string, boolean][] = [
    ["z", "=", true],
    ["x", "=", true],
    ["n", "=", false],
    ["z", "!=", false],
    ["x", "!=", false],
    ["n", "!=", true],
    ["n", "<", false],
    ["z", "<=", false],
    ["a[*]", "=", true],
    ["a[*]", "!=", true],
    ["e[*]", "=", true],
    ["e[*]", "!=", false],
  ];
  for (const [field, op, holds] of table) {
    const condition = `[{"field":"${field}","op":"${op}","value":null}]`;
    assert.equal(failed(text, condition), holds ? -1 : 0, condition);
  }
});

test("conditions: the first one that fails is told", () => {
  const conditions =
    '[{"field":"a","op":"=","value":1},{"field":"b","op":"exists"},{"field":"c","op":"exists"}]';
  assert.equal(failed('{"a":1,"b":2,"c":3}', conditions), -1);
  assert.equal(failed('{"a":1}', conditions), 1);
  assert.equal(failed("{}", "[]"), -1);
  assert.deepEqual(
    firstFailed("{}", readConditions(utf8(' [ {"field" : "a.b","op":"lte","value": [ 1.0 ]}]'), 10)),
    {
      field: "a.b",
      steps: ["a", "b"],
      op: "<=",
      value: "[1.0]",
    },
  );
});

test("operations are done in their order, and touch nothing else", () => {
  const text = '{"n":1.0,"a":[1],"s":"x","k":2.50}';
  assert.equal(
    operated(
      text,
      '[{"field":"n","op":"inc","value":2},{"field":"n","op":"+","value":1},{"field":"n","op":"-","value":0.5}]',
    ),
    '{"n":3.5,"a":[1],"s":"x","k":2.50}',
  );
  assert.equal(
    operated(
      text,
      '[{"field":"n","op":"dec","value":1},{"field":"m.k","op":"dec","value":1},{"field":"a[1]","op":"set","value": {"b" : 1.0}}]',
    ),
    '{"n":0,"a":[1,{"b":1.0}],"s":"x","k":2.50,"m":{"k":-1}}',
  );
  for (const op of ["unset", "del", "delete"]) {
    assert.equal(
      operated(
        text,
        `[{"field":"n","op":"${op}"},{"field":"x","op":"${op}","value":1},{"field":"s","op":"set","value":null}]`,
      ),
      '{"a":[1],"s":null,"k":2.50}',
    );
  }
  assert.equal(operated("{}", '[{"field":"__proto__","op":"set","value":{"x":1}}]'), '{"__proto__":{"x":1}}');
});

test("operations that do not fit are refused", () => {
  const wrong: [string, RegExp][] = [
    ['[{"field":"s","op":"inc","value":1}]', /^s is a string, not a number/],
    ['[{"field":"n","op":"inc","value":"1"}]', /by a number only/],
    ['[{"field":"n","op":"inc","value":9007199254740993}]', /would become/],
    ['[{"field":"n","op":"set"}]', /expected a value/],
    ['[{"field":"n","op":"inc"}]', /expected a value/],
    ['[{"field":"_id","op":"set","value":1}]', /set by the server/],
    ['[{"field":"_etag.x","op":"unset"}]', /set by the server/],
    ['[{"field":"a[*]","op":"set","value":1}]', /not one place/],
    ['[{"field":"n","op":"push","value":1}]', /there is no op "push": one of set inc \+ dec/],
    ['[{"field":"n","op":"toString","value":1}]', /there is no op/],
    ['[{"op":"set","value":1}]', /the member field/],
    ['[{"field":1,"op":"set","value":1}]', /the member field/],
    ['[{"field":"n","value":1}]', /the member op/],
    ['[{"field":"n","op":"set","value":1,"value":2}]', /given twice/],
    ['[{"field":"n","op":"set","value":{"a":1,"a":2}}]', /occurs twice/],
    ['[{"field":"n","op":"set","value":[[[[[[[[[[[]]]]]]]]]]]}]', /nests deeper/],
    ['[{"field":"n","op":"set","value":nul}]', /not valid JSON/],
    ["[1]", /expected a JSON object/],
    ["{}", /expected a JSON array/],
    ["[]", /no operations/],
  ];
  for (const [operations, message] of wrong) {
    refused(() => operated('{"s":"1","n":1,"a":[1]}', operations), message);
  }
  const many = `[${Array(operationsMax + 1).fill('{"field":"n","op":"inc","value":1}').join(",")}]`;
  assert.throws(() => operated("{}", many), { code: "payload_too_large" });
});

test("a patch is a merge patch, or operations alone", () => {
  assert.equal(
    patched('{"a":1,"b":{"c":1.0}}', ' { "a" : null , "b" : { "d" : 2 } } '),
    '{"b":{"c":1.0,"d":2}}',
  );
  assert.equal(patched('{"a":1}', '{"$ops":[{"field":"a","op":"inc","value":1}]}'), '{"a":2}');
  assert.equal(patched('{"a":1}', '{"b":{"$x":1}}'), '{"a":1,"b":{"$x":1}}');
  assert.equal(patched('{"a":1}', "{}"), '{"a":1}');
  for (const body of ['{"$ops":[],"a":1}', '{"$set":{"a":1}}', '{"a":1,"$inc":1}', '{"\\u0024x":1}']) {
    refused(() => patched("{}", body), /a patch is \{"\$ops"/);
  }
  refused(() => patched("{}", '{"_id":"x"}'), /set by the server/);
  refused(() => patched("{}", '{"$ops":[]}'), /no operations/);
  refused(() => patched("{}", "[]"), /expected a JSON object/);
  refused(() => patched("{}", '{"a":12345678901234567890}'), /would become/);
});
