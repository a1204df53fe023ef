import assert from "node:assert/strict";
import { documentIdOf } from "../../src/base/ids.ts";
import type { It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { databaseOf, receive, runOf } from "./version_writes.ts";

type Request = TestNode["request"];

const put = (request: Request, key: string, body: unknown, headers = {}) =>
  request("PUT", `/docs/${key}`, { body: typeof body === "string" ? body : JSON.stringify(body), headers });

/** `/docs/{key}`: the same documents by another name. */
export function docsSuite(it: It): void {
  it("documents by key: the collection, then the id, which may hold slashes", async ({ request }) => {
    const made = await put(request, "Orders/a/b", { n: 1 });
    assert.equal(made.status, 201);
    assert.equal(made.headers.get("location"), "/docs/Orders%2Fa%2Fb");
    assert.match(made.headers.get("x-dfdb-position") ?? "", /^1\.abababab-\d+$/);
    const { etag, ...written } = await made.json();
    assert.deepEqual(written, { success: true, id: "a/b", collection: "Orders" });
    for (const path of ["/docs/Orders/a/b", "/docs/orders%2Fa%2fb", "/collections/orders/a%2Fb"]) {
      const answer = await request("GET", path);
      assert.equal(answer.headers.get("etag"), `"${etag}"`, path);
      assert.deepEqual(await told(answer), { status: 200, body: { _id: "a/b", _etag: etag, n: 1 } });
    }
    const head = await request("HEAD", "/docs/Orders/a/b");
    assert.deepEqual([head.status, head.headers.get("etag"), await head.text()], [200, `"${etag}"`, ""]);
    assert.equal(head.headers.get("raven-replication-source"), null, "nothing is kept without the bundle");
    const asked = await told(request("GET", "/docs/orders/a/b?metadata=true"));
    assert.deepEqual(asked.body, { _id: "a/b", _etag: etag, n: 1 });
    await request("PUT", "/collections/orders/plain", { body: '{"n":2}' });
    assert.equal((await told(request("GET", "/docs/orders/plain"))).body["n"], 2);
    const again = await put(request, "orders/a/b", { n: 3 });
    assert.deepEqual([again.status, again.headers.get("location")], [200, null]);
    assert.deepEqual((await told(request("DELETE", "/docs/orders/a%2Fb"))).body, { success: true });
    await refused(request("GET", "/docs/Orders/a/b"), 404, "not_found");
    await refused(
      request("HEAD", "/docs/none").then((head) => {
        assert.equal(head.status, 404);
        return request("GET", "/docs/none");
      }),
      404,
      "not_found",
    );
  });

  it("a key without a slash is in _docs, which is a collection like others", async ({ request }) => {
    assert.equal((await put(request, "hello", { n: 1 })).status, 201);
    assert.equal((await put(request, "%C3%BC%20b", { n: 2 })).headers.get("location"), "/docs/%C3%BC%20b");
    assert.equal(
      (await put(request, "_docs/in%2Fside", { n: 3 })).headers.get("location"),
      "/docs/_docs%2Fin%2Fside",
    );
    assert.equal((await told(request("GET", "/docs/_docs/hello"))).body["n"], 1);
    assert.equal((await told(request("GET", "/collections/_docs/hello"))).body["n"], 1);
    assert.deepEqual((await told(request("GET", "/collections"))).body["collections"], ["_docs"]);
    const list = (await told(request("GET", "/collections/_docs"))).body;
    assert.deepEqual([list["count"], list["documents"][1]["_id"]], [3, "ü b"]);
    assert.deepEqual((await told(request("GET", "/stats"))).body["collections"], [
      { name: "_docs", documentCount: 3, indexes: [] },
    ]);
    const sql = { sql: "SELECT COUNT(*) AS c FROM _docs WHERE n > 1" };
    const counted = await told(request("POST", "/query", { body: JSON.stringify(sql) }));
    assert.equal(counted.body["documents"][0]["c"], 2);
    const lines = (await (await request("GET", "/changes?since=0&once=true&collection=_docs")).text()).split(
      "\n",
    );
    assert.equal(lines.filter((line) => line.includes('"op":"put","collection":"_docs"')).length, 3);
    await refused(put(request, "_keys/x", {}), 400, "bad_request");
    await refused(request("GET", "/collections/Raven"), 400, "bad_request");
    await refused(request("GET", "/docs/api"), 400, "reserved_id");
    await refused(put(request, "orders/ttl", {}), 400, "reserved_id");
    for (const key of ["orders/", "/x", "1a/x", "orders%2F", "orders/%01", "a".repeat(513)]) {
      await refused(put(request, key, {}), 400, "bad_request");
    }
    await refused(request("POST", "/docs/x", { body: "{}" }), 405, "method_not_allowed");
  });

  it("conditions, and what is no document", async ({ request }) => {
    await refused(put(request, "a/1", {}, { "if-match": "*" }), 404, "not_found");
    const { etag } = (await told(put(request, "a/1", { n: 1 }, { "if-none-match": "*" }))).body;
    await refused(put(request, "a/1", {}, { "if-none-match": "*" }), 412, "precondition_failed");
    const { etag: next } = (await told(put(request, "a/1", { n: 2 }, { "if-match": `"${etag}"` }))).body;
    const stale = await refused(
      put(request, "a/1", {}, { "if-match": `"${etag}"` }),
      412,
      "precondition_failed",
    );
    assert.equal(stale["actual"], next);
    await refused(
      request("DELETE", "/docs/a/1", { headers: { "if-match": `"${etag}"` } }),
      412,
      "precondition_failed",
    );
    assert.equal(
      (await request("DELETE", "/docs/a/1", { headers: { "if-match": `"${next}"` } })).status,
      200,
    );
    await refused(request("DELETE", "/docs/a/1"), 404, "not_found");
    await refused(put(request, "a/1", "[]"), 400, "bad_request");
    await refused(put(request, "a/1", '{"n":1,}'), 400, "bad_request");
    await refused(put(request, "a/1", { _id: "2" }), 400, "bad_request");
    assert.equal((await put(request, "a/1", { _id: "1", _etag: next, "@metadata": {} })).status, 201);
  });

  it("without the bundle there are neither system documents nor versions", async ({ request }) => {
    const key = `${"1".repeat(32)}-4`;
    for (const path of ["Raven/Replication/Destinations", "raven%2Fx", `a/1/conflicts/${key}`]) {
      await refused(request("GET", `/docs/${path}`), 404, "bundle_not_active");
    }
    await refused(put(request, "Raven/Replication/Destinations", {}), 404, "bundle_not_active");
    await refused(request("GET", `/collections/a/1/conflicts/${key}`), 404, "bundle_not_active");
    await refused(request("GET", "/conflicts"), 404, "bundle_not_active");
    assert.equal((await put(request, "Raven", { n: 1 })).status, 201, "a document of _docs");
  });

  it("system documents: written by hand, stored as strict JSON", async ({ request, storage }) => {
    const key = "Raven/Replication/Destinations";
    const text = '{ // to whom\n "Destinations": [ { "Url": "http://a:1/" /* b */ }, ], }';
    assert.equal((await put(request, key, text)).status, 201);
    const answer = await request("GET", `/docs/${key}`);
    assert.equal(answer.headers.get("raven-replication-source"), null, "it goes to nobody");
    const { _etag: etag, ...document } = await answer.json();
    assert.deepEqual(document, { _id: "Replication/Destinations", Destinations: [{ Url: "http://a:1/" }] });
    const stored = storage.read((view) =>
      view.document(view.collection("Raven")!.number, documentIdOf(document._id))?.body
    );
    assert.equal(stored, '{"Destinations":[{"Url":"http://a:1/"}]}');
    assert.equal(
      (await put(request, encodeURIComponent(key), "{}", { "if-match": `"${etag}"` })).status,
      200,
    );
    assert.equal((await put(request, "raven/Replication/Config", '{"policy":"latest",}')).status, 201);
    for (const other of ["Sources/x", "Rejected/a/b", "Destinations/x", "Destination"]) {
      await refused(put(request, `Raven/Replication/${other}`, {}), 400, "bad_request");
    }
    assert.deepEqual((await told(request("GET", "/collections"))).body["collections"], []);
    const lines = await (await request("GET", "/changes?since=0&once=true")).text();
    assert.doesNotMatch(lines, /Raven/);
    assert.equal((await request("DELETE", `/docs/${key}`)).status, 200);
    await refused(request("GET", `/docs/${key}`), 404, "not_found");
  }, { bundle: true });

  it("system documents are an administrator's", async ({ request }) => {
    const as = (secret: string) => (method: string, path: string, body?: string) =>
      request(method, path, {
        headers: { authorization: `Bearer ${secret}` },
        ...(body === undefined ? {} : { body }),
      });
    const admin = as("admin"),
      made = async (scope: string) =>
        as(
          String(
            (await told(admin("POST", "/admin/keys", JSON.stringify({ scopes: [scope] })))).body["secret"],
          ),
        );
    const reader = await made("db:default:read"), writer = await made("db:default");
    for (
      const path of ["/docs/Raven/Replication/Destinations", "/docs/%52aven%2FReplication%2FDestinations"]
    ) {
      await refused(reader("GET", path), 403, "forbidden");
      await refused(writer("PUT", path, "{}"), 403, "forbidden");
      await refused(writer("DELETE", path), 403, "forbidden");
      assert.ok((await admin("PUT", path, "{}")).ok);
    }
    for (const path of ["/collections/raven", "/collections/Raven/Replication%2FDestinations"]) {
      await refused(writer("GET", path), 400, "bad_request");
    }
    const query = JSON.stringify({ sql: "SELECT * FROM Raven" });
    assert.equal((await told(writer("POST", "/query", query))).status, 400);
    await refused(reader("PUT", "/docs/a/1", "{}"), 403, "forbidden");
    assert.equal((await writer("PUT", "/docs/a/1", "{}")).status, 201);
    assert.equal((await reader("GET", "/docs/a/1")).status, 200);
    assert.equal((await reader("GET", "/conflicts")).status, 200);
  }, { bundle: true, apiKey: "admin" });

  it("with the bundle a document tells who wrote it", async (node) => {
    const { request, storage } = node;
    await put(request, "orders/1", '{"n":1.50}');
    const own = await request("GET", "/docs/orders/1"), run = "ab".repeat(16);
    const seq = String(storage.log.last.seq);
    const source = (answer: Response) =>
      ["source", "version", "run", "vector", "versions"].map((name) =>
        answer.headers.get(`raven-replication-${name}`)
      );
    const vector = `${storage.databaseId}:${run}:${seq}`;
    assert.deepEqual(source(own), [storage.databaseId, seq, run, vector, null]);
    const etag = own.headers.get("etag")?.slice(1, -1);
    assert.equal(await own.text(), `{"_id":"1","_etag":"${etag}","n":1.50}`);
    for (const path of ["/docs/orders/1", "/collections/orders/1"]) {
      const text = await (await request("GET", `${path}?metadata=true`)).text();
      assert.match(text, /^\{"_id":"1","_etag":"[^"]+","@metadata":\{.+\},"n":1\.50\}$/);
      const { "Last-Modified": modified, ...metadata } = JSON.parse(text)["@metadata"];
      assert.match(modified, /^\d{4}-\d\d-\d\dT[\d:.]{12}Z$/);
      assert.deepEqual(metadata, {
        "@id": "orders/1",
        "Raven-Replication-Source": storage.databaseId,
        "Raven-Replication-Version": Number(seq),
        "Raven-Replication-Run": run,
        "Raven-Replication-Vector": vector,
      });
      assert.equal((await put(request, "copy/1", text)).ok, true, "what was read may be written");
    }
    assert.equal(
      (await request("GET", "/collections/orders/1")).headers.get("raven-replication-source"),
      null,
    );
    await receive(node, ["Orders", "2"], [{ digit: "5", seq: 9, text: "{}" }]);
    const theirs = await request("GET", "/docs/orders/2?metadata=true");
    const theirVector = `${databaseOf("5")}:${runOf("5")}:9`;
    assert.deepEqual(source(theirs), [databaseOf("5"), "9", runOf("5"), theirVector, null]);
    const { _etag, ...body } = await theirs.json();
    assert.equal(_etag, `1.abababab-${storage.log.last.seq}`);
    assert.deepEqual(Object.keys(body), ["_id", "@metadata"]);
    await refused(request("GET", "/docs/orders/2?metadata=1"), 400, "bad_request");
  }, { bundle: true });
}
