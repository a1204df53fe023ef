import assert from "node:assert/strict";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

async function fill(request: TestNode["request"], name: string, count: number, padding = ""): Promise<void> {
  const documents = Array.from({ length: count }, (_, i) => ({ _id: `d${i}`, i, padding }));
  const { status } = await told(
    request("POST", `/collections/${name}/bulk`, { body: JSON.stringify(documents) }),
  );
  assert.equal(status, 200);
}

/** Collections, lists, and what the node says of itself. */
export function collectionsSuite(it: It): void {
  it("names of collections, as first written", async ({ request }) => {
    assert.deepEqual(await told(request("GET", "/collections")), {
      status: 200,
      body: { database: "default", collections: [] },
    });
    await request("PUT", "/collections/Orders/a", { body: "{}" });
    await request("PUT", "/collections/orders/b", { body: "{}" });
    await request("PUT", "/collections/a.b-c_1/b", { body: "{}" });
    const { body } = await told(request("GET", "/collections?database=default"));
    assert.deepEqual(body["collections"].sort(), ["Orders", "a.b-c_1"]);
    await refused(request("GET", "/collections?database=other"), 404, "not_found");
    await refused(request("GET", "/collections", { headers: { "x-database": "other" } }), 404, "not_found");
  });

  it("a list, page by page", async ({ request }) => {
    assert.deepEqual((await told(request("GET", "/collections/none"))).body, {
      collection: "none",
      documents: [],
      count: 0,
    });
    await fill(request, "orders", 250);
    const seen: string[] = [];
    for (let after = "0", pages = 1;; pages++) {
      const { body } = await told(request("GET", `/collections/orders?after=${after}`));
      assert.equal(body["count"], body["documents"].length);
      seen.push(...body["documents"].map((document: Body) => document["_id"]));
      if (body["next"] === undefined) {
        assert.equal(pages, 3);
        break;
      }
      assert.equal(body["count"], 100);
      after = body["next"];
    }
    assert.deepEqual(seen, Array.from({ length: 250 }, (_, i) => `d${i}`));
    const few = (await told(request("GET", "/collections/orders?limit=2"))).body;
    assert.deepEqual([few["count"], few["documents"][1]["i"]], [2, 1]);
    assert.match(few["documents"][0]["_etag"], /^1\.abababab-\d+$/);
    assert.equal(typeof few["next"], "string");
  });

  it("a long list is streamed, whole", async ({ request }) => {
    await fill(request, "orders", 3_000, "x".repeat(1_000));
    const { body } = await told(request("GET", "/collections/orders?limit=10000"));
    assert.deepEqual([body["count"], body["documents"].length, body["next"]], [3_000, 3_000, undefined]);
    assert.deepEqual(body["documents"].map(({ i }: Body) => i), Array.from({ length: 3_000 }, (_, i) => i));
    const part = (await told(request("GET", "/collections/orders?limit=2999"))).body;
    assert.deepEqual([part["count"], typeof part["next"]], [2_999, "string"]);
    const rest = (await told(request("GET", `/collections/orders?limit=2999&after=${part["next"]}`))).body;
    assert.deepEqual([rest["count"], rest["next"]], [1, undefined]);
    const head = await request("HEAD", "/collections/orders?limit=10000");
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });

  it("parameters of lists are checked", async ({ request }) => {
    for (
      const query of [
        "limit=0",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=10001",
        "limit=1&limit=2",
        "limit=1e3",
      ]
    ) {
      await refused(request("GET", `/collections/orders?${query}`), 400, "bad_request");
    }
    for (const query of ["after=x", "after=-1", "limit=%", "limit=%ff"]) {
      await refused(request("GET", `/collections/orders?${query}`), 400, "bad_request");
    }
    assert.equal((await request("GET", "/collections/orders?unknown=1&limit=5")).status, 200);
  });

  it("dropping a collection wants a confirmation", async ({ request }) => {
    await request("PUT", "/collections/Orders/a", { body: "{}" });
    await refused(request("DELETE", "/collections/orders"), 400, "bad_request");
    await refused(
      request("DELETE", "/collections/orders", { headers: { "x-confirm": "yes" } }),
      400,
      "bad_request",
    );
    const headers = { "x-confirm": "true" };
    const dropped = await request("DELETE", "/collections/orders", { headers });
    assert.deepEqual([dropped.status, await dropped.json()], [200, { success: true, dropped: "Orders" }]);
    assert.match(dropped.headers.get("x-dfdb-position") ?? "", /^1\./);
    await refused(request("DELETE", "/collections/orders", { headers }), 404, "not_found");
    await refused(request("GET", "/collections/orders/a"), 404, "not_found");
    assert.equal((await request("POST", "/collections/orders", { body: '{"_id":"a"}' })).status, 201);
  });

  it("health, readiness, version, figures, replication", async ({ request, state }) => {
    assert.deepEqual((await told(request("GET", "/health"))).body, {
      status: "ok",
      node: "test-node",
      version: "1.2.3",
      readOnly: false,
      uptimeSeconds: 1.2,
      health: null,
    });
    state.readOnly = true;
    assert.equal((await told(request("GET", "/health"))).body["readOnly"], true);
    state.readOnly = false;
    assert.deepEqual(await told(request("GET", "/ready")), { status: 200, body: { ready: true } });
    state.notReady = "The node follows nobody yet";
    const not = await refused(request("GET", "/ready"), 503, "not_ready");
    assert.deepEqual([not["ready"], not["error"]], [false, state.notReady]);
    const version = (await told(request("GET", "/version"))).body;
    assert.deepEqual([version["version"], version["sha"], version["node"]], ["1.2.3", "dev", "test-node"]);
    await fill(request, "orders", 3);
    const stats = (await told(request("GET", "/stats"))).body;
    assert.deepEqual(stats["collections"], [{ name: "orders", documentCount: 3, indexes: [] }]);
    assert.match(stats["filePath"], /data\.dfdb$/);
    assert.ok(stats["fileSizeMb"] > 0 && stats["pageCount"] > 0);
    assert.deepEqual([stats["position"], stats["logEntries"]], ["1.abababab-4", 4]);
    assert.equal((await told(request("GET", "/replication/status"))).body["node"], "test-node");
  });
}
