import assert from "node:assert/strict";
import { silentLogger } from "../../src/base/logger.ts";
import { fieldSteps } from "../../src/document/field_path.ts";
import { createIndex } from "../../src/engine/build_index.ts";
import type { It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const schemaPath = "/collections/orders/schema";
const asked = { required: ["n"], types: { n: "int" }, checks: ["n >= 0"] };
const whole = { ...asked, refs: [] };

const body = (value: unknown) => ({ body: JSON.stringify(value) });

function put({ request }: Pick<TestNode, "request">, path: string, value: unknown): Promise<Response> {
  return request("PUT", `/collections/${path}`, body(value));
}

function index({ engine, storage, clock }: TestNode, collection: string, field: string): Promise<unknown> {
  return createIndex(
    { engine, storage, clock, logger: silentLogger },
    collection,
    { name: `by_${field}`, unique: false, time: false, paths: [fieldSteps(field)] },
    { createsCollection: true },
  );
}

/** `PUT/GET/DELETE /collections/{c}/schema`, and what it does to writes. */
export function schemaSuite(it: It): void {
  it("a schema is set, read and removed, as the reference answers", async ({ request }) => {
    await refused(request("GET", schemaPath), 404, "not_found");
    await refused(request("DELETE", schemaPath), 404, "not_found");
    const set = await request("PUT", schemaPath, body(asked));
    assert.match(set.headers.get("x-dfdb-position") ?? "", /^1\./);
    assert.deepEqual([set.status, await set.json()], [200, { success: true, schema: whole }]);
    assert.deepEqual(await told(request("GET", "/collections/ORDERS/schema")), { status: 200, body: whole });
    assert.equal((await request("HEAD", schemaPath)).status, 200);
    const empty = await told(request("PUT", schemaPath, body({})));
    assert.deepEqual(empty.body["schema"], { required: [], types: {}, checks: [], refs: [] });
    const removed = await request("DELETE", schemaPath);
    assert.match(removed.headers.get("x-dfdb-position") ?? "", /^1\./);
    assert.deepEqual(await removed.json(), { success: true, collection: "orders", removed: true });
    await refused(request("DELETE", schemaPath), 404, "not_found");
  });

  it("every route that writes obeys a schema", async (node) => {
    const { request } = node;
    await request("PUT", schemaPath, body(asked));
    assert.equal((await put(node, "orders/a", { n: 1 })).status, 201);
    const { error, ...details } = await refused(put(node, "orders/b", { n: 1.5 }), 400, "schema_violation");
    assert.equal(
      error,
      'The schema of "orders" is violated: n must be a whole number, not the number 1.5',
    );
    assert.deepEqual(details, { code: "schema_violation", field: "n", rule: "type", id: "b", operation: 0 });
    await refused(request("POST", "/collections/orders", body({})), 400, "schema_violation");
    await refused(request("PATCH", "/collections/orders/a", body({ n: -1 })), 400, "schema_violation");
    const change = { operations: [{ field: "n", op: "dec", value: 2 }] };
    await refused(
      request("POST", "/collections/orders/a/conditional", body(change)),
      400,
      "schema_violation",
    );
    const documents = [{ _id: "c", n: 1 }, { _id: "d" }, { _id: "e", n: 2 }];
    const bulk = await told(request("POST", "/collections/orders/bulk", body(documents)));
    assert.deepEqual([bulk.status, bulk.body["ids"]], [200, ["c", "e"]]);
    assert.deepEqual(
      bulk.body["errors"].map(({ index, code }: { index: number; code: string }) => [index, code]),
      [
        [1, "schema_violation"],
      ],
    );
    const again = documents.map(({ _id, ...rest }) => ({ _id: `${_id}2`, ...rest }));
    const atomic = await told(request("POST", "/collections/orders/bulk?atomic=true", body(again)));
    assert.deepEqual([atomic.status, atomic.body["code"], atomic.body["rolledBack"]], [
      400,
      "schema_violation",
      true,
    ]);
    assert.deepEqual(atomic.body["errors"].map(({ index }: { index: number }) => index), [1]);
    const batch = await told(request(
      "POST",
      "/tx/batch",
      body([
        { op: "insert", collection: "others", doc: {} },
        { op: "insert", collection: "orders", doc: { n: "x" } },
      ]),
    ));
    assert.deepEqual([batch.status, batch.body["code"], batch.body["failedOpIndex"]], [
      400,
      "schema_violation",
      1,
    ]);
    const sql = (text: string) => request("POST", "/query", body({ sql: text }));
    await refused(sql('INSERT INTO orders VALUES {"n": 1}, {"n": 2.5}'), 400, "schema_violation");
    await refused(sql("UPDATE orders SET n = n - 2"), 400, "schema_violation");
    await refused(put(node, "orders/by/n/2", { n: "x" }), 400, "schema_violation");
    const remembered = { headers: { "idempotency-key": "k1" }, ...body({ n: "x" }) };
    await refused(request("POST", "/collections/orders", remembered), 400, "schema_violation");
    const list = await told(request("GET", "/collections/orders"));
    assert.deepEqual(list.body["documents"].map(({ _id, n }: { _id: string; n: number }) => [_id, n]), [
      ["a", 1],
      ["c", 1],
      ["e", 2],
    ]);
  });

  it("what is no schema changes nothing", async ({ request }) => {
    await request("PUT", schemaPath, body(asked));
    for (
      const wrong of [
        "",
        "[]",
        "{",
        '{"require":[]}',
        '{"types":{"n":"text"}}',
        '{"types":{"n":"int","n":"bool"}}',
        '{"checks":["n >"]}',
        '{"refs":[{"field":"n","collection":"a","targetField":"b"}]}',
      ]
    ) {
      const { error } = await refused(request("PUT", schemaPath, { body: wrong }), 400, "bad_request");
      assert.ok(error.length > 5, wrong);
    }
    await refused(
      request("PUT", schemaPath, { body: new Uint8Array([0x22, 0xff, 0x22]) }),
      400,
      "bad_request",
    );
    const { field } = await refused(
      request("PUT", schemaPath, body({ checks: ["n > 0", "("] })),
      400,
      "bad_request",
    );
    assert.equal(field, "checks.1");
    const large = { checks: [`n != '${"x".repeat(300_000)}'`] };
    await refused(request("PUT", schemaPath, body(large)), 413, "payload_too_large");
    await refused(request("PUT", "/collections/_keys/schema", body({})), 400, "bad_request");
    assert.deepEqual((await told(request("GET", schemaPath))).body, whole);
  });

  it("references, over HTTP", async (node) => {
    const { request } = node;
    const refs = [{ field: "customer", collection: "customers" }];
    const { collection } = await refused(request("PUT", schemaPath, body({ refs })), 409, "conflict");
    assert.equal(collection, "orders");
    await index(node, "orders", "customer");
    const set = await told(request("PUT", schemaPath, body({ refs })));
    assert.deepEqual(set.body["schema"]["refs"], [
      { field: "customer", collection: "customers", targetField: "_id", onDelete: "restrict" },
    ]);
    await refused(put(node, "orders/a", { customer: "c1" }), 400, "schema_violation");
    await put(node, "customers/c1", {});
    assert.equal((await put(node, "orders/a", { customer: "c1" })).status, 201);
    const kept = await refused(request("DELETE", "/collections/customers/c1"), 409, "conflict");
    assert.deepEqual([kept["collection"], kept["referrer"], kept["field"]], ["orders", "a", "customer"]);
    const headers = { "x-confirm": "true" };
    await refused(request("DELETE", "/collections/customers", { headers }), 409, "conflict");
    await request("PUT", schemaPath, body({ refs: [{ ...refs[0], onDelete: "cascade" }] }));
    assert.equal((await request("DELETE", "/collections/customers/c1")).status, 200);
    assert.equal((await request("GET", "/collections/orders/a")).status, 404);
  });

  it("collections of the database itself are not seen and not reached", async (node) => {
    const { request } = node;
    await put(node, "orders/a", { n: 1 });
    await request("PUT", schemaPath, body(asked));
    assert.deepEqual((await told(request("GET", "/collections"))).body["collections"], ["orders"]);
    const { collections } = (await told(request("GET", "/stats"))).body;
    assert.deepEqual(collections.map(({ name }: { name: string }) => name), ["orders"]);
    const document = "/collections/_settings/orders%2Fschema";
    await refused(request("GET", document), 400, "bad_request");
    await refused(request("PUT", document, body({})), 400, "bad_request");
    await refused(request("PATCH", document, body({ n: 1 })), 400, "bad_request");
    await refused(request("DELETE", document), 400, "bad_request");
    await refused(request("GET", "/collections/_settings"), 400, "bad_request");
    await refused(request("POST", "/collections/_settings", body({})), 400, "bad_request");
    await refused(request("POST", "/collections/_settings/bulk", body([{}])), 400, "bad_request");
    await refused(request("POST", "/collections/_settings/bulk?atomic=true", body([{}])), 400, "bad_request");
    await refused(request("POST", `${document}/conditional`, body({ operations: [] })), 400, "bad_request");
    const headers = { "x-confirm": "true" };
    await refused(request("DELETE", "/collections/_settings", { headers }), 400, "bad_request");
    const insert = { op: "insert", collection: "_settings", doc: {} };
    const { failedOpIndex } = await refused(request("POST", "/tx/batch", body([insert])), 400, "bad_request");
    assert.equal(failedOpIndex, 0);
    assert.equal((await request("DELETE", "/collections/orders", { headers })).status, 200);
    await refused(request("GET", schemaPath), 404, "not_found");
  });

  it("a schema is not set where nothing may be written; other methods are refused", async ({ request, state }) => {
    const allowed = await request("POST", schemaPath, body({}));
    assert.deepEqual([allowed.status, (await told(allowed)).body["code"]], [405, "method_not_allowed"]);
    assert.match(allowed.headers.get("allow") ?? "", /GET, HEAD, .*PUT/);
    state.readOnly = true;
    await refused(request("PUT", schemaPath, body(asked)), 503, "read_only");
    state.readOnly = false;
    state.role = "follower";
    await refused(request("PUT", schemaPath, body(asked)), 421, "not_leader");
    await refused(request("DELETE", schemaPath), 421, "not_leader");
    await refused(request("GET", schemaPath), 404, "not_found");
  });
}
