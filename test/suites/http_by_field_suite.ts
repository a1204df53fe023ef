import assert from "node:assert/strict";
import { limits } from "../../src/base/limits.ts";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { put, query } from "./http_query_suite.ts";

const documents = {
  a: { pnr: "A/1 ü", n: 42, p: { name: "x" }, tags: ["s", "t"] },
  b: { pnr: "B", n: "42", p: { name: "y" } },
  c: { pnr: "C", n: 43, on: true },
};

const batch = ({ request }: TestNode, operations: readonly Body[]): Promise<Response> =>
  request("POST", "/tx/batch", { body: JSON.stringify(operations) });

/** `/collections/{c}/by/{field}/{value}`, and `deleteByField` of a batch. */
export function byFieldSuite(it: It): void {
  it("a document is read by a field, compared as text", async (node) => {
    const { request } = node;
    await put(node, "c", documents);
    const by = (field: string, value: string) =>
      request("GET", `/collections/C/by/${encodeURIComponent(field)}/${encodeURIComponent(value)}`);
    const { status, body: { executionTimeMs, ...rest } } = await told(by("pnr", "A/1 ü"));
    assert.equal(typeof executionTimeMs, "number");
    assert.deepEqual([status, rest], [200, {
      collection: "C",
      plan: "COLLECTION_SCAN",
      document: { _id: "a", _etag: "1.abababab-2", ...documents.a },
    }]);
    const cases = [["n", "42", "a"], ["p.name", "y", "b"], ["tags[1]", "t", "a"], ["tags[*]", "s", "a"], [
      "_id",
      "c",
      "c",
    ], ["on", "true", "c"]] as const;
    for (const [field, value, id] of cases) {
      assert.equal((await told(by(field, value))).body["document"]["_id"], id, field);
    }
    await refused(by("pnr", "none"), 404, "not_found");
    await refused(request("GET", "/collections/none/by/a/b"), 404, "collection_not_found");
    for (const field of ["a..b", "[0]", "a[", "a]", ".a", "*each"]) {
      await refused(by(field, "x"), 400, "bad_request");
    }
    await refused(request("GET", "/collections/_settings/by/a/b"), 400, "bad_request");
    await told(request("POST", "/index", { body: '{"collection":"c","path":"pnr"}' }));
    assert.equal((await told(by("pnr", "B"))).body["plan"], "INDEX_SCAN(idx_c_pnr)");
  });

  it("the first match is replaced or patched", async (node) => {
    const { request } = node;
    await put(node, "c", documents);
    const done = await request("PUT", "/collections/c/by/pnr/B", { body: '{"pnr":"B2","v":1.50}' });
    assert.match(done.headers.get("x-dfdb-position") ?? "", /^1\.abababab-5$/);
    assert.deepEqual((await told(done)).body, {
      success: true,
      id: "b",
      collection: "c",
      matchedBy: { field: "pnr", value: "B" },
      plan: "COLLECTION_SCAN",
    });
    assert.ok((await (await request("GET", "/collections/c/b")).text()).endsWith('"pnr":"B2","v":1.50}'));
    await refused(request("PUT", "/collections/c/by/pnr/B", { body: "{}" }), 404, "not_found");
    await refused(request("PUT", "/collections/c/by/pnr/B2", { body: '{"_id":"x"}' }), 400, "bad_request");
    const stale = { headers: { "if-match": '"1.abababab-3"' }, body: "{}" };
    await refused(request("PUT", "/collections/c/by/pnr/B2", stale), 412, "precondition_failed");
    const patched = await told(request("PATCH", "/collections/c/by/n/43", { body: '{"on":null,"w":1}' }));
    assert.deepEqual([patched.status, patched.body["success"], patched.body["id"]], [200, true, "c"]);
    assert.deepEqual(patched.body["document"], {
      _id: "c",
      _etag: patched.body["etag"],
      pnr: "C",
      n: 43,
      w: 1,
    });
    await refused(request("PATCH", "/collections/c/by/n/99", { body: "{}" }), 404, "not_found");
    await refused(request("PATCH", "/collections/c/by/n/43", { body: "[]" }), 400, "bad_request");
  });

  it("several who replace by one field at once do it one after the other", async (node) => {
    await put(node, "c", { a: { k: "x", n: 0 } });
    const add = (i: number) =>
      node.request("PATCH", "/collections/c/by/k/x", {
        body: `{"$ops":[{"field":"n","op":"inc","value":1},{"field":"i${i}","op":"set","value":1}]}`,
      });
    const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => add(i)));
    assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200, 200]);
    assert.deepEqual((await told(node.request("GET", "/collections/c/a"))).body["n"], 5);
  });

  it("all matches are deleted, in one entry", async (node) => {
    await put(node, "c", documents);
    const { status, body: { executionTimeMs, ...rest } } = await told(
      node.request("DELETE", "/collections/c/by/n/42"),
    );
    assert.equal(typeof executionTimeMs, "number");
    assert.deepEqual([status, rest], [200, {
      success: true,
      collection: "c",
      deletedCount: 2,
      plan: "COLLECTION_SCAN",
    }]);
    assert.equal(node.storage.log.last.seq, 5);
    assert.equal((await told(node.request("DELETE", "/collections/c/by/n/42"))).body["deletedCount"], 0);
    await refused(node.request("DELETE", "/collections/none/by/n/42"), 404, "collection_not_found");
  });

  it("writes by a field want a node that writes", async (node) => {
    await put(node, "c", documents);
    node.state.role = "follower";
    for (const method of ["PUT", "PATCH", "DELETE"]) {
      const body = method === "DELETE" ? {} : { body: "{}" };
      await refused(node.request(method, "/collections/c/by/n/42", body), 421, "not_leader");
    }
    assert.equal((await node.request("GET", "/collections/c/by/n/42")).status, 200);
  });

  it("fields and values of a path never become part of a statement", async (node) => {
    await put(node, "c", { ...documents, d: { 'x" = 1 OR "n': 1, "select": 2 } });
    const by = (field: string, value: string, method = "GET") =>
      node.request(method, `/collections/c/by/${encodeURIComponent(field)}/${encodeURIComponent(value)}`);
    assert.equal((await told(by('x" = 1 OR "n', "1"))).body["document"]["_id"], "d");
    assert.equal((await told(by("select", "2"))).body["document"]["_id"], "d");
    for (const value of ["' OR 1=1 --", '" OR "n', "?", "x) OR (1"]) {
      await refused(by("n", value), 404, "not_found");
      await refused(by(`n${value}`, "42"), 404, "not_found");
      assert.equal((await told(by("n", value, "DELETE"))).body["deletedCount"], 0);
      assert.equal((await told(by(`n = 42 OR ${value}`, "42", "DELETE"))).body["deletedCount"], 0);
    }
    assert.deepEqual((await query(node, "SELECT COUNT(*) FROM c"))["documents"], [{ count: 4 }]);
  });

  it("a batch deletes by field what is there by then", async (node) => {
    await put(node, "c", documents);
    const before = node.storage.log.last.seq;
    const answer = await told(batch(node, [
      { op: "insert", collection: "c", doc: { _id: "new", n: 42 } },
      { op: "replace", collection: "c", id: "b", doc: { n: 1 } },
      { op: "deleteByField", collection: "C", field: "n", value: "42" },
      { op: "deleteByField", collection: "c", field: "n", value: 42 },
      { op: "insert", collection: "c", doc: { _id: "a", n: 42 } },
      { op: "deleteByField", collection: "c", field: "on", value: true },
      { op: "insert", collection: "d", doc: { _id: "x", n: 7 } },
      { op: "deleteByField", collection: "d", field: "n", value: "7" },
      { op: "deleteByField", collection: "none", field: "n", value: "7" },
    ]));
    assert.deepEqual([answer.status, answer.body["success"]], [200, true], JSON.stringify(answer.body));
    assert.deepEqual(
      answer.body["results"].map(({ deleted }: Body) => deleted),
      [undefined, undefined, 2, 0, undefined, 1, undefined, 1, 0],
    );
    assert.deepEqual(answer.body["results"][2], {
      op: "deleteByField",
      collection: "C",
      field: "n",
      value: "42",
      deleted: 2,
    });
    assert.equal(node.storage.log.last.seq, before + 1);
    const left = (await query(node, "SELECT n FROM c ORDER BY _id"))["documents"];
    assert.deepEqual(left, [{ _id: "a", n: 42 }, { _id: "b", n: 1 }]);
    assert.deepEqual((await told(node.request("GET", "/collections"))).body["collections"], ["c"]);
  });

  it("a batch finds many by a scan and by an index", async (node) => {
    const count = 5 * limits.sliceOperations;
    const many = Array.from({ length: count }, (_, i) => ({ _id: `d${i}`, odd: i % 2, k: i }));
    await node.request("POST", "/collections/c/bulk", { body: JSON.stringify(many) });
    const deletes = (field: string, value: unknown) =>
      told(batch(node, [{ op: "deleteByField", collection: "c", field, value }]));
    assert.equal((await deletes("k", "7")).body["results"][0]["deleted"], 1);
    await told(node.request("POST", "/index", { body: '{"collection":"c","path":"odd"}' }));
    await told(node.request("POST", "/index", { body: '{"collection":"c","path":"k"}' }));
    assert.equal((await deletes("k", 8)).body["results"][0]["deleted"], 1);
    assert.equal((await deletes("odd", 1)).body["results"][0]["deleted"], count / 2 - 1);
    assert.deepEqual((await query(node, "SELECT COUNT(*) FROM c"))["documents"], [{ count: count / 2 - 1 }]);
  });

  it("a batch with an operation that names no field or no value is refused whole", async (node) => {
    await put(node, "c", documents);
    const before = node.storage.log.last.seq;
    const good = { op: "insert", collection: "c", doc: {} };
    for (
      const bad of [
        { collection: "c", field: "n" },
        { collection: "c", value: "n" },
        { collection: "c", field: "a..b", value: "n" },
        { collection: "c", field: 1, value: "n" },
        { collection: "c", field: "n", value: null },
        { collection: "c", field: "n", value: [] },
        { collection: "_c", field: "n", value: 1 },
        { field: "n", value: 1 },
      ]
    ) {
      const body = await refused(batch(node, [good, { op: "deleteByField", ...bad }]), 400, "bad_request");
      assert.equal(body["failedOpIndex"], 1);
    }
    assert.equal(node.storage.log.last.seq, before);
  });
}
