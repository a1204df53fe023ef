/** The document that says how a database settles conflicts. */
import assert from "node:assert/strict";
import test from "node:test";
import { readConflictConfig } from "../../src/multimaster/conflict_config.ts";

const one = "1".repeat(32), two = "2".repeat(32);

test("what it may say", () => {
  const read = (value: unknown) => {
    const { policy, problem } = readConflictConfig(JSON.stringify(value));
    assert.equal(problem, null);
    return policy;
  };
  assert.deepEqual(readConflictConfig(null), { policy: { kind: "manual" }, problem: null });
  assert.deepEqual(read({ policy: "manual" }), { kind: "manual" });
  assert.deepEqual(read({ policy: "latest", databases: null }), { kind: "latest" });
  assert.deepEqual(read({ policy: "prefer", databases: [two, one] }), {
    kind: "prefer",
    databases: [two, one],
  });
  assert.deepEqual(readConflictConfig('{"policy": "latest", } // by hand').policy, { kind: "latest" });
});

test("what it may not say leaves conflicts to people, and says why", () => {
  const wrong: readonly (readonly [text: string, why: RegExp])[] = [
    ["{", /it is not JSON/],
    ["[]", /not a JSON object/],
    ["null", /not a JSON object/],
    ["{}", /policy/],
    ['{"policy":"newest"}', /"manual", "latest" or "prefer"/],
    ['{"policy":"prefer"}', /wants a list "databases"/],
    ['{"policy":"prefer","databases":[]}', /wants a list "databases"/],
    [`{"policy":"prefer","databases":["${one}","other"]}`, /32 hex digits/],
    ['{"policy":"latest","polcy":1}', /polcy is not known/],
  ];
  for (const [text, why] of wrong) {
    const { policy, problem } = readConflictConfig(text);
    assert.deepEqual(policy, { kind: "manual" }, text);
    assert.match(problem ?? "", why, text);
    assert.match(problem ?? "", /^Conflicts are left to people: /);
  }
});
