import assert from "node:assert/strict";
import { test } from "node:test";
import type { Prng } from "../../src/base/prng.ts";
import { prng } from "../../src/base/prng.ts";
import { utf8, utf8Text } from "../../src/base/bytes.ts";
import { editedBody, increment, mergePatch, removeAt, setAt } from "../../src/document/json_edit.ts";
import type { Step } from "../../src/document/json_find.ts";
import { valueAt, valuesAt } from "../../src/document/json_find.ts";
import { documentBody } from "../../src/document/json_text.ts";
import { compactValue } from "../../src/document/json_value.ts";

const refused = (act: () => unknown, message: RegExp): void => {
  assert.throws(act, (error: { code?: string; message?: string }) => {
    assert.equal(error.code, "bad_request", String(error));
    assert.match(error.message ?? "", message);
    return true;
  });
};

test("a value is found by its steps, as it is spelled", () => {
  const text = '{"a":1.50,"b":{"\\u0063":[true,{"d":"x\\"}]"},[]]},"e\\\\":{},"__proto__":{"constructor":7}}';
  assert.equal(valueAt(text, []), text);
  assert.equal(valueAt(text, ["a"]), "1.50");
  assert.equal(valueAt(text, ["b", "c"]), '[true,{"d":"x\\"}]"},[]]');
  assert.equal(valueAt(text, ["b", "c", 1, "d"]), '"x\\"}]"');
  assert.equal(valueAt(text, ["b", "c", 2]), "[]");
  assert.equal(valueAt(text, ["e\\"]), "{}");
  assert.equal(valueAt(text, ["__proto__", "constructor"]), "7");
  const nowhere: Step[][] = [["x"], ["toString"], ["a", "b"], ["a", 0], ["b", 0], ["b", "c", 3], [
    "b",
    "c",
    -1,
  ]];
  nowhere.push(["b", "c", 0.5], ["e\\", "x"], ["b", "c", "length"], ["b", "c", 2, 0], ["b", "c", "*each"]);
  for (const steps of nowhere) assert.equal(valueAt(text, steps), null, String(steps));
});

test("each element of an array, and of arrays in it", () => {
  const text =
    '{"a":[{"b":[1,2]},{"b":[]},{"b":3},{},{"b":[[4],null]}],"c":5,"d":[],"e":[{"f":1},2,{"f":null}]}';
  assert.deepEqual(valuesAt(text, ["a", "*each", "b"]), ["[1,2]", "[]", "3", null, "[[4],null]"]);
  assert.deepEqual(valuesAt(text, ["a", "*each", "b", "*each"]), ["1", "2", "[4]", "null"]);
  assert.deepEqual(valuesAt(text, ["a", "*each", "b", 1]), ["2", null, null, null, "null"]);
  assert.deepEqual(valuesAt(text, ["e", "*each", "f"]), ["1", null, "null"]);
  for (const name of ["c", "d", "x"]) assert.deepEqual(valuesAt(text, [name, "*each"]), []);
  assert.deepEqual(valuesAt(text, ["x", "y", "*each", "z"]), []);
  assert.deepEqual(valuesAt(text, ["c"]), ["5"]);
  assert.deepEqual(valuesAt(text, ["x"]), [null]);
});

test("setting replaces, appends, and makes what is missing on the way", () => {
  const text = '{"a":1.0,"b":{"c":[1,2]}}';
  assert.equal(setAt(text, ["a"], '"x"'), '{"a":"x","b":{"c":[1,2]}}');
  assert.equal(setAt(text, ["b", "c", 1], "null"), '{"a":1.0,"b":{"c":[1,null]}}');
  assert.equal(setAt(text, ["b", "c", 2], "3"), '{"a":1.0,"b":{"c":[1,2,3]}}');
  assert.equal(setAt(text, ["b", "c", 2, 'q"', 0, "r"], "3"), '{"a":1.0,"b":{"c":[1,2,{"q\\"":[{"r":3}]}]}}');
  assert.equal(setAt("{}", ["__proto__", "constructor"], "1"), '{"__proto__":{"constructor":1}}');
  assert.equal(setAt('{"a":{}}', ["a", "_id"], "1"), '{"a":{"_id":1}}');
  assert.equal(setAt('{"a":[]}', ["a", 0], "1"), '{"a":[1]}');
  assert.equal(setAt('{"\\u0061":1}', ["a"], "2"), '{"\\u0061":2}');
});

