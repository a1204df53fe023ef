import assert from "node:assert/strict";
import test from "node:test";
import { documentText } from "../../src/document/document_text.ts";
import { documentValue } from "../../src/document/document_value.ts";

const bodies = [
  "{}",
  '{"a":1,"b":[{"c":null}],"d":"é😀\\u0000"}',
  '{"10":1,"2":2,"x":{"10":1}}',
  '{"__proto__":{"polluted":true},"a":1}',
  '{"__proto__":null,"a":1}',
  '{"\\u005f_proto__":[1]}',
  '{"constructor":{"prototype":1},"hasOwnProperty":2,"toString":3}',
  '{"n":1.50,"big":1e300,"nested":{"__proto__":{"x":1}}}',
];

test("a document as a value is what parsing its text would give, member by member and in their order", () => {
  for (const body of bodies) {
    for (const id of ["order-1", 'a"b\\c', "ß/日本", "__proto__"]) {
      const made = documentValue(id, "1.01234567-9", body);
      const parsed = JSON.parse(documentText(id, "1.01234567-9", body)) as object;
      assert.deepEqual(made, parsed, body);
      assert.equal(JSON.stringify(made), JSON.stringify(parsed));
      assert.equal(Object.getPrototypeOf(made), Object.prototype);
      assert.deepEqual(Object.getOwnPropertyNames(made), Object.getOwnPropertyNames(parsed));
    }
  }
  assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});
