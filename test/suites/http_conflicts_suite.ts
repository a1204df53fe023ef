import assert from "node:assert/strict";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { databaseOf, idOf, receive, runOf } from "./version_writes.ts";

type Request = TestNode["request"];

const bundle = { bundle: true } as const;
const ownRun = "ab".repeat(16);

const send = (request: Request, method: string, path: string, body?: unknown, headers = {}) =>
  request(method, path, { headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });

/** `orders/x` is written here, and by 5 and 6 without having seen each other; the ids of the three versions. */
async function threeVersions(node: TestNode, name = "orders", id = "x"): Promise<readonly string[]> {
  await send(node.request, "PUT", `/collections/${name}/${encodeURIComponent(id)}`, { mine: 1 });
  const own = `${ownRun}-${node.storage.log.last.seq}`;
  await receive(node, [name, id], [
    { digit: "5", seq: 7, text: '{"theirs":1.50}' },
    { digit: "6", seq: 8, text: null },
  ]);
  return [idOf("5", 7), idOf("6", 8), own];
}

/** Lines of the feed after `since`, without place and time. */
async function feed(request: Request, since: string): Promise<readonly Body[]> {
  const text = await (await request("GET", `/changes?since=${since}&once=true`)).text();
  return text.split("\n").filter((line) => line.includes('"op"')).map((line) => {
    const { position: _, seq: __, time: ___, etag: ____, ...rest } = JSON.parse(line);
    return rest;
  });
}