test("setting is refused where the steps do not fit", () => {
  const text = '{"a":1,"n":null,"b":{"c":[1,2]}}';
  refused(() => setAt(text, ["a", "x"], "1"), /^a is a number, not an object: a\.x cannot be set$/);
  refused(() => setAt(text, ["n", "x"], "1"), /^n is null, not an object/);
  refused(() => setAt(text, ["b", 0], "1"), /^b is an object, not an array/);
  refused(() => setAt(text, ["b", "c", "x"], "1"), /^b\.c is an array, not an object/);
  refused(() => setAt(text, [0], "1"), /^the document is an object, not an array/);
  for (const index of [3, -1, 0.5]) {
    refused(() => setAt(text, ["b", "c", index], "1"), /^b\.c\[.*\] is beyond the end of the array$/);
  }
  refused(() => setAt(text, ["x", 1], "1"), /^x\[1\] is beyond/);
  refused(() => setAt(text, ["b", "c", "*each"], "1"), /^b\.c\[\*\] is not one place/);
  refused(() => setAt(text, [], "1"), /at least one step/);
  for (const name of ["_id", "_etag", "@metadata"]) {
    refused(() => setAt(text, [name], "1"), /is set by the server/);
    refused(() => setAt(text, [name, "x"], "1"), /is set by the server/);
    refused(() => removeAt(text, [name]), /is set by the server/);
    refused(() => increment(text, [name], "1", 1), /is set by the server/);
    refused(() => mergePatch(text, `{"${name}":null}`), /is set by the server/);
  }
  refused(() => mergePatch(text, '{"\\u005fid":1}'), /is set by the server/);
});

test("removing leaves the rest to the letter; what is not there is not removed", () => {
  const text = '{"a":1,"b":[1,2,3],"c":{"d":null}}';
  assert.equal(removeAt(text, ["a"]), '{"b":[1,2,3],"c":{"d":null}}');
  assert.equal(removeAt(text, ["c"]), '{"a":1,"b":[1,2,3]}');
  assert.equal(removeAt(text, ["c", "d"]), '{"a":1,"b":[1,2,3],"c":{}}');
  assert.equal(removeAt(text, ["b", 0]), '{"a":1,"b":[2,3],"c":{"d":null}}');
  assert.equal(removeAt(text, ["b", 1]), '{"a":1,"b":[1,3],"c":{"d":null}}');
  assert.equal(removeAt(text, ["b", 2]), '{"a":1,"b":[1,2],"c":{"d":null}}');
  for (const steps of [["x"], ["a", "x"], ["b", 3], ["b", "x"], ["x", "y"], ["c", 0]]) {
    assert.equal(removeAt(text, steps), text);
  }
  assert.equal(removeAt('{"__proto__":1}', ["__proto__"]), "{}");
});

