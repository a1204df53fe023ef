import assert from "node:assert/strict";
import type { Body, It, RequestOptions, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const keyed = (key: string, body: string, more: Readonly<Record<string, string>> = {}): RequestOptions => ({
  headers: { "idempotency-key": key, ...more },
  body,
});

/** All of an answer that a client sees. */
async function whole(answer: Promise<Response>): Promise<Body> {
  const response = await answer, { status, headers } = response;
  const named = ["content-type", "location", "etag", "x-dfdb-position"].map((name) => headers.get(name));
  return { status, named, text: await response.text() };
}

/** Sends the same twice; asserts that the answers are the same and one entry was made; returns the body. */
async function twice(node: TestNode, path: string, options: RequestOptions, status: number): Promise<Body> {
  const before = node.storage.log.last.seq;
  const first = await whole(node.request("POST", path, options));
  assert.equal(first["status"], status, first["text"]);
  const { log } = node.storage;
  assert.equal(log.last.seq - before, before === 0 ? 2 : 1, "one entry, after that of the run");
  assert.deepEqual(await whole(node.request("POST", path, options)), first);
  assert.equal(log.last.seq - before, before === 0 ? 2 : 1);
  return JSON.parse(first["text"]) as Body;
}

const ids = async (node: TestNode, collection: string): Promise<string[]> => {
  const { body } = await told(node.request("GET", `/collections/${collection}?limit=10000`));
  return (body["documents"] as Body[]).map((document) => document["_id"] as string);
};

/** `Idempotency-Key`. */
export function idempotencySuite(it: It): void {
  it("an insert that is sent again is made once and answered the same", async (node) => {
    const made = await twice(node, "/collections/orders", keyed("k-1", '{"a":1}'), 201);
    assert.match(made["id"], /^[0-9a-f]{32}$/);
    assert.deepEqual(await ids(node, "orders"), [made["id"]]);
    const document = await node.request("GET", `/collections/orders/${made["id"]}`);
    assert.equal(document.headers.get("etag"), `"${made["etag"]}"`);
    // The document may change; the answer is what it was.
    await node.request("DELETE", `/collections/orders/${made["id"]}`);
    const again = await told(node.request("POST", "/collections/orders", keyed("k-1", '{"a":1}')));
    assert.deepEqual(again.body, made);
    assert.deepEqual(await ids(node, "orders"), []);
    assert.notDeepEqual(await twice(node, "/collections/orders", keyed("k-2", '{"a":1}'), 201), made);
  });

  it("a key stands for one request: another body, path, query or condition is a conflict", async (node) => {
    const body = '[{"_id":"a"}]', path = "/collections/orders/bulk";
    await twice(node, path, keyed("k", body), 200);
    const { seq } = node.storage.log.last;
    for (
      const [other, options] of [
        [path, keyed("k", '[{"_id":"b"}]')],
        ["/collections/others/bulk", keyed("k", body)],
        [`${path}?atomic=true`, keyed("k", body)],
        [path, keyed("k", body, { "if-match": "*" })],
      ] as const
    ) {
      const { error } = await refused(node.request("POST", other, options), 409, "conflict");
      assert.match(error, /Idempotency-Key was used for another request/);
    }
    assert.equal(node.storage.log.last.seq, seq);
  });

  it("a bulk with a key is atomic; a transaction and a conditional change are remembered too", async (node) => {
    const many = JSON.stringify(Array.from({ length: 3_000 }, (_, n) => ({ n })));
    const bulk = await twice(node, "/collections/orders/bulk", keyed("b", many), 200);
    assert.deepEqual([bulk["atomic"], bulk["count"]], [true, 3_000]);
    assert.deepEqual(await ids(node, "orders"), bulk["ids"]);
    const steps =
      '[{"op":"insert","collection":"people","doc":{}},{"op":"delete","collection":"people","id":"x"}]';
    const batch = await twice(node, "/tx/batch", keyed("t", steps), 200);
    assert.equal(batch["results"][1]["deleted"], false);
    await node.request("PUT", "/collections/people/x", { body: '{"n":1}' });
    const inc = '{"operations":[{"field":"n","op":"inc","value":1}]}';
    const changed = await twice(node, "/collections/people/x/conditional", keyed("c", inc), 200);
    assert.equal(changed["document"]["n"], 2);
    // What it would do now is not what it did.
    assert.deepEqual(await told(node.request("POST", "/tx/batch", keyed("t", steps))), {
      status: 200,
      body: batch,
    });
    assert.equal((await node.request("GET", "/collections/people/x")).status, 200);
  });

  it("statements that write are remembered", async (node) => {
    const statement = (key: string, sql: string, more: Readonly<Record<string, string>> = {}) =>
      twice(node, "/query", keyed(key, JSON.stringify({ sql }), more), 200);
    const one = await statement("i1", 'INSERT INTO c VALUES {"n": 1}');
    const [first] = await ids(node, "c");
    assert.deepEqual([one["affected"], one["message"]], [1, `Inserted document ${first}`]);
    const tuples = Array.from({ length: 700 }, (_, n) => `(${n})`).join(",");
    const some = await statement("i2", `INSERT INTO c (n) VALUES ${tuples}`);
    assert.deepEqual([some["affected"], some["message"]], [700, "Inserted 700 document(s)"]);
    const raised = await statement("u1", "UPDATE c SET m = 7 WHERE n < 10");
    assert.deepEqual([raised["affected"], raised["message"]], [11, "Updated 11 document(s)"]);
    assert.match(raised["plan"], /COLLECTION_SCAN/);
    assert.equal((await statement("u2", "UPDATE c SET m = 8"))["affected"], 701);
    assert.equal((await statement("u3", "UPDATE c SET m = 9 WHERE n = 10000"))["affected"], 0);
    assert.equal((await statement("d1", "DELETE FROM c WHERE n >= 5"))["affected"], 695);
    await node.request("POST", "/query", { body: '{"sql":"CREATE INDEX byn ON c (n)"}' });
    assert.equal((await statement("x1", "DROP INDEX byn ON c"))["message"], "Dropped index 'byn'");
    assert.equal((await ids(node, "c")).length, 6);
    const create = keyed("x2", '{"sql":"CREATE INDEX byn ON c (n)"}');
    assert.match(
      (await refused(node.request("POST", "/query", create), 400, "bad_request"))["error"],
      /not remembered/,
    );
    const other = keyed("u1", '{"sql":"DELETE FROM c"}');
    await refused(node.request("POST", "/query", other), 409, "conflict");
    await refused(
      node.request("POST", "/query", keyed("u4", '{"sql":"UPDATE none SET"}')),
      400,
      "bad_request",
    );
    const lines = keyed("l1", '{"sql":"DELETE FROM c WHERE n = 0"}', { accept: "application/x-ndjson" });
    const told = await whole(node.request("POST", "/query", lines));
    assert.deepEqual(await whole(node.request("POST", "/query", lines)), told);
    assert.equal(told["named"][0], "application/x-ndjson");
    const select = keyed("l1", '{"sql":"SELECT * FROM c"}');
    assert.equal(
      (await node.request("POST", "/query", select)).status,
      200,
      "reading needs no key and minds none",
    );
  });

  it("what changes nothing is remembered, what fails is not", async (node) => {
    const steps = '[{"op":"delete","collection":"orders","id":"x"}]';
    await twice(node, "/tx/batch", keyed("nothing", steps), 200);
    await node.request("PUT", "/collections/orders/x", { body: "{}" });
    assert.equal((await node.request("POST", "/tx/batch", keyed("nothing", steps))).status, 200);
    const { seq } = node.storage.log.last;
    const insert = keyed("later", '{"_id":"x"}');
    await refused(node.request("POST", "/collections/orders", insert), 409, "duplicate_key");
    const bulk = keyed("bulk", '[{"_id":"y"},{"_id":"x"}]');
    const failed = await refused(
      node.request("POST", "/collections/orders/bulk", bulk),
      409,
      "duplicate_key",
    );
    assert.deepEqual([failed["rolledBack"], failed["errors"][0]["index"]], [true, 1]);
    assert.equal(node.storage.log.last.seq, seq);
    await node.request("DELETE", "/collections/orders/x");
    await twice(node, "/collections/orders", insert, 201);
  });

  it("of many at once one writes, and all get its answer", async (node) => {
    const inc = '{"operations":[{"field":"n","op":"inc","value":1}]}';
    await node.request("PUT", "/collections/orders/x", { body: '{"n":0}' });
    const send = (key: string) => node.request("POST", "/collections/orders/x/conditional", keyed(key, inc));
    const answers = await Promise.all(["a", "b", "a", "a", "b", "a"].map((key) => whole(send(key))));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(new Set(answers.map(({ text }) => text)).size, 2);
    const large = JSON.stringify(Array.from({ length: 1_200 }, (_, n) => ({ n })));
    const bulks = await Promise.all(
      [0, 1, 2].map(() => whole(node.request("POST", "/collections/many/bulk", keyed("large", large)))),
    );
    assert.deepEqual(bulks[1], bulks[0]);
    assert.deepEqual(bulks[2], bulks[0]);
    assert.equal((await ids(node, "many")).length, 1_200);
    const { body } = await told(node.request("GET", "/collections/orders/x"));
    assert.equal(body["n"], 2);
  });

  it("keys that are none are refused; other methods pay no attention to them", async (node) => {
    for (const key of ["", "a b", "é", "x".repeat(256)]) {
      await refused(node.request("POST", "/collections/orders", keyed(key, "{}")), 400, "bad_request");
      await refused(node.request("POST", "/collections/orders/bulk", keyed(key, "[{}]")), 400, "bad_request");
      await refused(node.request("POST", "/tx/batch", keyed(key, "[]")), 400, "bad_request");
    }
    assert.equal(node.storage.log.last.seq, 0);
    await twice(node, "/collections/orders", keyed("x".repeat(255), "{}"), 201);
    await twice(node, "/collections/orders", keyed('"~!../ttl,', "{}"), 201);
    for (const method of ["PUT", "PATCH"]) {
      for (const n of [1, 2]) {
        const answer = await node.request(method, "/collections/orders/y", keyed("same", `{"n":${n}}`));
        assert.ok(answer.ok);
      }
    }
    const { body } = await told(node.request("GET", "/collections/orders/y"));
    assert.equal(body["n"], 2);
  });

  it("an answer that is too large to be kept is refused before anything is written", async (node) => {
    const body = JSON.stringify({ text: "x".repeat(4 * 1024 * 1024), n: 0 });
    await node.request("PUT", "/collections/orders/x", { body });
    const { seq } = node.storage.log.last;
    const path = "/collections/orders/x/conditional",
      inc = '{"operations":[{"field":"n","op":"inc","value":1}]}';
    const { error } = await refused(node.request("POST", path, keyed("k", inc)), 413, "payload_too_large");
    assert.match(error, /nothing was written/);
    assert.equal(node.storage.log.last.seq, seq);
    assert.equal((await node.request("POST", path, { body: inc })).status, 200);
  });

  it("nobody sees what is remembered, and a node that takes no writes says so", async (node) => {
    await twice(node, "/collections/orders", keyed("k", "{}"), 201);
    const { body } = await told(node.request("GET", "/collections"));
    assert.deepEqual(body["collections"], ["orders"]);
    await refused(node.request("GET", "/collections/_remembered/k"), 400, "bad_request");
    await refused(node.request("DELETE", "/collections/_remembered/k"), 400, "bad_request");
    node.state.readOnly = true;
    await refused(node.request("POST", "/collections/orders", keyed("k", "{}")), 503, "read_only");
    node.state.readOnly = false;
    node.state.role = "follower";
    await refused(node.request("POST", "/collections/orders", keyed("k", "{}")), 421, "not_leader");
  });
}
