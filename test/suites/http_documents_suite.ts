import assert from "node:assert/strict";
import type { It } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const etagForm = /^1\.abababab-\d+$/;

/** One document: PUT, GET, DELETE, POST, preconditions. */
export function documentsSuite(it: It): void {
  it("a document there and back, to the letter", async ({ request }) => {
    const text = '{"price":1.10,"name":"Zoë 😀","big":12345678901234567000,"a":{"constructor":1}}';
    const put = await request("PUT", "/collections/orders/a", { body: text });
    assert.equal(put.status, 201);
    assert.equal(put.headers.get("location"), "/collections/orders/a");
    const { etag, ...written } = await put.json() as Record<string, string>;
    assert.match(etag as string, etagForm);
    assert.deepEqual(written, { success: true, id: "a", collection: "orders" });
    assert.match(put.headers.get("x-dfdb-position") ?? "", etagForm);
    const get = await request("GET", "/collections/ORDERS/a");
    assert.equal(get.status, 200);
    assert.equal(get.headers.get("etag"), `"${etag}"`);
    assert.equal(await get.text(), `{"_id":"a","_etag":"${etag}",${text.slice(1)}`);
  });

  it("an empty document, and one that is returned and sent again", async ({ request }) => {
    const { body } = await told(request("PUT", "/collections/orders/e", { body: "{}" }));
    const text = await (await request("GET", "/collections/orders/e")).text();
    assert.equal(text, `{"_id":"e","_etag":"${body["etag"]}"}`);
    const again = await request("PUT", "/collections/orders/e", { body: text });
    assert.equal(again.status, 200);
    assert.equal(again.headers.get("location"), null);
    const { _etag, ...document } = (await told(request("GET", "/collections/orders/e"))).body;
    assert.notEqual(_etag, body["etag"]);
    assert.deepEqual(document, { _id: "e" });
  });

  it("what is not there is 404 as JSON", async ({ request }) => {
    await refused(request("GET", "/collections/none/a"), 404, "not_found");
    await request("PUT", "/collections/orders/a", { body: "{}" });
    await refused(request("GET", "/collections/orders/b"), 404, "not_found");
    await refused(request("DELETE", "/collections/orders/b"), 404, "not_found");
    await refused(request("DELETE", "/collections/none/b"), 404, "not_found");
  });

  it("HEAD is GET without a body", async ({ request }) => {
    await request("PUT", "/collections/orders/a", { body: "{}" });
    const head = await request("HEAD", "/collections/orders/a");
    assert.deepEqual([head.status, await head.text()], [200, ""]);
    assert.match(head.headers.get("etag") ?? "", /^"1\./);
    assert.equal((await request("HEAD", "/collections/orders/b")).status, 404);
    assert.equal((await request("HEAD", "/collections?database=x%ff")).status, 400);
  });

  it("ids take slashes, spaces, percent signs and every script, percent-encoded", async ({ request }) => {
    for (
      const id of [
        "a/b",
        "/",
        "a b",
        "100%",
        "%2F",
        "ключ",
        "😀",
        "a?b#c",
        "a\\b",
        "x".repeat(512),
        "+",
        "...",
      ]
    ) {
      const path = `/collections/orders/${encodeURIComponent(id)}`;
      const put = await request("PUT", path, { body: JSON.stringify({ _id: id, v: 1 }) });
      assert.deepEqual([put.status, put.headers.get("location")], [201, path], id);
      const { status, body } = await told(request("GET", path));
      assert.deepEqual([status, body["_id"]], [200, id]);
      assert.equal((await request("DELETE", path)).status, 200);
    }
  });

  it("_id in a body must be the path's", async ({ request }) => {
    await refused(request("PUT", "/collections/orders/a", { body: '{"_id":"b"}' }), 400, "bad_request");
    await refused(request("PUT", "/collections/orders/a", { body: '{"_id":7}' }), 400, "bad_request");
  });

  it("POST makes an id, or takes the one in the body once", async ({ request }) => {
    const made = await request("POST", "/collections/orders", { body: '{"v":1}' });
    assert.equal(made.status, 201);
    const { id, etag, ...rest } = await made.json() as Record<string, string>;
    assert.match(id as string, /^[0-9a-f]{32}$/);
    assert.match(etag as string, etagForm);
    assert.deepEqual(rest, { success: true, collection: "orders" });
    assert.equal(made.headers.get("location"), `/collections/orders/${id}`);
    assert.match(made.headers.get("x-dfdb-position") ?? "", etagForm);
    assert.equal((await request("POST", "/collections/orders", { body: '{"_id":"own/1"}' })).status, 201);
    assert.equal((await request("GET", "/collections/orders/own%2F1")).status, 200);
    const twice = await refused(
      request("POST", "/collections/orders", { body: '{"_id":"own/1"}' }),
      409,
      "duplicate_key",
    );
    assert.equal(twice["id"], "own/1");
  });

  it("DELETE removes, with the position of the write", async ({ request }) => {
    await request("PUT", "/collections/orders/a", { body: "{}" });
    const gone = await request("DELETE", "/collections/orders/a");
    assert.deepEqual([gone.status, await gone.json()], [200, { success: true }]);
    assert.match(gone.headers.get("x-dfdb-position") ?? "", etagForm);
    await refused(request("GET", "/collections/orders/a"), 404, "not_found");
  });

  it("If-Match in every form", async ({ request }) => {
    const path = "/collections/orders/a";
    const put = async (match: string) =>
      await told(request("PUT", path, { body: "{}", headers: { "if-match": match } }));
    let { etag } = (await told(request("PUT", path, { body: "{}" }))).body;
    for (const form of [(e: string) => `"${e}"`, (e: string) => e, (e: string) => `W/"${e}"`, () => "*"]) {
      const { status, body } = await put(form(etag));
      assert.equal(status, 200);
      etag = body["etag"];
    }
    const listed = await put(`"1.00000000-1", "${etag}" , x`);
    assert.equal(listed.status, 200);
    const stale = await refused(
      request("PUT", path, { body: "{}", headers: { "if-match": `"${etag}"` } }),
      412,
      "precondition_failed",
    );
    assert.deepEqual([stale["expected"], stale["actual"]], [etag, listed.body["etag"]]);
    await refused(request("DELETE", path, { headers: { "if-match": etag } }), 412, "precondition_failed");
    const gone = await request("DELETE", path, { headers: { "if-match": `"${listed.body["etag"]}"` } });
    assert.equal(gone.status, 200);
  });

  it("If-Match on a document that is not there", async ({ request }) => {
    for (const method of ["PUT", "DELETE"]) {
      const send = (match: string) =>
        request(method, "/collections/orders/a", {
          headers: { "if-match": match },
          ...(method === "PUT" ? { body: "{}" } : {}),
        });
      await refused(send("*"), 404, "not_found");
      const body = await refused(send('"1.abababab-1"'), 412, "precondition_failed");
      assert.equal(body["actual"], null);
    }
  });

  it("If-None-Match: * creates only", async ({ request }) => {
    const create = () =>
      request("PUT", "/collections/orders/a", { body: "{}", headers: { "if-none-match": "*" } });
    const { status, body } = await told(create());
    assert.equal(status, 201);
    const second = await refused(create(), 412, "precondition_failed");
    assert.deepEqual([second["expected"], second["actual"]], [null, body["etag"]]);
  });

  it("preconditions that cannot be read are refused, never ignored", async ({ request }) => {
    const path = "/collections/orders/a";
    await request("PUT", path, { body: "{}" });
    for (const match of ['"open', 'a"b', '*, "a"', "a b", ",", '"a" "b"', ""]) {
      await refused(request("PUT", path, { body: "{}", headers: { "if-match": match } }), 400, "bad_request");
    }
    for (const match of ['"no such"x'.slice(0, 3) + '"', "garbage", '"1.abababab-99999"', "W/x"]) {
      const stale = request("PUT", path, { body: "{}", headers: { "if-match": match } });
      await refused(stale, 412, "precondition_failed");
    }
    await refused(
      request("PUT", path, { body: "{}", headers: { "if-none-match": '"a"' } }),
      400,
      "bad_request",
    );
    const both = { "if-match": "*", "if-none-match": "*" };
    await refused(request("PUT", path, { body: "{}", headers: both }), 400, "bad_request");
  });

  it("of writers with the same etag exactly one wins, of inserts with the same id too", async ({ request }) => {
    const path = "/collections/orders/a";
    const { etag } = (await told(request("PUT", path, { body: "{}" }))).body;
    const headers = { "if-match": `"${etag}"` };
    const puts = await Promise.all(
      Array.from({ length: 20 }, (_, i) => request("PUT", path, { body: `{"i":${i}}`, headers })),
    );
    assert.deepEqual(puts.map(({ status }) => status).sort(), [200, ...Array(19).fill(412)]);
    const winner = await told(puts.find(({ status }) => status === 200) as Response);
    for (const loser of puts.filter(({ status }) => status === 412)) {
      assert.equal((await told(loser)).body["actual"], winner.body["etag"]);
    }
    const posts = await Promise.all(
      Array.from({ length: 20 }, () => request("POST", "/collections/fresh", { body: '{"_id":"x"}' })),
    );
    assert.deepEqual(posts.map(({ status }) => status).sort(), [201, ...Array(19).fill(409)]);
  });

  it("a precondition against the very first write of a run, in its own transaction", async ({ request }) => {
    const path = "/collections/orders/a", headers = { "if-match": '"1.abababab-2"' };
    const [first, second] = await Promise.all([
      request("PUT", path, { body: "{}" }),
      request("PUT", path, { body: "{}", headers }),
    ]);
    assert.equal(first.status, 201);
    assert.ok([200, 412].includes(second.status));
  });
}