test("merge patches: the examples of RFC 7386, and what is not touched", () => {
  const cases: [string, string, string][] = [
    ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
    ['{"a":"b"}', '{"a":null}', "{}"],
    ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
    ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
    ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
    ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
    ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
    ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
    ["{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
    ['{"a":[1]}', '{"a":{"b":[null,{"c":null}],"d":null}}', '{"a":{"b":[null,{"c":null}]}}'],
    ['{"z":1.0,"2":2,"1":{"q":1e2}}', '{"1":{"r":0},"0":0,"z":7}', '{"z":7,"2":2,"1":{"q":1e2,"r":0},"0":0}'],
    ['{"\\u0061":1,"b":2}', '{"a":{},"\\u0062":null,"\\u0063":3}', '{"\\u0061":{},"\\u0063":3}'],
    [
      '{"__proto__":{"x":1}}',
      '{"__proto__":{"y":2},"constructor":3}',
      '{"__proto__":{"x":1,"y":2},"constructor":3}',
    ],
    ['{"a":{"_id":1}}', '{"a":{"_id":null}}', '{"a":{}}'],
    ['{"a":1}', "{}", '{"a":1}'],
  ];
  for (const [text, patch, wanted] of cases) assert.equal(mergePatch(text, patch), wanted, patch);
  for (const patch of ["null", "[]", "1", '"x"']) {
    refused(() => mergePatch("{}", patch), /must be a JSON object/);
  }
});

test("numbers are added exactly, or not at all", () => {
  const sums: [string, string, 1 | -1, string][] = [
    ["1", "2", 1, "3"],
    ["1.0", "1", 1, "2"],
    ["5", "7", -1, "-2"],
    ["0.1", "0.2", 1, "0.30000000000000004"],
    ["-0", "0", 1, "0"],
    ["9007199254740991", "1", 1, "9007199254740992"],
    ["9007199254740992", "2", 1, "9007199254740994"],
    ["90071992547409920", "1", -1, "refused"],
    ["9007199254740992", "1", 1, "refused"],
    ["0", "9007199254740993", 1, "refused"],
    ["9007199254740993", "0", 1, "refused"],
    ["9007199254740992", "0.5", 1, "refused"],
    ["1e23", "1E+23", 1, "2e+23"],
    ["1e308", "1e308", 1, "refused"],
    ["1e308", "1", 1, "refused"],
    ["1", "1e400", 1, "refused"],
    ["1.5e0", "5e-1", 1, "2"],
  ];
  for (const [there, number, sign, wanted] of sums) {
    const act = (): string => increment(`{"a":{"n":${there}},"b":1.0}`, ["a", "n"], number, sign);
    if (wanted === "refused") refused(act, /a double does not hold what a\.n would become/);
    else assert.equal(act(), `{"a":{"n":${wanted}},"b":1.0}`, `${there} ${sign} ${number}`);
  }
  assert.equal(increment("{}", ["a", "n"], "1.50", -1), '{"a":{"n":-1.5}}');
  assert.equal(increment('{"a":[1]}', ["a", 1], "2", 1), '{"a":[1,2]}');
  for (const there of ['"1"', "null", "true", "[]", "{}"]) {
    refused(() => increment(`{"n":${there}}`, ["n"], "1", 1), /^n is .*, not a number$/);
  }
  for (const number of ['"1"', "null", "01", "+1", "", "1 ", ".5", "1,2"]) {
    refused(() => increment("{}", ["n"], number, 1), /by a number only/);
  }
});

test("integers up to 2^53 are added as BigInts add them", () => {
  const random = prng(5);
  for (let round = 0; round < 500; round++) {
    const [a, b] = [0, 1].map(() => Math.round((random.float() * 2 - 1) * 2 ** random.below(54))) as [
      number,
      number,
    ];
    const exact = BigInt(a) - BigInt(b);
    if (BigInt(Number(exact)) !== exact) continue;
    assert.equal(increment(`{"n":${a}}`, ["n"], String(b), -1), `{"n":${exact}}`);
  }
});

test("a value alone is checked and made compact as a document is", () => {
  const same = [
    "1.0",
    '"x"',
    "null",
    '{"_id":1,"a":[1,{}]}',
    '{"2":1,"1":2}',
    '"\\u0061"',
    '{"__proto__":1}',
  ];
  for (const text of same) assert.equal(compactValue(text, 10), text);
  assert.equal(compactValue(' { "_id" : [ 1.0 , "a b" ] }\n', 10), '{"_id":[1.0,"a b"]}');
  assert.equal(compactValue(" 1e2 ", 10), "1e2");
  for (
    const text of [
      "",
      " ",
      "1,2",
      '1,"b":2',
      "1}",
      '1},"a":{',
      "{",
      '{"a":1',
      "[1",
      "tru",
      "01",
      '"a',
      '{"":1,"":2}',
    ]
  ) {
    refused(() => compactValue(text, 10), /./);
  }
  refused(
    () => compactValue('{"é":[12345678901234567890]}', 10),
    /would become .*, at byte 7 in \$\["é"\]\[0\]$/,
  );
  refused(() => compactValue(' {"a":1,"\\u0061":2}', 10), /"a" occurs twice, at byte 8 in \$$/);
  refused(() => compactValue("1 x", 10), /, at byte 2 in \$$/);
  refused(() => compactValue('{"a":1', 10), /, at byte [67] in \$$/);
  refused(() => compactValue("[[[]]]", 2), /nests deeper than 2/);
});

test("an edited document is held to the limits", () => {
  const limits = { bytesMax: 12, nestingMax: 2 };
  assert.equal(utf8Text(editedBody('{"é":[123]}', limits)), '{"é":[123]}');
  assert.throws(() => editedBody('{"é":[1234]}', limits), { code: "payload_too_large" });
  refused(() => editedBody('{"a":[[]]}', limits), /nests deeper than 2 levels/);
});

/** A document as its text says it: keys and leaves as they are spelled, members in order. */
type Tree = { leaf: string } | { elements: Tree[] } | { members: Map<string, { key: string; value: Tree }> };

const names = ["a", "b", "0", "1", "é😀", 'q"\\', "__proto__", "constructor", "", "_id"];
const leaves = [
  "null",
  "true",
  "1.0",
  "-0",
  "1e2",
  "9007199254740992",
  '"x"',
  '"\\u0061]}\\""',
  '"😀"',
  '"\\\\"',
  "[]",
  "{}",
];

const pick = <T>(random: Prng, from: readonly T[]): T => from[random.below(from.length)] as T;

function spelled(random: Prng, name: string): string {
  if (name === "" || random.below(4) > 0) return JSON.stringify(name);
  const first = name.charCodeAt(0).toString(16).padStart(4, "0");
  return `"\\u${first}${JSON.stringify(name.slice(1)).slice(1)}`;
}

function tree(random: Prng, depth: number): Tree {
  const kind = depth === 0 ? 0 : random.below(3), size = random.below(4);
  if (kind === 0) return treeOf(pick(random, leaves));
  if (kind === 1) return { elements: Array.from({ length: size }, () => tree(random, depth - 1)) };
  return object(random, depth, size);
}

function object(random: Prng, depth: number, size: number): Tree {
  const members = new Map<string, { key: string; value: Tree }>();
  for (let i = 0; i < size; i++) {
    const name = pick(random, names);
    members.set(name, { key: spelled(random, name), value: tree(random, depth - 1) });
  }
  return { members };
}

const treeOf = (leaf: string): Tree =>
  leaf === "[]" ? { elements: [] } : leaf === "{}" ? { members: new Map() } : { leaf };

function textOf(tree: Tree): string {
  if ("leaf" in tree) return tree.leaf;
  if ("elements" in tree) return `[${tree.elements.map(textOf).join(",")}]`;
  return `{${[...tree.members.values()].map(({ key, value }) => `${key}:${textOf(value)}`).join(",")}}`;
}

function child(tree: Tree, step: Step): Tree | undefined {
  if (typeof step === "number") return "elements" in tree ? tree.elements[step] : undefined;
  return "members" in tree ? tree.members.get(step)?.value : undefined;
}

/** Sets in the tree; false: refused. Changes the tree only when it is not. */
function setIn(tree: Tree, steps: readonly Step[], value: Tree): boolean {
  const [step, ...rest] = steps;
  if (step === undefined) return false;
  if (
    typeof step === "number" ? !("elements" in tree) || step > tree.elements.length : !("members" in tree)
  ) return false;
  const there = child(tree, step);
  let next = value;
  if (rest.length > 0) {
    next = there ?? (typeof rest[0] === "number" ? { elements: [] } : { members: new Map() });
    if (!setIn(next, rest, value)) return false;
  }
  if (typeof step === "number") (tree as { elements: Tree[] }).elements[step] = next;
  else {
    const { members } = tree as { members: Map<string, { key: string; value: Tree }> };
    members.set(step, { key: members.get(step)?.key ?? JSON.stringify(step), value: next });
  }
  return true;
}

function removeIn(tree: Tree, steps: readonly Step[]): void {
  const parent = steps.slice(0, -1).reduce<Tree | undefined>((at, step) => at && child(at, step), tree);
  const step = steps[steps.length - 1];
  if (parent === undefined) return;
  if (typeof step === "number" && "elements" in parent && step < parent.elements.length) {
    parent.elements.splice(step, 1);
  }
  if (typeof step === "string" && "members" in parent) parent.members.delete(step);
}

function mergeIn(target: Tree | undefined, patch: Tree): Tree {
  if (!("members" in patch)) return patch;
  const result = target !== undefined && "members" in target ? target : { members: new Map() };
  for (const [name, { key, value }] of patch.members) {
    if ("leaf" in value && value.leaf === "null") result.members.delete(name);
    else {
      const there = result.members.get(name);
      result.members.set(name, { key: there?.key ?? key, value: mergeIn(there?.value, value) });
    }
  }
  return result;
}

/** Steps that often lead somewhere. */
function someSteps(random: Prng, tree: Tree): Step[] {
  const steps: Step[] = [];
  let at: Tree | undefined = tree;
  do {
    let step: Step = random.below(2) === 0 ? pick(random, names) : random.below(3);
    if (at !== undefined && random.below(5) > 0) {
      if ("members" in at && at.members.size > 0) step = pick(random, [...at.members.keys()]);
      else if ("elements" in at) step = random.below(at.elements.length + 1);
    }
    steps.push(step);
    at = at && child(at, step);
  } while (random.below(3) > 0);
  if (steps[0] === "_id") steps[0] = "a";
  return steps;
}

test("edits of random documents are the edits of their trees, to the letter", () => {
  const random = prng(11);
  let changed = 0;
  for (let round = 0; round < 4000; round++) {
    const model = object(random, 4, random.below(5)), text = textOf(model), steps = someSteps(random, model);
    const value = tree(random, 2), about = `${text} ${JSON.stringify(steps)} ${textOf(value)}`;
    const found = steps.reduce<Tree | undefined>((at, step) => at && child(at, step), model);
    assert.equal(valueAt(text, steps), found === undefined ? null : textOf(found), about);
    const kind = random.below(3);
    if (kind === 0) {
      const may = setIn(model, steps, value);
      if (may) assert.equal(setAt(text, steps, textOf(value)), textOf(model), about);
      else assert.throws(() => setAt(text, steps, textOf(value)), { code: "bad_request" }, about);
    } else if (kind === 1) {
      removeIn(model, steps);
      assert.equal(removeAt(text, steps), textOf(model), about);
    } else {
      const patch = object(random, 3, random.below(4));
      if ("members" in patch) patch.members.delete("_id");
      const patchText = textOf(patch);
      assert.equal(mergePatch(text, patchText), textOf(mergeIn(model, patch)), `${text} ${patchText}`);
    }
    if (textOf(model) !== text) changed++;
  }
  assert.ok(changed > 1500, String(changed));
});

test("what an edit makes of a stored document is a stored document", () => {
  const random = prng(12), limits = { bytesMax: 1e6, nestingMax: 50 };
  for (let round = 0; round < 300; round++) {
    const model = object(random, 3, 4);
    if ("members" in model) model.members.delete("_id");
    const steps = someSteps(random, model), text = textOf(model);
    let edited: string;
    try {
      edited = setAt(removeAt(text, steps), steps, textOf(tree(random, 2)));
    } catch {
      continue;
    }
    assert.equal(utf8Text(documentBody(utf8(edited), limits).body), edited);
  }
});
