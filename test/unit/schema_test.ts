import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import { isDatetime } from "../../src/document/schema_check.ts";
import { readSchema, schemaRulesMax } from "../../src/document/schema_definition.ts";
import { checkedMembers, compiledSchema, keptSchema } from "../../src/engine/rules_schema.ts";

const where = { id: documentIdOf("a"), operation: 0 };

/** The violation as `rule field`, "" where there is none. */
function violation(schema: object, document: object | string): string {
  const compiled = compiledSchema(readSchema(JSON.stringify(schema)));
  const body = utf8(typeof document === "string" ? document : JSON.stringify(document));
  try {
    checkedMembers(compiled, "orders", body, where);
    return "";
  } catch (error) {
    assert.ok(error instanceof DfdbError && error.code === "schema_violation", String(error));
    assert.equal(error.details["id"], "a");
    return `${error.details["rule"]} ${error.details["field"]}`;
  }
}

function message(schema: object, document: object): string {
  try {
    checkedMembers(
      compiledSchema(readSchema(JSON.stringify(schema))),
      "orders",
      utf8(JSON.stringify(document)),
      where,
    );
  } catch (error) {
    return (error as Error).message;
  }
  return assert.fail("no violation");
}

test("schema: required fields are there and not null", () => {
  const schema = { required: ["name", "address.city", "items[*].sku"] };
  const whole = { name: "a", address: { city: "b" }, items: [{ sku: 1 }, { sku: 2 }] };
  assert.equal(violation(schema, whole), "");
  assert.equal(violation(schema, { ...whole, name: undefined }), "required name");
  assert.equal(violation(schema, { ...whole, name: null }), "required name");
  assert.equal(violation(schema, { ...whole, address: {} }), "required address.city");
  assert.equal(violation(schema, { ...whole, address: "b" }), "required address.city");
  assert.equal(violation(schema, { ...whole, items: [{ sku: 1 }, {}] }), "required items[*].sku");
  assert.equal(violation(schema, { ...whole, items: [{ sku: null }] }), "required items[*].sku");
  assert.equal(violation(schema, { ...whole, items: [] }), "", "of the elements that there are");
  assert.equal(violation({ required: ["items[*]"] }, { items: [] }), "required items[*]");
  assert.equal(
    message(schema, { name: null }),
    'The schema of "orders" is violated: name is required, and it is null',
  );
});

test("schema: types, of what is there and not null", () => {
  const values: Record<string, readonly string[]> = {
    string: ['""', '"2026-01-01"'],
    datetime: ['"2026-01-01"', '"2024-02-29T23:59:59.123Z"', '"2026-01-01T00:00+02:00"'],
    int: ["0", "-3", "1.0", "12e2"],
    number: ["0", "1.5", "-1e-3"],
    bool: ["true", "false"],
    object: ["{}", '{"a":[1]}'],
    array: ["[]", "[{}]"],
  };
  const also: Record<string, readonly string[]> = { datetime: ["string"], int: ["number"] };
  for (const [of, texts] of Object.entries(values)) {
    for (const type of Object.keys(values)) {
      for (const text of texts) {
        const fits = type === of || also[of]?.includes(type) === true ||
          (type === "datetime" && text === '"2026-01-01"') || (type === "int" && text === "0");
        assert.equal(
          violation({ types: { a: type } }, `{"a":${text}}`),
          fits ? "" : "type a",
          `${text} as ${type}`,
        );
      }
    }
  }
  for (const type of Object.keys(values)) {
    assert.equal(violation({ types: { a: type, "b.c": type } }, '{"a":null}'), "");
  }
  const each = { types: { "tags[*]": "string" } };
  assert.equal(violation(each, { tags: ["a", null] }), "");
  assert.equal(violation(each, { tags: ["a", 1] }), "type tags[*]");
  assert.equal(violation({ types: { constructor: "int" } }, '{"constructor":"x"}'), "type constructor");
  assert.equal(violation({ types: { constructor: "int" } }, "{}"), "");
  assert.match(
    message({ types: { a: "int" } }, { a: 1.5 }),
    /a must be a whole number, not the number 1\.5$/,
  );
  assert.match(message({ types: { a: "datetime" } }, { a: "soon" }), /not the string "soon"$/);
  assert.match(message({ types: { a: "string" } }, { a: { b: 1 } }), /a must be a string, not an object$/);
});

test("schema: dates and times are those of the calendar", () => {
  for (
    const no of ["", "2026-02-29", "2026-13-01", "2026-00-01", "2026-01-32", "2026-01-01T24:00", "26-1-1"]
  ) {
    assert.equal(isDatetime(no), false, no);
  }
  for (
    const no of ["2026-01-01T12", "2026-01-01T12:60", "2026-01-01T12:00:60", "2026-01-01Z", "1700000000000"]
  ) {
    assert.equal(isDatetime(no), false, no);
  }
  for (const yes of ["2000-02-29", "2026-12-31 23:59", "2026-01-01T12:00:00.123456789-0530"]) {
    assert.equal(isDatetime(yes), true, yes);
  }
  assert.equal(isDatetime("1900-02-29"), false);
});

