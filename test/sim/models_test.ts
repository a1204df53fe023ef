/** The second mind itself: what it makes of documents, and that it sees what an entry does otherwise. */
import assert from "node:assert/strict";
import test from "node:test";
import type { Change, Condition, Edit } from "./models.ts";
import { compared, edited, meets, stored } from "./models.ts";

const document = { tag: "t", kind: "k1", size: 5, note: { by: "x", n: 1 }, sum: "s" };

test("edits: merge patches and operations, with members in their places", () => {
  const cases: readonly (readonly [Edit, unknown])[] = [
    [{ merge: { tag: "u", more: 1, kind: null } }, {
      tag: "u",
      size: 5,
      note: { by: "x", n: 1 },
      sum: "s",
      more: 1,
    }],
    [{ merge: { note: { by: null, z: 2 } } }, { ...document, note: { n: 1, z: 2 } }],
    [{ merge: { tag: { a: { b: null } } } }, { ...document, tag: { a: {} } }],
    [
      {
        operations: [
          { field: "tag", op: "set", value: "u" },
          { field: "size", op: "inc", value: 2 },
          { field: "note.by", op: "unset" },
          { field: "gone.by", op: "unset" },
          { field: "new.by", op: "set", value: "z" },
          { field: "count", op: "dec", value: 3 },
        ],
      },
      { tag: "u", kind: "k1", size: 7, note: { n: 1 }, sum: "s", new: { by: "z" }, count: -3 },
    ],
  ];
  for (const [edit, expected] of cases) {
    assert.equal(JSON.stringify(edited(document, edit)), JSON.stringify(expected));
  }
  const proto = JSON.parse('{"__proto__":{"a":1}}');
  assert.equal(JSON.stringify(edited(proto, { merge: { b: 1 } })), '{"__proto__":{"a":1},"b":1}');
  assert.deepEqual(stored('{"_id":"x","_etag":"y","@metadata":{},"tag":"t"}'), { tag: "t" });
});

test("conditions compare like with like", () => {
  const holds: readonly Condition[] = [
    { field: "size", op: "<", value: 6 },
    { field: "size", op: ">=", value: 5 },
    { field: "kind", op: "=", value: "k1" },
    { field: "kind", op: "!=", value: "k2" },
    { field: "kind", op: "!=", value: 1 },
    { field: "note", op: "exists" },
    { field: "nothing", op: "!exists" },
  ];
  for (const one of holds) assert.ok(meets(document, one), JSON.stringify(one));
  const not: readonly Condition[] = [
    { field: "size", op: "<", value: 5 },
    { field: "size", op: "<", value: "6" },
    { field: "nothing", op: "=", value: 1 },
    { field: "nothing", op: "!=", value: 1 },
    { field: "note", op: "!exists" },
    { field: "kind", op: "!=", value: "k1" },
  ];
  for (const one of not) assert.ok(!meets(document, one), JSON.stringify(one));
});

test("an entry that does other things than it should is seen", () => {
  const made = (id: string, json: Change["json"]) => ({ collection: "c", id, json });
  const expected: readonly Change[] = [made("a", { tag: "t" }), made("b", null), {
    collection: "C",
    id: null,
    json: { tag: "u" },
  }];
  const right = [made("b", null), made("x", { tag: "u" }), made("a", { tag: "t" })];
  assert.equal(compared(right, expected), null);
  assert.match(String(compared(right.slice(1), expected)), /does not change c\/b/);
  assert.match(String(compared([...right, made("z", null)], expected)), /changes c\/z, too/);
  assert.match(String(compared([made("a", { tag: "v" }), ...right.slice(0, 2)], expected)), /of c\/a, not/);
  assert.match(String(compared([made("a", null), ...right.slice(0, 2)], expected)), /nothing of c\/a/);
});
