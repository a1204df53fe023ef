import assert from "node:assert/strict";
import { limits } from "../../src/base/limits.ts";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const path = "/query";

/** What a statement is answered with, without its time. */
export async function query(
  { request }: Pick<TestNode, "request">,
  sql: string,
  params?: unknown,
): Promise<Body> {
  const answer = await request("POST", path, { body: JSON.stringify({ sql, params }) });
  const { status, body } = await told(answer);
  assert.equal(status, 200, JSON.stringify(body));
  const { executionTimeMs, ...rest } = body;
  assert.equal(typeof executionTimeMs, "number");
  return rest;
}

/** Documents of a collection, one at a time. */
export async function put(
  { request }: Pick<TestNode, "request">,
  collection: string,
  documents: Readonly<Record<string, unknown>>,
): Promise<void> {
  for (const [id, document] of Object.entries(documents)) {
    const answer = await request("PUT", `/collections/${collection}/${id}`, {
      body: JSON.stringify(document),
    });
    assert.equal(answer.status, 201, await answer.text());
  }
}

const wrong = (node: TestNode, sql: unknown, params?: unknown): Promise<Body> =>
  refused(node.request("POST", path, { body: JSON.stringify({ sql, params }) }), 400, "bad_request");

/** Lines of an answer that streams, as values. */
async function ndjson(answer: Response): Promise<Body[]> {
  assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "application/x-ndjson"]);
  const text = await answer.text();
  assert.ok(text.endsWith("\n"));
  return text.slice(0, -1).split("\n").map((line) => JSON.parse(line) as Body);
}

const bulk = async ({ request }: TestNode, collection: string, count: number, pad = ""): Promise<void> => {
  const documents = Array.from(
    { length: count },
    (_, i) => ({ _id: `d${String(i).padStart(6, "0")}`, n: i, pad }),
  );
  const answer = await request("POST", `/collections/${collection}/bulk`, {
    body: JSON.stringify(documents),
  });
  assert.equal(answer.status, 200);
};

