/** Queries, indexes and patches of an embedded database. */
import assert from "node:assert/strict";
import test from "node:test";
import type { EmbeddedDatabase } from "../../src/mod.ts";
import { inFolder } from "../suites/storage_fixture.ts";
import { embedded } from "../tool/embedding.ts";

function withDatabase(run: (db: EmbeddedDatabase) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const db = await embedded.openDatabase(`${folder}/shop.dfdb`);
    try {
      await run(db);
    } finally {
      await db.close();
    }
  });
}

test("query: rows as they come, parameters by place and by name, and what a statement says of itself", async () => {
  await withDatabase(async (db) => {
    await db.bulkInsert(
      "orders",
      Array.from({ length: 2_000 }, (_, n) => ({ _id: `o${n}`, n, even: n % 2 === 0 })),
    );
    const seen: unknown[] = [];
    const result = await db.query("SELECT n FROM orders WHERE n >= ? ORDER BY n", [1_995]);
    assert.match(result.plan, /COLLECTION_SCAN/);
    for await (const { n } of result) seen.push(n);
    assert.deepEqual(seen, [1_995, 1_996, 1_997, 1_998, 1_999]);
    const [row] = await db.queryAll("SELECT COUNT(*) AS c FROM orders WHERE even = :even", { even: true });
    assert.deepEqual(row, { c: 1_000 });
    for await (const each of await db.query("SELECT * FROM orders")) {
      assert.equal(typeof each["_id"], "string");
      break; // leaving the loop ends the reading
    }
    const written = await db.query("UPDATE orders SET even = null WHERE n < 3");
    assert.equal(written.affected, 3);
    assert.equal(written.position, db.position);
    await assert.rejects(db.query("SELECT n FRM orders"), {
      code: "bad_request",
      message: /line 1, column 10/,
    });
    await assert.rejects(db.query("DELETE FROM orders", [], { readOnly: true }), { code: "forbidden" });
    await assert.rejects(db.queryAll("SELECT n FROM orders", [], { rowsMax: 10 }), {
      code: "payload_too_large",
    });
    const stop = new AbortController();
    stop.abort(new Error("not any more"));
    await assert.rejects(db.queryAll("SELECT n FROM orders", [], { signal: stop.signal }), /not any more/);
  });
});

test("few documents through an index are what they are when they are read one by one, and no more than asked for", async () => {
  await withDatabase(async (db) => {
    const given = Array.from({ length: 20 }, (_, n) => ({ _id: `o${n}`, n, of: { n }, k: n % 2 }));
    await db.bulkInsert("orders", given);
    await db.put("orders", "o3", JSON.parse('{"n":3,"k":1,"__proto__":{"x":1}}') as object);
    await db.createIndex("orders", "k");
    const sql = "SELECT * FROM orders WHERE k = ?", found = await db.queryAll(sql, [1]), one: unknown[] = [];
    for await (const row of await db.query(sql, [1])) one.push(row);
    assert.deepEqual(found, given.filter(({ k }) => k === 1).map(({ _id }) => db.get("orders", _id)));
    assert.deepEqual(one, found);
    assert.deepEqual(Object.keys(found[1]!), ["_id", "_etag", "n", "k", "__proto__"]);
    await assert.rejects(db.queryAll(sql, [1], { rowsMax: 9 }), { code: "payload_too_large" });
    assert.equal((await db.queryAll(sql, [1], { rowsMax: 10 })).length, 10);
    const [renamed] = await db.queryAll("SELECT n AS m FROM orders WHERE k = ? LIMIT 1", [0]);
    assert.deepEqual(renamed, { _id: "o0", m: 0 });
  });
});

test("indexes are made, used, enforced and dropped", async () => {
  await withDatabase(async (db) => {
    await db.bulkInsert("orders", [{ _id: "a", n: 1, t: { x: "p" } }, { _id: "b", n: 2 }]);
    assert.deepEqual(await db.createIndex("orders", "n", { unique: true }), {
      name: "idx_orders_n",
      entries: 2,
    });
    await db.createIndex("orders", ["t.x", "n"], { name: "both" });
    assert.deepEqual(
      db.indexes("orders").map(({ name, paths, unique, ready }) => ({ name, paths, unique, ready })),
      [
        { name: "idx_orders_n", paths: ["n"], unique: true, ready: true },
        { name: "both", paths: ["t.x", "n"], unique: false, ready: true },
      ],
    );
    assert.match((await db.query("SELECT * FROM orders WHERE n = 2")).plan, /idx_orders_n/);
    await assert.rejects(db.insert("orders", { n: 2 }), { code: "duplicate_key" });
    await assert.rejects(db.createIndex("orders", "n"), { code: "conflict" });
    await db.dropIndex("orders", "idx_orders_n");
    await db.insert("orders", { n: 2 });
    await assert.rejects(db.dropIndex("orders", "idx_orders_n"), { code: "not_found" });
    assert.deepEqual(db.indexes("nobody"), []);
  });
});

test("patch: a merge, operations, a condition, and what is not there", async () => {
  await withDatabase(async (db) => {
    const { _etag } = await db.put("stock", "a", { left: 3, at: { shelf: 1, row: 2 } });
    const merged = await db.patch("stock", "a", { at: { row: null }, name: "x" }, { ifMatch: _etag });
    assert.deepEqual({ ...merged, _etag: "" }, { _id: "a", _etag: "", left: 3, at: { shelf: 1 }, name: "x" });
    assert.deepEqual(db.get("stock", "a"), merged);
    const counted = await db.patch("stock", "a", { $ops: [{ field: "left", op: "dec", value: 1 }] });
    assert.equal(counted["left"], 2);
    await assert.rejects(db.patch("stock", "a", { left: 9 }, { ifMatch: _etag }), {
      code: "precondition_failed",
    });
    await assert.rejects(db.patch("stock", "b", { left: 9 }), { code: "not_found" });
    await assert.rejects(db.patch("stock", "a", { $ops: [{ field: "name", op: "inc", value: 1 }] }), {
      code: "bad_request",
    });
    assert.equal(db.get("stock", "a")?.["left"], 2);
  });
});
