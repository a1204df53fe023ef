import assert from "node:assert/strict";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { put, query } from "./http_query_suite.ts";

const make = ({ request }: TestNode, index: Body): Promise<Response> =>
  request("POST", "/index", { body: JSON.stringify(index) });

const list = async ({ request }: TestNode, collection: string): Promise<Body> =>
  (await told(request("GET", `/indexes/${collection}`))).body;

/** `/indexes`, `/index`, `/admin/rebuild-…`. */
export function indexSuite(it: It): void {
  it("indexes are made, listed and dropped as the reference does", async (node) => {
    await put(node, "Orders", { a: { pnr: "x", p: { name: "n" }, tags: [1, 2] }, b: { pnr: "y" } });
    const made = await make(node, { collection: "orders", path: "p.name" });
    assert.equal(made.headers.get("x-dfdb-position"), "1.abababab-4");
    assert.deepEqual(await told(made), {
      status: 200,
      body: {
        success: true,
        message: "Created index 'idx_orders_p_name' on Orders(p.name) with 2 entries",
        name: "idx_orders_p_name",
        totalIndexes: 1,
      },
    });
    const second = await told(make(node, { collection: "orders", path: "pnr", name: "byPnr", unique: true }));
    assert.equal(second.body["totalIndexes"], 2);
    await told(make(node, { collection: "orders", path: " pnr , p.name ", name: null, unique: null }));
    await told(make(node, { collection: "orders", path: ["tags[*]"], name: "byTag" }));
    assert.deepEqual(await list(node, "ORDERS"), {
      collection: "Orders",
      indexes: [
        { name: "idx_orders_p_name", path: "p.name", unique: false, entries: 2, ready: true },
        { name: "byPnr", path: "pnr", unique: true, entries: 2, ready: true },
        { name: "idx_orders_pnr_p_name", path: "pnr, p.name", unique: false, entries: 2, ready: true },
        { name: "byTag", path: "tags[*]", unique: false, entries: 3, ready: true },
      ],
    });
    const found = await query(node, "SELECT * FROM orders WHERE pnr = 'y'");
    assert.deepEqual([found["plan"], found["count"]], ["INDEX_SCAN(byPnr)", 1]);
    const gone = await node.request("DELETE", "/index/orders/BYPNR");
    assert.match(gone.headers.get("x-dfdb-position") ?? "", /^1\.abababab-\d+$/);
    assert.deepEqual((await told(gone)).body, {
      success: true,
      message: "Dropped index 'byPnr'",
      dropped: "byPnr",
    });
    await refused(node.request("DELETE", "/index/orders/byPnr"), 404, "not_found");
    await refused(node.request("DELETE", "/index/nowhere/byPnr"), 404, "collection_not_found");
    assert.equal((await list(node, "orders"))["indexes"].length, 3);
  });

  it("an index of a collection that is not there makes the collection; a bad one makes nothing", async (node) => {
    const bad: readonly Body[] = [
      {},
      { collection: "c" },
      { collection: "c", path: 1 },
      { collection: "c", path: "" },
      { collection: "c", path: [] },
      { collection: "c", path: "a..b" },
      { collection: "c", path: "a[*].b, c[*]" },
      { collection: "c", path: "a, a" },
      { collection: "c", path: "_id" },
      { collection: "c", path: "a", name: "_a" },
      { collection: "c", path: "a", name: "a b" },
      { collection: "c", path: "a", name: "" },
      { collection: "c", path: "a", unique: "yes" },
      { collection: "_c", path: "a" },
      { collection: "c d", path: "a" },
    ];
    for (const body of bad) await refused(make(node, body), 400, "bad_request");
    await refused(node.request("POST", "/index", { body: "{" }), 400, "bad_request");
    await refused(node.request("POST", "/index"), 400, "bad_request");
    assert.equal(node.storage.log.last.seq, 0);
    assert.deepEqual(await list(node, "c"), { collection: "c", indexes: [] });
    await told(make(node, { collection: "c", path: "a" }));
    assert.deepEqual((await told(node.request("GET", "/collections"))).body["collections"], ["c"]);
    await refused(make(node, { collection: "c", path: "a" }), 409, "conflict");
    await refused(make(node, { collection: "C", path: "a", name: "other" }), 409, "conflict");
  });

  it("a unique index refuses what is there twice, and then what would be", async (node) => {
    await put(node, "c", { a: { k: 1 }, b: { k: 1.0 }, c: {}, d: {} });
    const body = await refused(
      make(node, { collection: "c", path: "k", unique: true }),
      409,
      "duplicate_key",
    );
    assert.match(body["error"], /Duplicate key/);
    assert.deepEqual([body["id"], body["otherId"]].sort(), ["a", "b"]);
    assert.deepEqual((await list(node, "c"))["indexes"], []);
    await node.request("DELETE", "/collections/c/b");
    assert.equal((await make(node, { collection: "c", path: "k", unique: true })).status, 200);
    await refused(node.request("PUT", "/collections/c/e", { body: '{"k":1}' }), 409, "duplicate_key");
    assert.equal((await node.request("PUT", "/collections/c/a", { body: '{"k":1}' })).status, 200);
    assert.equal((await node.request("PUT", "/collections/c/e", { body: '{"k":"1"}' })).status, 201);
  });

  it("of two at once of one name one is made", async (node) => {
    await put(node, "c", { a: { k: 1, l: 2 } });
    const answers = await Promise.all([
      make(node, { collection: "c", path: "k", name: "i" }),
      make(node, { collection: "c", path: "l", name: "I" }),
    ]);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409]);
    assert.equal((await list(node, "c"))["indexes"].length, 1);
  });

  it("indexes can be filled anew", async (node) => {
    await put(node, "c", { a: { k: 1 }, b: { k: 2 } });
    await make(node, { collection: "c", path: "k" });
    await make(node, { collection: "c", path: "l" });
    const before = node.storage.log.last.seq;
    const { timeMs, ...all } = (await told(node.request("POST", "/admin/rebuild-indexes/C"))).body;
    assert.equal(typeof timeMs, "number");
    assert.deepEqual(all, { success: true, collection: "C", indexesRebuilt: 2 });
    const one = (await told(node.request("POST", "/admin/rebuild-index/c/idx_c_k"))).body;
    assert.deepEqual([one["success"], one["collection"], one["indexName"]], [true, "c", "idx_c_k"]);
    await refused(node.request("POST", "/admin/rebuild-index/c/none"), 404, "not_found");
    await refused(node.request("POST", "/admin/rebuild-indexes/none"), 404, "collection_not_found");
    assert.equal(node.storage.log.last.seq, before);
    assert.equal((await query(node, "SELECT * FROM c WHERE k = 2"))["plan"], "INDEX_SCAN(idx_c_k)");
  });

  it("indexes are made where writes are taken", async (node) => {
    const { state, request } = node;
    await put(node, "c", { a: { k: 1 } });
    await make(node, { collection: "c", path: "k" });
    state.readOnly = true;
    await refused(make(node, { collection: "c", path: "l" }), 503, "read_only");
    await refused(request("DELETE", "/index/c/idx_c_k"), 503, "read_only");
    state.role = "follower";
    await refused(make(node, { collection: "c", path: "l" }), 421, "not_leader");
    await refused(request("DELETE", "/index/c/idx_c_k"), 421, "not_leader");
    assert.equal((await list(node, "c"))["indexes"].length, 1);
    assert.equal((await request("POST", "/admin/rebuild-indexes/c")).status, 200);
  });
}