/** `POST /query`. */
export function querySuite(it: It): void {
  it("a query answers as the reference does, with parameters by place and by name", async (node) => {
    await put(node, "orders", { a: { n: 1, s: "x" }, b: { n: 2.5, s: "y" }, c: { s: "y" } });
    const found = await query(node, "SELECT * FROM orders WHERE s = ? ORDER BY n DESC", ["y"]);
    assert.deepEqual(found, {
      success: true,
      count: 2,
      affected: 0,
      plan: "COLLECTION_SCAN",
      message: null,
      documents: [
        { _id: "b", _etag: "1.abababab-3", n: 2.5, s: "y" },
        { _id: "c", _etag: "1.abababab-4", s: "y" },
      ],
    });
    const one = await query(node, "SELECT n FROM orders WHERE n = :n", { n: 1, "__proto__": 2 });
    assert.deepEqual(one["documents"], [{ _id: "a", n: 1 }]);
    assert.deepEqual((await query(node, "SELECT COUNT(*) FROM nowhere"))["documents"], [{ count: 0 }]);
    const none = await query(node, "SELECT * FROM orders WHERE n > 9", null);
    assert.deepEqual([none["count"], none["documents"]], [0, []]);
  });

  it("what is wrong with a statement is said with its place", async (node) => {
    await put(node, "orders", { a: {} });
    const body = await wrong(node, "SELECT *\nFROM orders WERE x = 1");
    assert.deepEqual([body["line"], body["column"]], [2, 13]);
    const unknown = await node.request("POST", path, { body: '{"sql":"SELECT * FROM nowhere"}' });
    const { error } = await refused(unknown, 400, "collection_not_found");
    assert.match(error, /orders/);
    for (const sql of ["", "  ", undefined, 1, null, ["SELECT 1"]]) await wrong(node, sql);
    for (const params of ["x", 1, true]) await wrong(node, "SELECT * FROM orders", params);
    await wrong(node, "SELECT * FROM orders WHERE a = ?", []);
    await wrong(node, "SELECT * FROM orders WHERE a = :b", [1]);
    await wrong(node, "SELECT * FROM orders; DELETE FROM orders");
    await wrong(node, "SELECT * FROM _settings");
    await wrong(node, "DELETE FROM _settings");
    const raw = (body: string) => refused(node.request("POST", path, { body }), 400, "bad_request");
    await raw('{"sql":"SELECT * FROM orders WHERE a = ?","params":[9007199254740993]}');
    await raw('{"sql":"SELECT * FROM orders","params":{"a":1,"a":2}}');
    await raw('{"sql":"SELECT * FROM orders","sql":"SELECT * FROM orders"}');
    await raw('{"sql":"SELECT * FROM orders WHERE a = ?","params":[1.00000000000000000001]}');
    await raw(`{"sql":"SELECT * FROM orders WHERE a = ?","params":[${"[".repeat(200)}${"]".repeat(200)}]}`);
    await raw('\ufeff{"sql":"SELECT * FROM orders"}');
    const spaced = '{ "sql": "SELECT * FROM orders WHERE a = ?",\n "params": [1.0], "other": [1, 1e400] }';
    assert.equal((await node.request("POST", path, { body: spaced })).status, 200);
    await raw("[]");
    await raw('{"sql":"SELECT * FROM orders"');
    await refused(node.request("POST", path), 400, "bad_request");
    await refused(node.request("GET", path), 405, "method_not_allowed");
  });

  it("INSERT writes all rows in one entry, and keeps texts to the letter", async (node) => {
    const { storage, request } = node;
    const one = await query(node, 'INSERT INTO Orders VALUES {"_id":"a", "v": 1.50, "s":"\\u00e9"}');
    assert.deepEqual(one, {
      ...{ success: true, count: 0, affected: 1, plan: "", message: "Inserted document a", documents: [] },
    });
    const text = await (await request("GET", "/collections/orders/a")).text();
    assert.ok(text.endsWith('"v":1.50,"s":"\\u00e9"}'), text);
    const before = storage.log.last.seq;
    const sql =
      "INSERT INTO orders (_id, at.when, n, list[0], u) VALUES ('x', NOW(), -1.50, ?, UPPER('a')), (NEWID(), NULL, 2, ?, TRUE)";
    const many = await query(node, sql, [{ deep: [1] }, "text"]);
    assert.deepEqual([many["affected"], many["message"]], [2, "Inserted 2 document(s)"]);
    assert.equal(storage.log.last.seq, before + 1);
    const { documents } = await query(node, "SELECT * FROM orders WHERE u = TRUE OR u = 'A'");
    const [x, made] = documents;
    assert.match(x.at.when, /^\d{4}-\d\d-\d\dT/);
    assert.deepEqual([x._id, x.n, x.list, x.u], ["x", -1.5, [{ deep: [1] }], "A"]);
    assert.match(made._id, /^[0-9a-f]{32}$/);
    assert.deepEqual([made.at, made.list], [{ when: null }, ["text"]]);
    assert.ok((await (await request("GET", "/collections/orders/x")).text()).includes('"n":-1.50'));
  });

  it("an INSERT that cannot be is refused whole, with its place", async (node) => {
    await put(node, "c", { taken: {} });
    const before = node.storage.log.last.seq;
    const sql = 'INSERT INTO c VALUES {"_id":"new"},\n {"_id":"taken"}';
    const body = await refused(
      node.request("POST", path, { body: JSON.stringify({ sql }) }),
      409,
      "duplicate_key",
    );
    assert.match(body["error"], /Duplicate key/);
    assert.deepEqual([body["id"], body["line"], body["column"]], ["taken", 2, 2]);
    await wrong(node, "INSERT INTO c (a, b) VALUES (1)");
    await wrong(node, "INSERT INTO c (a) VALUES (9007199254740993)");
    await wrong(node, "INSERT INTO c (_id) VALUES (1)");
    await wrong(node, "INSERT INTO c (_etag) VALUES ('x')");
    await wrong(node, "INSERT INTO c (a[*]) VALUES ('x')");
    await wrong(node, "INSERT INTO c (a[1]) VALUES ('x')");
    await wrong(node, 'INSERT INTO c VALUES {"a":1,"a":2}');
    await wrong(node, "INSERT INTO c (a) VALUES (?)");
    await wrong(node, "INSERT INTO c (a) VALUES (NOSUCH())");
    const long = await node.request("POST", path, {
      body: JSON.stringify({ sql: "INSERT INTO c (a) VALUES (?)", params: ["x".repeat(17 * 2 ** 20)] }),
    });
    await refused(long, 413, "payload_too_large");
    assert.equal(node.storage.log.last.seq, before);
  });

  it("UPDATE changes what matches in one entry; its values read the old document", async (node) => {
    const { request, storage } = node;
    await put(node, "c", { a: { n: 1, m: { x: 1 } }, b: { n: 2, keep: "é" }, c: { n: 30 } });
    const before = storage.log.last.seq;
    const done = await query(
      node,
      "UPDATE C SET n = n + 10, old = n, m.y = LOWER(?), id = NEWID(), at = NOW(), tag = _id WHERE n < 3",
      ["ABC"],
    );
    assert.deepEqual([done["affected"], done["message"], done["plan"], done["count"]], [
      2,
      "Updated 2 document(s)",
      "COLLECTION_SCAN",
      0,
    ]);
    assert.equal(storage.log.last.seq, before + 1);
    const { documents: [a, b] } = await query(node, "SELECT * FROM c WHERE n < 20 ORDER BY n");
    assert.deepEqual([a.n, a.old, a.m, a.tag], [11, 1, { x: 1, y: "abc" }, "a"]);
    assert.deepEqual([b.n, b.old, b.m, b.keep], [12, 2, { y: "abc" }, "é"]);
    assert.notEqual(a.id, b.id);
    assert.equal(a.at, b.at);
    assert.equal(a._etag, b._etag);
    const set = await request("POST", path, { body: '{"sql":"UPDATE c SET n = 1.50 WHERE _id = \'c\'"}' });
    assert.equal(set.headers.get("x-dfdb-position"), `1.abababab-${before + 2}`);
    assert.equal((await told(set)).body["plan"], "INDEX_SCAN(_id)");
    assert.ok((await (await request("GET", "/collections/c/c")).text()).endsWith('"n":1.50}'));
  });

  it("an UPDATE that cannot be made of one document is made of none", async (node) => {
    await put(node, "c", { a: { n: 1 }, b: { n: { x: 1 } } });
    const before = node.storage.log.last.seq;
    const body = await wrong(node, "UPDATE c SET n.y = 2");
    assert.deepEqual([body["id"], node.storage.log.last.seq], ["a", before]);
    for (const target of ["_id", "_etag", "_id.x", "n[*]", '"@metadata"']) {
      const { line } = await wrong(node, `UPDATE c SET ${target} = 1`);
      assert.equal(line, 1);
    }
    await wrong(node, "UPDATE c SET n = COUNT(*)");
    await wrong(node, "UPDATE c SET n = ?");
    await wrong(node, "UPDATE c SET n = 1e400");
    await wrong(node, "UPDATE c SET n = 1 WHERE COUNT(*) = 1");
    assert.equal(node.storage.log.last.seq, before);
  });

  it("DELETE takes what matches in one entry; of a collection that is not there nothing", async (node) => {
    const { storage, request } = node;
    await put(node, "c", { a: { n: 1 }, b: { n: "1" }, c: { n: 2 }, d: {} });
    const before = storage.log.last.seq;
    const done = await query(node, "DELETE FROM c WHERE n = '1'");
    assert.deepEqual([done["affected"], done["message"]], [2, "Deleted 2 document(s)"]);
    assert.equal(storage.log.last.seq, before + 1);
    assert.deepEqual((await query(node, "DELETE FROM nowhere"))["message"], "Deleted 0 document(s)");
    assert.deepEqual((await query(node, "UPDATE nowhere SET a = 1 WHERE b = 2"))["affected"], 0);
    const nothing = await request("POST", path, { body: '{"sql":"DELETE FROM c WHERE n = 99"}' });
    assert.equal((await told(nothing)).body["affected"], 0);
    assert.equal((await query(node, "DELETE FROM c"))["affected"], 2);
    assert.equal(storage.log.last.seq, before + 2);
  });

  it("many documents are changed as one, found by a scan or an index", async (node) => {
    const { storage, request } = node, count = 3 * limits.sliceOperations;
    await bulk(node, "c", count);
    const before = storage.log.last.seq;
    const changed = await query(node, "UPDATE c SET odd = n % 2, n = n + 1");
    assert.deepEqual([changed["affected"], storage.log.last.seq], [count, before + 1]);
    const sums = await query(node, "SELECT SUM(n), SUM(odd), COUNT(*) FROM c");
    assert.deepEqual(sums["documents"], [{
      "SUM(n)": count * (count + 1) / 2,
      "SUM(odd)": count / 2,
      "COUNT(*)": count,
    }]);
    await told(request("POST", "/index", { body: '{"collection":"c","path":"odd"}' }));
    const gone = await query(node, "DELETE FROM c WHERE odd = 1");
    assert.deepEqual([gone["affected"], gone["plan"]], [count / 2, "INDEX_SCAN(idx_c_odd)"]);
    assert.deepEqual((await query(node, "SELECT COUNT(*) FROM c"))["documents"], [{ count: count / 2 }]);
  });

  it("statements that write at once see each other: none is lost", async (node) => {
    await bulk(node, "c", 1_200);
    const add = (): Promise<Body> => query(node, "UPDATE c SET n = n + 1 WHERE n >= 0");
    const one = (): Promise<Body> => query(node, "UPDATE c SET n = n + 1 WHERE _id = 'd000007'");
    const all = await Promise.all([add(), one(), add(), one(), one(), add(), one()]);
    assert.deepEqual(all.map(({ affected }) => affected), [1_200, 1, 1_200, 1, 1, 1_200, 1]);
    const { documents } = await query(node, "SELECT n FROM c WHERE _id = 'd000007' OR _id = 'd000008'");
    assert.deepEqual(documents.map((row: Body) => row["n"]), [7 + 3 + 4, 8 + 3]);
  });

  it("unique keys hold for a whole statement", async (node) => {
    await put(node, "c", { a: { k: 1 }, b: { k: 2 }, c: { k: 3 } });
    const index = await query(node, "CREATE UNIQUE INDEX byK ON c (k)");
    assert.equal(index["message"], "Created index 'byK' on c(k) with 3 entries");
    const before = node.storage.log.last.seq;
    const asks = (sql: string) => node.request("POST", path, { body: JSON.stringify({ sql }) });
    for (
      const sql of [
        "UPDATE c SET k = 9",
        "UPDATE c SET k = 3 WHERE _id = 'a'",
        "INSERT INTO c (_id, k) VALUES ('d', 4), ('e', 1)",
        "INSERT INTO c (_id, k) VALUES ('d', 2)",
      ]
    ) {
      const body = await refused(asks(sql), 409, "duplicate_key");
      assert.match(body["error"], /Duplicate key/);
      assert.equal(body["index"], "byK");
    }
    assert.equal(node.storage.log.last.seq, before);
    assert.equal((await query(node, "UPDATE c SET k = k + 1"))["affected"], 3);
  });

  it("indexes come and go by statements", async (node) => {
    await put(node, "c", { a: { k: 1, l: [1, 2] } });
    const made = await query(node, "CREATE INDEX two ON C (k, l[*])");
    assert.deepEqual([made["message"], made["affected"]], [
      "Created index 'two' on c(k, l[*]) with 2 entries",
      0,
    ]);
    const ask = (sql: string, status: number, code: string) =>
      refused(node.request("POST", path, { body: JSON.stringify({ sql }) }), status, code);
    await ask("CREATE INDEX TWO ON c (x)", 409, "conflict");
    await ask("CREATE INDEX three ON c (k, l[*])", 409, "conflict");
    const { line } = await ask("CREATE INDEX a ON nowhere (k)", 400, "collection_not_found");
    assert.equal(line, 1);
    await ask("DROP INDEX a ON nowhere", 400, "collection_not_found");
    await ask("DROP INDEX a ON c", 404, "not_found");
    await ask('CREATE INDEX "_ours" ON c (k)', 400, "bad_request");
    await ask('CREATE INDEX "a b" ON c (k)', 400, "bad_request");
    assert.equal((await query(node, "DROP INDEX Two ON c"))["message"], "Dropped index 'two'");
    assert.equal((await told(node.request("GET", "/indexes/c"))).body["indexes"].length, 0);
  });

  it("a statement that writes wants a node that writes; one that reads does not", async (node) => {
    const { state, request } = node;
    await put(node, "c", { a: { n: 1 } });
    const update = () => request("POST", path, { body: '{"sql":"UPDATE c SET n = 2"}' });
    state.readOnly = true;
    await refused(update(), 503, "read_only");
    await refused(request("POST", path, { body: '{"sql":"CREATE INDEX i ON c (n)"}' }), 503, "read_only");
    state.readOnly = false;
    state.role = "follower";
    await refused(update(), 421, "not_leader");
    await wrong(node, "UPDATE c SET");
    assert.equal((await query(node, "SELECT n FROM c WHERE n = 1"))["count"], 1);
    const headers = { "x-dfdb-min-position": "1.abababab-2" };
    const read = await request("POST", path, { headers, body: '{"sql":"SELECT * FROM c"}' });
    assert.equal(read.status, 200);
    await read.text();
    await refused(
      request("POST", path, { headers: { "x-dfdb-min-position": "x" }, body: '{"sql":"SELECT * FROM c"}' }),
      400,
      "bad_request",
    );
    state.role = "none";
    await refused(
      request("POST", path, { headers: { "idempotency-key": "k k" }, body: '{"sql":"UPDATE c SET n = 2"}' }),
      400,
      "bad_request",
    );
  });

  it("lines: the plan first, then the documents, then how many there were", async (node) => {
    await put(node, "c", { a: { n: 1 }, b: { n: 2 } });
    const body = '{"sql":"SELECT * FROM c ORDER BY n"}';
    for (
      const ask of [
        { path: `${path}?stream=true`, headers: {} },
        { path, headers: { accept: "application/x-ndjson" } },
      ]
    ) {
      const answer = await node.request("POST", ask.path, { headers: ask.headers, body });
      assert.equal(answer.headers.get("x-dfdb-plan"), "COLLECTION_SCAN");
      const [meta, a, b, end, ...none] = await ndjson(answer);
      assert.deepEqual([meta?.["kind"], meta?.["plan"], meta?.["affected"]], ["meta", "COLLECTION_SCAN", 0]);
      assert.deepEqual([a?.["_id"], b?.["_id"], none.length], ["a", "b", 0]);
      assert.deepEqual([end?.["kind"], end?.["count"], typeof end?.["executionTimeMs"]], [
        "end",
        2,
        "number",
      ]);
    }
    const written = await node.request("POST", `${path}?stream=true`, { body: '{"sql":"DELETE FROM c"}' });
    assert.equal(written.headers.get("x-dfdb-count"), "0");
    const [meta, end] = await ndjson(written);
    assert.deepEqual([meta?.["affected"], meta?.["message"], end?.["count"]], [
      2,
      "Deleted 2 document(s)",
      0,
    ]);
  });

  it("a long result streams whole, as lines and as JSON", async (node) => {
    const count = 6_000;
    await bulk(node, "c", count, "p".repeat(600));
    const body = '{"sql":"SELECT * FROM c"}';
    const lines = await ndjson(await node.request("POST", `${path}?stream=true`, { body }));
    assert.deepEqual([lines.length, lines[0]?.["kind"], lines.at(-1)?.["count"]], [count + 2, "meta", count]);
    assert.deepEqual(new Set(lines.slice(1, -1).map((row) => row["_id"])).size, count);
    const all = (await told(node.request("POST", path, { body }))).body;
    assert.deepEqual([all["success"], all["count"], all["documents"].length], [true, count, count]);
    assert.deepEqual([all["affected"], all["plan"], all["message"]], [0, "COLLECTION_SCAN", null]);
  });

  it("a client that goes ends its query, and others go on", async (node) => {
    await bulk(node, "c", 6_000, "p".repeat(600));
    const answer = await node.request("POST", `${path}?stream=true`, { body: '{"sql":"SELECT * FROM c"}' });
    const reader = answer.body?.getReader();
    assert.ok(((await reader?.read())?.value?.length ?? 0) > 0);
    await reader?.cancel();
    assert.deepEqual((await query(node, "SELECT COUNT(*) FROM c WHERE n >= 0"))["documents"], [{
      count: 6_000,
    }]);
  });

  it("names, values and parameters never become part of a statement", async (node) => {
    await put(node, "c", { a: { n: 1 }, b: { n: 2 } });
    await put(node, "secret", { s: { k: "hidden" } });
    const evil = [
      "' OR 1=1 --",
      '" OR 1=1 --',
      "1; DROP TABLE docs_1",
      "docs_2",
      "?1",
      "');--",
      "\\",
      "%",
      "$.k",
    ];
    for (const text of evil) {
      assert.equal((await query(node, "SELECT * FROM c WHERE n = ?", [text]))["count"], 0);
      assert.equal((await query(node, "SELECT * FROM c WHERE n = :v", { v: text }))["count"], 0);
      const quoted = text.replaceAll("'", "''"), name = text.replaceAll('"', '""');
      assert.equal((await query(node, `SELECT * FROM c WHERE n = '${quoted}'`))["count"], 0);
      assert.equal((await query(node, `SELECT * FROM c WHERE "${name}" = 1`))["count"], 0);
      assert.equal((await query(node, `SELECT "${name}" FROM c ORDER BY "${name}"`))["count"], 2);
      assert.equal((await query(node, `DELETE FROM c WHERE "${name}" = ?`, [text]))["affected"], 0);
      assert.equal(
        (await query(node, `UPDATE c SET "${name}" = ? WHERE n = '${quoted}'`, [text]))["affected"],
        0,
      );
      await wrong(node, `SELECT * FROM "${name.replaceAll("docs_2", "docs;2")}"`);
      await wrong(node, `CREATE INDEX "${name.replaceAll("docs_2", "docs;2")}" ON c (n)`);
      const limit = await node.request("POST", path, {
        body: JSON.stringify({ sql: "SELECT * FROM c LIMIT ?", params: [text] }),
      });
      await refused(limit, 400, "bad_request");
    }
    for (const table of ["docs_1", "docs_2", "sqlite_master", "meta", "log", "collections"]) {
      await refused(
        node.request("POST", path, { body: JSON.stringify({ sql: `SELECT * FROM ${table}` }) }),
        400,
        "collection_not_found",
      );
    }
    await query(node, "UPDATE c SET x = ?", [evil.join()]);
    const { documents } = await query(node, "SELECT * FROM secret");
    assert.deepEqual(documents.map((row: Body) => row["k"]), ["hidden"]);
    assert.equal((await query(node, "SELECT * FROM c WHERE x = ?", [evil.join()]))["count"], 2);
  });
}
