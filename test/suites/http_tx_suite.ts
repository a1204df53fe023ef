import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { It } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const path = "/tx/batch";
const inserts = (count: number, pad = ""): string =>
  JSON.stringify(
    Array.from(
      { length: count },
      (_, i) => ({ op: "insert", collection: "orders", doc: { _id: `d${i}`, pad } }),
    ),
  );

/** The writes are made; the answer is that no follower confirmed them. */
const unconfirmed = (given: HttpDependencies): HttpDependencies => ({
  ...given,
  engine: {
    ...given.engine,
    committed: given.engine.committed,
    submit: async (plan) => {
      const { position: { seq } } = await given.engine.submit(plan);
      throw new DfdbError("replication_timeout", "not confirmed", {
        details: { seq, required: 1, achieved: 0 },
      });
    },
  },
});

/** `POST /tx/batch`. */
export function transactionSuite(it: It): void {
  it("a transaction answers as the reference does, is one entry, and keeps documents to the letter", async (node) => {
    const { request, storage } = node;
    await request("PUT", "/collections/orders/old", { body: "{}" });
    const body = `[ {"op":"insert","collection":"orders","doc":{"_id":"a" , "v":1.50}},
      {"collection":"People","op":"insert","doc":{"name":"\\u00e9", "op":"delete"},"note":[1,{"x":"}"}]},
      {"op":"replace","collection":"orders","id":"a","doc":{"v":2.00,"_id":"a"}},
      {"op":"delete","collection":"orders","id":"old"}, {"op":"delete","collection":"orders","id":"none"} ]`;
    const answer = await request("POST", path, { body });
    assert.equal(answer.headers.get("x-dfdb-position"), "1.abababab-3");
    const { status, body: told_ } = await told(answer);
    const { transactionId, timeMs, results, ...rest } = told_;
    assert.deepEqual([status, rest], [200, { success: true, operationCount: 5 }]);
    assert.match(transactionId, /^[0-9a-f]{32}$/);
    assert.equal(typeof timeMs, "number");
    const made = results[1]["id"];
    assert.deepEqual(results, [
      { op: "insert", collection: "orders", id: "a" },
      { op: "insert", collection: "People", id: made },
      { op: "replace", collection: "orders", id: "a" },
      { op: "delete", collection: "orders", id: "old", deleted: true },
      { op: "delete", collection: "orders", id: "none", deleted: false },
    ]);
    assert.equal(storage.log.last.seq, 3);
    const kept = await (await request("GET", "/collections/orders/a")).text();
    assert.ok(kept.endsWith('"v":2.00}'), kept);
    const other = await (await request("GET", `/collections/people/${made}`)).text();
    assert.ok(other.endsWith('"name":"\\u00e9","op":"delete"}'), other);
    assert.equal((await request("GET", "/collections/orders/old")).status, 404);
  });

  it("an operation that is refused is named, and nothing of the transaction is kept", async ({ request, storage }) => {
    await request("PUT", "/collections/orders/taken", { body: "{}" });
    const good = { op: "insert", collection: "orders", doc: { _id: "a" } };
    const cases = [
      [409, "duplicate_key", { op: "insert", collection: "ORDERS", doc: { _id: "taken" } }],
      [409, "duplicate_key", good],
      [404, "not_found", { op: "replace", collection: "orders", id: "none", doc: {} }],
      [404, "not_found", { op: "replace", collection: "nowhere", id: "a", doc: {} }],
    ] as const;
    for (const [status, code, bad] of cases) {
      const body = await refused(
        request("POST", path, { body: JSON.stringify([good, bad, good]) }),
        status,
        code,
      );
      assert.deepEqual([body["success"], body["failedOpIndex"], body["rolledBack"]], [false, 1, true]);
      assert.match(body["transactionId"], /^[0-9a-f]{32}$/);
      assert.equal(typeof body["timeMs"], "number");
    }
    assert.equal(storage.log.last.seq, 2);
    assert.equal((await request("GET", "/collections/orders/a")).status, 404);
  });

  it("what is no operation is refused with its index, before anything is written", async ({ request, storage }) => {
    const good = '{"op":"insert","collection":"orders","doc":{}}';
    const bad: readonly (readonly [string, string, RegExp])[] = [
      ["7", "bad_request", /object/],
      ["[]", "bad_request", /object/],
      ["{}", "bad_request", /"op" is missing/],
      ['{"op":1}', "bad_request", /"op" must be a string/],
      ['{"op":x}', "bad_request", /"op" is not valid JSON/],
      ['{"op":"upsert","collection":"orders"}', "bad_request", /"op" must be/],
      [
        '{"op":"deleteByField","collection":"orders","field":"a"}',
        "bad_request",
        /"value" is missing/,
      ],
      ['{"op":"insert","doc":{}}', "bad_request", /"collection" is missing/],
      ['{"op":"insert","collection":"a b","doc":{}}', "bad_request", /./],
      ['{"op":"insert","collection":"orders"}', "bad_request", /"doc" is missing/],
      ['{"op":"insert","collection":"orders","doc":[]}', "bad_request", /object/],
      ['{"op":"insert","collection":"orders","doc":{"a":1,"a":2}}', "bad_request", /./],
      ['{"op":"insert","collection":"orders","doc":{"_id":"ttl"}}', "reserved_id", /./],
      ['{"op":"insert","op":"delete","collection":"orders","doc":{}}', "bad_request", /twice/],
      ['{"op":"replace","collection":"orders","doc":{}}', "bad_request", /"id" is missing/],
      ['{"op":"replace","collection":"orders","id":"a","doc":{"_id":"b"}}', "bad_request", /"_id"/],
      ['{"op":"delete","collection":"orders","id":7}', "bad_request", /"id" must be a string/],
      ['{"op":"delete","collection":"orders","id":""}', "bad_request", /./],
    ];
    for (const [element, code, message] of bad) {
      const body = await refused(request("POST", path, { body: `[${good},${element}]` }), 400, code);
      assert.match(body["error"], /^op\[1\]: /, element);
      assert.match(body["error"], message, element);
    }
    for (const body of ["{}", "7", `[${good}`, `[${good},]`, `[${good}]]`, ""]) {
      await refused(request("POST", path, { body }), 400, "bad_request");
    }
    const headers = { "idempotency-key": "k k" };
    await refused(request("POST", path, { body: `[${good}]`, headers }), 400, "bad_request");
    await refused(request("GET", path), 405, "method_not_allowed");
    assert.equal(storage.log.last.seq, 0);
  });

  it("an empty transaction writes nothing", async ({ request, storage }) => {
    const { status, body } = await told(request("POST", path, { body: "[]" }));
    assert.deepEqual([status, body["operationCount"], body["results"], storage.log.last.seq], [
      200,
      0,
      [],
      0,
    ]);
  });

  it("a large transaction is one entry, whole; reads get their turn and see the old state until then", async (node) => {
    const { clock, request, storage } = node, count = 10_000;
    await request("PUT", "/collections/orders/before", { body: "{}" });
    let turns = 0, done = false;
    const answer = request("POST", path, { body: inserts(count, "p".repeat(200)) }).finally(() =>
      done = true
    );
    while (!done) {
      await new Promise<void>((resolve) => clock.macrotask(resolve));
      const documents = storage.read((view) => view.collection("orders")?.documents);
      assert.ok(documents === 1 || documents === count + 1, `${documents} documents`);
      if (documents === 1) turns++;
    }
    const { status, body } = await told(answer);
    assert.deepEqual([status, body["operationCount"]], [200, count]);
    assert.ok(turns >= 20, `the event loop turned ${turns} times in the meantime`);
    assert.equal(storage.log.last.seq, 3);
    assert.equal((await request("GET", `/collections/orders/d${count - 1}`)).status, 200);
  });

  it("too many operations, and a node that does not write", async ({ request, state, storage }) => {
    await refused(request("POST", path, { body: inserts(1_001) }), 413, "payload_too_large");
    state.readOnly = true;
    const body = await refused(request("POST", path, { body: inserts(1_000) }), 503, "read_only");
    assert.deepEqual([body["success"], body["failedOpIndex"], body["rolledBack"]], [false, 1_000, true]);
    state.role = "follower";
    await refused(request("POST", path, { body: inserts(1) }), 421, "not_leader");
    assert.equal(storage.log.last.seq, 0);
  }, { limits: { bulkDocumentsMax: 1_000 } });

  it("more than an entry holds is refused whole", async ({ request, storage }) => {
    const body = await refused(
      request("POST", path, { body: inserts(5, "p".repeat(14 * 2 ** 20)) }),
      413,
      "payload_too_large",
    );
    assert.deepEqual([body["failedOpIndex"], body["rolledBack"], storage.log.last.seq], [5, true, 0]);
  }, { limits: { bodyBytesMax: 80 * 2 ** 20 } });

  it("what no follower confirmed is durable here, and says so", async ({ request, storage }) => {
    const body = await refused(request("POST", path, { body: inserts(2) }), 504, "replication_timeout");
    const { success, rolledBack, seq, required, achieved } = body;
    assert.deepEqual({ success, rolledBack, seq, required, achieved }, {
      success: false,
      rolledBack: false,
      seq: 2,
      required: 1,
      achieved: 0,
    });
    assert.equal(storage.log.last.seq, 2);
    const single = await refused(
      request("PUT", "/collections/orders/x", { body: "{}" }),
      504,
      "replication_timeout",
    );
    assert.deepEqual([single["seq"], single["required"], single["achieved"]], [3, 1, 0]);
  }, { around: unconfirmed });
}