/** Keys in conflict as clients see them, and what settles them. */
export function conflictsSuite(it: It): void {
  it("a key in conflict answers 409 with all versions, at both doors", async (node) => {
    const { request, storage } = node, ids = await threeVersions(node);
    const etag = `1.abababab-${storage.log.last.seq}`;
    for (const path of ["/collections/orders/x", "/docs/Orders/x", "/docs/orders/x?metadata=true"]) {
      const answer = await request("GET", path);
      assert.equal(answer.headers.get("etag"), `"${etag}"`);
      const text = await answer.clone().text();
      assert.ok(text.includes('"document":{"theirs":1.50}'), "to the letter");
      const body = await refused(answer, 409, "conflict");
      assert.deepEqual([body["id"], body["Conflicts"]], ["x", ids]);
      assert.deepEqual(
        body["Versions"].map(({ id, document }: Body) => [id, document]),
        [[ids[0], { theirs: 1.5 }], [ids[1], null], [ids[2], { mine: 1 }]],
      );
      assert.deepEqual(body["Versions"][1]["@metadata"], {
        "@id": "orders/x",
        "Last-Modified": "2023-11-14T22:13:20.000Z",
        "Raven-Replication-Source": databaseOf("6"),
        "Raven-Replication-Version": 8,
        "Raven-Replication-Run": runOf("6"),
        "Raven-Replication-Vector": `${databaseOf("6")}:${runOf("6")}:8`,
        "Raven-Delete-Marker": true,
      });
      const head = await request("HEAD", path);
      assert.deepEqual([head.status, head.headers.get("etag"), await head.text()], [409, `"${etag}"`, ""]);
    }
  }, bundle);

  it("each version is readable by its id, and only that", async (node) => {
    const { request } = node, ids = await threeVersions(node, "orders", "a/b");
    for (const at of ["/docs/orders/a/b", "/docs/orders%2Fa%2Fb", "/collections/ORDERS/a%2Fb"]) {
      const theirs = await request("GET", `${at}/conflicts/${ids[0]}`);
      assert.equal(theirs.headers.get("raven-replication-source"), databaseOf("5"));
      assert.equal(theirs.headers.get("etag"), `"${ids[0]}"`);
      assert.equal(theirs.headers.get("raven-delete-marker"), null);
      const text = await theirs.text();
      assert.match(text, /^\{"_id":"a\/b","@metadata":\{[^}]+\},"theirs":1\.50\}$/);
      const gone = await request("GET", `${at}/conflicts/${ids[1]}`);
      assert.equal(gone.headers.get("raven-delete-marker"), "true");
      const { _id, "@metadata": metadata, ...rest } = (await told(gone)).body;
      assert.deepEqual([_id, metadata["Raven-Delete-Marker"], rest], ["a/b", true, {}]);
      assert.equal((await told(request("GET", `${at}/conflicts/${ids[2]}`))).body["mine"], 1);
      await refused(request("GET", `${at}/conflicts/${idOf("5", 6)}`), 404, "not_found");
      for (const method of ["PUT", "DELETE"]) {
        const answer = await send(request, method, `${at}/conflicts/${ids[0]}`, {});
        assert.equal(answer.headers.get("allow"), "GET, HEAD");
        await refused(answer, 405, "method_not_allowed");
      }
    }
    await refused(request("GET", `/docs/none/1/conflicts/${ids[0]}`), 404, "not_found");
    await refused(request("GET", "/collections/orders/a%2Fb/conflicts/x"), 404, "not_found");
    assert.equal(
      (await send(request, "PUT", "/docs/orders/a/conflicts/b", {})).status,
      201,
      "no id of a version",
    );
  }, bundle);

  it("what does not say the whole document is refused", async (node) => {
    const { request, storage } = node, ids = await threeVersions(node), path = "/collections/orders/x";
    const { last } = storage.log;
    const patch = await refused(send(request, "PATCH", path, { n: 1 }), 409, "conflict");
    assert.deepEqual([patch["success"], patch["Conflicts"]], [false, ids]);
    const operations = [{ field: "n", op: "set", value: 1 }];
    await refused(send(request, "POST", `${path}/conditional`, { operations }), 409, "conflict");
    const inserted = await refused(
      send(request, "POST", "/collections/orders", { _id: "x" }),
      409,
      "duplicate_key",
    );
    assert.equal(inserted["id"], "x");
    const { body: bulk } = await told(send(request, "POST", "/collections/orders/bulk", [{ _id: "x" }]));
    assert.deepEqual([bulk["count"], bulk["errors"][0]["code"]], [0, "duplicate_key"]);
    await refused(
      send(request, "POST", "/collections/orders/bulk?atomic=true", [{ _id: "x" }]),
      409,
      "duplicate_key",
    );
    const first = { op: "insert", collection: "orders", doc: { _id: "y" } };
    for (
      const [operation, code] of [
        [{ op: "insert", doc: { _id: "x" } }, "duplicate_key"],
        [{ op: "replace", id: "x", doc: {} }, "conflict"],
        [{ op: "delete", id: "x" }, "conflict"],
      ] as const
    ) {
      const batch = [first, { collection: "orders", ...operation }];
      const failed = await refused(send(request, "POST", "/tx/batch", batch), 409, code);
      assert.deepEqual([failed["failedOpIndex"], failed["rolledBack"]], [1, true]);
      if (code === "conflict") assert.deepEqual(failed["Conflicts"], ids);
    }
    for (const sql of ['INSERT INTO orders VALUES {"_id":"x"}', "INSERT INTO orders (_id) VALUES ('x')"]) {
      await refused(send(request, "POST", "/query", { sql }), 409, "duplicate_key");
    }
    for (const sql of ["UPDATE orders SET mine = 2", "DELETE FROM orders WHERE mine = 1"]) {
      assert.equal((await told(send(request, "POST", "/query", { sql }))).body["affected"], 0);
    }
    const byField = await refused(request("GET", "/collections/orders/by/mine/1"), 404, "not_found");
    assert.equal(byField["conflicts"], 1);
    assert.deepEqual(storage.log.last, last, "nothing is written");
  }, bundle);

  it("lists and queries leave it out and say so", async (node) => {
    const { request } = node;
    for (const id of ["a", "x", "b"]) await send(request, "PUT", `/collections/orders/${id}`, { n: 1 });
    const { body: before } = await told(request("GET", "/collections/orders"));
    assert.deepEqual(Object.keys(before), ["collection", "documents", "count"]);
    await receive(node, ["orders", "x"], [{ digit: "5", seq: 7, text: "{}" }]);
    await send(request, "PUT", "/collections/others/o", {});
    const { body } = await told(request("GET", "/collections/orders"));
    assert.deepEqual(body["documents"].map(({ _id }: Body) => _id), ["a", "b"]);
    assert.deepEqual([body["count"], body["conflicts"]], [2, 1]);
    const page = (await told(request("GET", "/collections/orders?limit=1"))).body;
    assert.deepEqual([page["count"], page["conflicts"], typeof page["next"]], [1, 1, "string"]);
    const { body: stats } = await told(request("GET", "/stats"));
    assert.equal(stats["collections"][0]["documentCount"], 2);
    const sql = { sql: "SELECT COUNT(*) AS c FROM orders" };
    assert.equal((await told(send(request, "POST", "/query", sql))).body["documents"][0]["c"], 2);
    const asLines = { accept: "application/x-ndjson" };
    for (
      const [statement, conflicts] of [
        ["SELECT * FROM Orders LIMIT 1", 1],
        ["SELECT orders.n FROM orders CROSS JOIN others", 1],
        ["UPDATE orders SET n = 1 WHERE n = 7", 1],
        ["SELECT * FROM others", undefined],
        ["INSERT INTO others (n) VALUES (1)", undefined],
      ] as const
    ) {
      for (let i = 0; i < 2; i++) {
        const json = (await told(send(request, "POST", "/query", { sql: statement }))).body;
        assert.equal(json["conflicts"], conflicts, statement);
      }
      const lines = await (await send(request, "POST", "/query", { sql: statement }, asLines)).text();
      assert.equal(JSON.parse(lines.split("\n")[0] as string)["conflicts"], conflicts, statement);
    }
    const found = (await told(request("GET", "/collections/orders/by/n/1"))).body;
    assert.deepEqual([found["document"]["_id"], found["conflicts"]], ["a", 1]);
    const changed = (await told(send(request, "PUT", "/collections/orders/by/n/1", { n: 2 }))).body;
    assert.deepEqual([changed["id"], changed["conflicts"]], ["a", 1]);
    const deleted = (await told(request("DELETE", "/collections/orders/by/n/1"))).body;
    assert.deepEqual([deleted["deletedCount"], deleted["conflicts"]], [1, 1]);
  }, bundle);

  it("a PUT settles it, on the condition of its etag", async (node) => {
    const { request, storage } = node, ids = await threeVersions(node), path = "/docs/orders/x";
    const etag = `1.abababab-${storage.log.last.seq}`;
    await refused(send(request, "PUT", path, {}, { "if-none-match": "*" }), 412, "precondition_failed");
    const own = `1.abababab-${Number(ids[2]?.split("-")[1])}`;
    const stale = await refused(
      send(request, "PUT", path, {}, { "if-match": own }),
      412,
      "precondition_failed",
    );
    assert.equal(stale["actual"], etag);
    await refused(send(request, "DELETE", path, undefined, { "if-match": own }), 412, "precondition_failed");
    const settled = await send(request, "PUT", path, { settled: true }, { "if-match": `"${etag}"` });
    assert.equal(settled.status, 200, "the key was there");
    const answer = await request("GET", path), vector = answer.headers.get("raven-replication-vector") ?? "";
    assert.equal((await answer.json())["settled"], true);
    for (const run of [runOf("5"), runOf("6"), ownRun]) {
      assert.ok(vector.includes(run), "it has seen them all");
    }
    await refused(request("GET", `${path}/conflicts/${ids[0]}`), 404, "not_found");
    assert.deepEqual((await told(request("GET", "/conflicts"))).body, { conflicts: [], count: 0, total: 0 });
    assert.equal((await told(request("GET", "/collections/orders"))).body["conflicts"], undefined);
    await receive(node, ["orders", "x"], [{ digit: "5", seq: 7, text: '{"theirs":1.50}' }]);
    assert.equal((await request("GET", path)).status, 200, "what it has seen does not come back");
    await threeVersions(node, "orders", "y");
    assert.equal((await send(request, "PUT", "/collections/orders/y", {}, { "if-match": "*" })).status, 200);
  }, bundle);

  it("a DELETE settles it, and a key that is made again continues its history", async (node) => {
    const { request, storage } = node, ids = await threeVersions(node), path = "/collections/orders/x";
    const etag = `1.abababab-${storage.log.last.seq}`;
    assert.equal((await send(request, "DELETE", path, undefined, { "if-match": `"${etag}"` })).status, 200);
    await refused(request("GET", path), 404, "not_found");
    await refused(request("DELETE", path), 404, "not_found");
    const counts = storage.read((view) => view.versions?.counts("orders"));
    assert.deepEqual(counts, { tombstones: 1, conflicts: 0 });
    assert.equal((await send(request, "POST", "/collections/orders", { _id: "x", again: 1 })).status, 201);
    const vector = (await request("GET", "/docs/orders/x")).headers.get("raven-replication-vector") ?? "";
    for (const run of [runOf("5"), runOf("6"), ownRun]) assert.ok(vector.includes(run));
    await receive(node, ["orders", "x"], [{ digit: "5", seq: 7, text: '{"theirs":1.50}' }]);
    assert.equal((await told(request("GET", path))).body["again"], 1);
    assert.equal(ids.length, 3);
    await send(request, "PUT", "/collections/tags/t", { n: 1 });
    await send(request, "POST", "/index", { collection: "tags", path: "order" });
    const refs = [{ field: "order", collection: "orders", onDelete: "cascade" }];
    await send(request, "PUT", "/collections/orders/z", {});
    await send(request, "PUT", "/collections/tags/schema", { refs });
    await send(request, "PUT", "/collections/tags/of-z", { order: "z" });
    await receive(node, ["orders", "z"], [{ digit: "5", seq: 9, text: "{}" }, {
      digit: "6",
      seq: 9,
      text: '{"n":2}',
    }]);
    assert.equal((await request("DELETE", "/collections/orders/z")).status, 200);
    await refused(request("GET", "/collections/tags/of-z"), 404, "not_found");
  }, bundle);

  it("an automatic policy shows one version, and the others stay readable", async (node) => {
    const { request } = node, latest = { kind: "latest" } as const, late = 4_000_000_000_000;
    await receive(node, ["orders", "x"], [
      { digit: "5", seq: 7, text: '{"n":5}' },
      { digit: "6", seq: 8, text: '{"n":6}', modifiedMs: late },
    ], latest);
    const ids = [idOf("5", 7), idOf("6", 8)], shown = await request("GET", "/docs/orders/x?metadata=true");
    assert.equal(shown.headers.get("raven-replication-versions"), ids.join(", "));
    assert.equal(shown.headers.get("raven-replication-source"), databaseOf("6"));
    const body = await shown.json(), metadata = body["@metadata"];
    assert.deepEqual([body["n"], metadata["Raven-Replication-Versions"]], [6, ids]);
    assert.equal(metadata["Last-Modified"], new Date(late).toISOString());
    assert.equal(metadata["Raven-Replication-Vector"].split(", ").length, 2, "it covers both");
    assert.equal((await told(request("GET", `/docs/orders/x/conflicts/${ids[0]}`))).body["n"], 5);
    assert.equal((await told(request("GET", "/conflicts"))).body["total"], 0);
    const made = { kind: "function", resolve: () => new TextEncoder().encode('{"n":56}') } as const;
    const documents = { bytesMax: 1_000, nestingMax: 9 };
    await receive(node, ["orders", "made"], [
      { digit: "5", seq: 9, text: '{"n":5}' },
      { digit: "6", seq: 9, text: '{"n":6}' },
    ], { ...made, documents });
    const both = await request("GET", "/docs/orders/made");
    assert.equal(both.headers.get("raven-replication-source"), null, "nobody wrote it");
    assert.equal((await both.json())["n"], 56);
    await receive(node, ["orders", "gone"], [
      { digit: "5", seq: 10, text: '{"n":5}' },
      { digit: "6", seq: 10, text: null, modifiedMs: late },
    ], latest);
    for (const path of ["/docs/orders/gone", "/collections/orders/gone"]) {
      const { Versions, Conflicts } = await refused(request("GET", path), 404, "not_found");
      assert.deepEqual(Versions.map(({ document }: Body) => document), [{ n: 5 }, null]);
      assert.equal(Conflicts, undefined);
    }
  }, bundle);

  it("all conflicts, page by page", async (node) => {
    const { request } = node, keys: string[] = [];
    for (
      const [name, id] of [["orders", "a"], ["orders", "ü/b"], ["_docs", "plain"], ["Other", "c"]] as const
    ) {
      await threeVersions(node, name, id);
      keys.push(name === "_docs" ? id : `${name}/${id}`);
    }
    const whole = (await told(request("GET", "/conflicts"))).body;
    assert.deepEqual([whole["count"], whole["total"], whole["next"]], [4, 4, undefined]);
    assert.deepEqual(whole["conflicts"].map(({ key }: Body) => key).sort(), [...keys].sort());
    for (const { key, collection, id, etag, Conflicts } of whole["conflicts"]) {
      const answer = await request("GET", `/docs/${encodeURIComponent(key)}`);
      assert.equal(answer.headers.get("etag"), `"${etag}"`);
      assert.deepEqual((await refused(answer, 409, "conflict"))["Conflicts"], Conflicts);
      assert.equal(
        (await request("GET", `/collections/${collection}/${encodeURIComponent(id)}`)).status,
        409,
      );
    }
    const found: string[] = [];
    for (let after = "", pages = 0; pages < 9; pages++) {
      const { body } = await told(request("GET", `/conflicts?limit=1${after}`));
      found.push(...body["conflicts"].map(({ key }: Body) => key));
      if (body["next"] === undefined) break;
      after = `&after=${body["next"]}`;
    }
    assert.deepEqual(found, whole["conflicts"].map(({ key }: Body) => key));
    for (const after of ["x", "1-", "1-zz", "1-ff", "1-abc"]) {
      await refused(request("GET", `/conflicts?after=${after}`), 400, "bad_request");
    }
    await refused(request("GET", "/conflicts?limit=0"), 400, "bad_request");
  }, bundle);

  it("the conflicts of one collection, page by page", async (node) => {
    const { request } = node, wanted = ["orders/a", "orders/b", "orders/c"];
    const ids = [["flights", "x"], ["Orders", "b"], ["others", "y"], ["orders", "a"], [
      "orders",
      "c",
    ]] as const;
    for (const [name, id] of ids) await threeVersions(node, name, id);
    await send(request, "PUT", "/collections/quiet/q", {});
    const keysOf = (body: Body): readonly string[] =>
      body["conflicts"].map(({ key }: Body) => key.toLowerCase()).sort();
    const whole = (await told(request("GET", "/conflicts?collection=ORDERS"))).body;
    assert.deepEqual([keysOf(whole), whole["count"], whole["total"], whole["next"]], [
      wanted,
      3,
      3,
      undefined,
    ]);
    const found: string[] = [];
    for (let after = "", pages = 0; pages < 9; pages++) {
      const { body } = await told(request("GET", `/conflicts?collection=orders&limit=2${after}`));
      assert.equal(body["total"], 3);
      found.push(...keysOf(body));
      if (body["next"] === undefined) break;
      after = `&after=${body["next"]}`;
    }
    assert.deepEqual(found.sort(), wanted);
    // A place in another collection is before or behind all of it.
    const all = (await told(request("GET", "/conflicts?limit=1"))).body, place = all["next"];
    assert.deepEqual(
      keysOf((await told(request("GET", `/conflicts?collection=orders&after=${place}`))).body),
      wanted,
    );
    const { body: behind } = await told(request("GET", `/conflicts?collection=flights&after=9-61`));
    assert.deepEqual([behind["conflicts"], behind["total"], behind["next"]], [[], 1, undefined]);
    for (const name of ["quiet", "nowhere"]) {
      const { body } = await told(request("GET", `/conflicts?collection=${name}`));
      assert.deepEqual(body, { conflicts: [], count: 0, total: 0 });
    }
    await send(request, "PUT", "/docs/orders/a", {});
    const left = (await told(request("GET", "/conflicts?collection=orders"))).body;
    assert.deepEqual([keysOf(left), left["total"]], [["orders/b", "orders/c"], 2]);
    for (
      const bad of ["collection=", "collection=_settings", "collection=a%2Fb", "collection=a&collection=b"]
    ) {
      await refused(request("GET", `/conflicts?${bad}`), 400, "bad_request");
    }
  }, bundle);

  it("the feed tells when a conflict begins and what ends it", async (node) => {
    const { request, storage } = node, since = `1.abababab-${storage.log.last.seq}`;
    const ids = await threeVersions(node), about = { collection: "orders", id: "x" };
    await send(request, "PUT", "/docs/orders/x", { n: 1 });
    const settled = storage.log.last.seq;
    await receive(node, ["orders", "x"], [{ digit: "5", seq: 9, text: "{}" }]);
    await send(request, "DELETE", "/docs/orders/x");
    await send(request, "PUT", "/docs/plain", {});
    await receive(node, ["orders", "x"], [{ digit: "6", seq: 9, text: '{"n":6}' }]);
    const seen = [
      { run: runOf("6"), seq: 9 },
      { run: ownRun, seq: storage.log.last.seq },
      { run: runOf("5"), seq: 9 },
    ] as never;
    await receive(node, ["orders", "x"], [{ digit: "7", seq: 1, text: null, seen }]);
    const lines = await feed(request, since),
      withoutDocuments = lines.map(({ document: _, ...line }) => line);
    assert.deepEqual(withoutDocuments.filter(({ op }) => op !== "createCollection"), [
      { op: "put", ...about },
      { op: "conflict", ...about, Conflicts: ids },
      { op: "put", ...about },
      { op: "conflict", ...about, Conflicts: [idOf("5", 9), `${ownRun}-${settled}`] },
      { op: "delete", ...about },
      { op: "put", collection: "_docs", id: "plain" },
      { op: "conflict", ...about, Conflicts: [idOf("6", 9), `${ownRun}-${settled + 3}`] },
      { op: "delete", ...about },
    ]);
    await refused(request("GET", "/collections/orders/x"), 404, "not_found");
  }, bundle);
}