test("schema: a check may not be false; what depends on null is not", () => {
  const schema = (check: string) => ({ checks: [check] });
  assert.equal(violation(schema("price >= 0"), { price: 0 }), "");
  assert.equal(violation(schema("price >= 0"), { price: -1 }), "check price");
  assert.equal(violation(schema("price >= 0"), {}), "");
  assert.equal(violation(schema("price >= 0"), { price: null }), "");
  assert.equal(violation(schema("NOT price < 0"), {}), "");
  assert.equal(violation(schema("price > 0 AND count > 0"), { price: 1 }), "");
  assert.equal(violation(schema("price > 0 AND count > 0"), { price: 0 }), "check price");
  assert.equal(violation(schema("price > 0 OR count > 0"), { price: 0 }), "");
  assert.equal(violation(schema("price > 0 OR count > 0"), { price: 0, count: 0 }), "check price");
  assert.equal(violation(schema("low <= high"), { low: 2, high: 1 }), "check low");
  assert.equal(violation(schema("name IS NOT NULL"), {}), "check name");
  assert.equal(violation(schema("status IN ('a', 'b')"), { status: "c" }), "check status");
  assert.equal(violation(schema("status IN ('a', 'b')"), {}), "");
  assert.equal(violation(schema("code LIKE 'X%' AND LENGTH(code) = 3"), { code: "X12" }), "");
  assert.equal(violation(schema("code LIKE 'X%' AND LENGTH(code) = 3"), { code: "X1" }), "check code");
  assert.equal(violation(schema("n BETWEEN 1 AND 3"), { n: 4 }), "check n");
  assert.equal(
    violation(schema("items[*].n > 0"), { items: [{ n: 0 }, { n: 1 }] }),
    "",
    "one element is enough",
  );
  assert.equal(violation(schema("items[*].n > 0"), { items: [{ n: 0 }] }), "check items[*].n");
  assert.equal(violation(schema("items[*].n > 0"), { items: [] }), "");
  assert.equal(
    message(schema("low <= high"), { low: 2, high: 1 }),
    'The schema of "orders" is violated: the check low <= high does not hold: low is the number 2, high is the number 1',
  );
});

test("schema: what is no schema is refused, and why", () => {
  const wrong = (schema: unknown, pattern: RegExp): void =>
    assert.throws(() => compiledSchema(readSchema(JSON.stringify(schema))), (error) => {
      assert.ok(error instanceof DfdbError && error.code === "bad_request", String(error));
      assert.match(error.message, pattern);
      return true;
    });
  wrong([], /object/);
  wrong({ require: [] }, /^require: /);
  wrong({ required: "a" }, /^required: /);
  wrong({ required: [""] }, /^required\.0: /);
  wrong({ required: ["a..b"] }, /^required\.0: .*names no field/);
  wrong({ required: ["_id"] }, /^required\.0: _id is not the document's own/);
  wrong({ types: { a: "text" } }, /^types\.a: must be one of string, int, /);
  wrong({ types: { a: ["string"] } }, /^types\.a: /);
  wrong({ types: ["a"] }, /^types: /);
  wrong({ checks: ["price >"] }, /^checks\.0: .*column/);
  wrong({ checks: ["price > 0 ORDER BY price"] }, /^checks\.0: /);
  wrong({ checks: ["price > ?"] }, /parameters/);
  wrong({ checks: ["COUNT(*) > 1"] }, /COUNT cannot stand/);
  wrong({ checks: ["due > NOW()"] }, /NOW\(\) is something else each time/);
  wrong({ checks: ["_etag = 'x'"] }, /_etag is not the document's own/);
  wrong({ checks: ["1 = 1"] }, /names no field/);
  wrong({ checks: ["  "] }, /empty/);
  wrong({ refs: [{ field: "a" }] }, /^refs\.0\.collection: /);
  wrong({ refs: [{ field: "a", collection: "_keys" }] }, /^refs\.0\.collection: .*reserved/);
  wrong({ refs: [{ field: "a", collection: "b", targetField: "c" }] }, /^refs\.0\.targetField: must be _id/);
  wrong({ refs: [{ field: "a", collection: "b", onDelete: "drop" }] }, /^refs\.0\.onDelete: /);
  wrong({ refs: [{ field: "a[*]", collection: "b", onDelete: "setNull" }] }, /without \[\*\]/);
  wrong(
    { required: ["a"], refs: [{ field: "a", collection: "b", onDelete: "setNull" }] },
    /would break what "required" says/,
  );
  wrong({ required: Array.from({ length: schemaRulesMax + 1 }, (_, i) => `f${i}`) }, /there may be 200/);
  assert.throws(() => readSchema('{"types":{"a":"int","a":"string"}}'), { code: "bad_request" });
  assert.throws(() => readSchema("{"), { code: "bad_request" });
});

test("schema: everything in its place, whatever was left out", () => {
  assert.deepEqual(readSchema("{}"), { required: [], types: {}, checks: [], refs: [] });
  assert.deepEqual(readSchema('{"refs":[{"field":"customer","collection":"customers"}]}').refs, [
    { field: "customer", collection: "customers", targetField: "_id", onDelete: "restrict" },
  ]);
});

test("schema: one that cannot be read lets nothing pass, and says so", () => {
  const schema = keptSchema({ collection: "orders", text: '{"newer":1}' });
  assert.throws(() => checkedMembers(schema, "orders", utf8("{}"), where), { code: "conflict" });
});

test("schema: what would take too long to look through is refused", () => {
  const checks = Array.from({ length: 100 }, (_, i) => `LENGTH(text) > ${i}`);
  const schema = compiledSchema(readSchema(JSON.stringify({ checks })));
  const body = (chars: number) =>
    utf8(JSON.stringify({ big: "x".repeat(9_000_000), text: "x".repeat(chars) }));
  assert.throws(() => checkedMembers(schema, "orders", body(400_000), where), { code: "payload_too_large" });
  assert.doesNotThrow(
    () => checkedMembers(schema, "orders", body(1_000), where),
    "other members do not count",
  );
});
