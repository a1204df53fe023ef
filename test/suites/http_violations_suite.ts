import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { documentIdOf, seqOf } from "../../src/base/ids.ts";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";
import { put } from "./http_query_suite.ts";
import { receive } from "./version_writes.ts";

const bundle = { bundle: true } as const;

const post = ({ request }: TestNode, path: string, body: Body): Promise<Response> =>
  request("POST", path, { body: JSON.stringify(body) });

const get = async ({ request }: TestNode, path: string): Promise<Body> => {
  const { status, body } = await told(request("GET", path));
  assert.equal(status, 200, JSON.stringify(body));
  return body;
};

/** By the name of an index; undefined: it says nothing of it. */
async function counted(node: TestNode, collection: string): Promise<Body> {
  const { indexes } = await get(node, `/indexes/${collection}?violations=true`);
  return Object.fromEntries(indexes.map(({ name, violations }: Body) => [name, violations]));
}

const schemaCount = async (node: TestNode, collection: string): Promise<number | null> =>
  (await get(node, `/collections/${collection}/schema?violations=true`))["violations"];

/** Documents as another master sends them, which asks neither indexes nor schemas. */
async function receiveAll(
  node: TestNode,
  collection: string,
  documents: Readonly<Record<string, unknown>>,
  seq = 1,
): Promise<void> {
  for (const [id, document] of Object.entries(documents)) {
    await receive(node, [collection, id], [{ digit: "5", seq: seq++, text: JSON.stringify(document) }]);
  }
}

/** `?violations=true`: what breaks unique indexes and schemas, because it came from another master. */
export function violationsSuite(it: It): void {
  it(
    "a unique index says how many documents share a key with an earlier one, when it is asked",
    async (node) => {
      for (
        const [name, path, unique] of [
          ["byMail", "mail", true],
          ["byBoth", "a, b", true],
          ["byTag", "tags[*]", true],
          ["byTown", "town", false],
        ] as const
      ) {
        assert.equal((await post(node, "/index", { collection: "people", name, path, unique })).status, 200);
      }
      await put(node, "people", {
        p1: { mail: "x", a: 1, b: 1, tags: ["s", "t"], town: "Bonn" },
        p2: { mail: "y", a: 1, b: 2, tags: ["u"], town: "Bonn" },
      });
      assert.deepEqual(await counted(node, "People"), {
        byMail: 0,
        byBoth: 0,
        byTag: 0,
        byTown: undefined,
      });
      await receiveAll(node, "people", {
        q1: { mail: "x", a: 1, b: null, tags: ["s", "t", "u"] }, // two tags of one, one of another: it is one document
        q2: { mail: "x", a: 1, b: 1, tags: ["v", "v"] },
        q3: { mail: null, a: 1, b: null, tags: [] }, // a key of which a part is null is nobody's
        q4: { a: 1, tags: [null] },
      });
      const { indexes } = await get(node, "/indexes/people");
      for (const index of indexes) assert.ok(!("violations" in index), "only when it is asked for");
      assert.deepEqual((await get(node, "/indexes/people?violations=false"))["indexes"], indexes);
      assert.deepEqual(await counted(node, "people"), { byMail: 2, byBoth: 1, byTag: 1, byTown: undefined });
      // Who is written here is held back still; who is in conflict is no document.
      await refused(
        node.request("PUT", "/collections/people/p3", { body: '{"mail":"x"}' }),
        409,
        "duplicate_key",
      );
      await receive(node, ["people", "q2"], [{ digit: "6", seq: 1, text: "{}" }]);
      assert.deepEqual(await counted(node, "people"), { byMail: 1, byBoth: 0, byTag: 1, byTown: undefined });
      assert.equal((await node.request("DELETE", "/collections/people/p1")).status, 200);
      assert.equal((await counted(node, "people"))["byMail"], 0, "q1 is the only one now");
    },
    bundle,
  );

  it("a schema says how many documents do not meet it, whatever brought them", async (node) => {
    await put(node, "towns", { bonn: { n: 1 } });
    await receive(node, ["towns", "köln"], [{ digit: "6", seq: 1, text: "{}" }]);
    await put(node, "people", { before: { n: "one" } });
    await post(node, "/index", { collection: "people", path: "town" });
    const schema = {
      required: ["n"],
      types: { n: "int" },
      checks: ["n > 0"],
      refs: [{ field: "town", collection: "Towns" }],
    };
    const path = "/collections/people/schema";
    const { body: { schema: kept } } = await told(
      node.request("PUT", path, { body: JSON.stringify(schema) }),
    );
    assert.deepEqual(await get(node, path), kept);
    assert.deepEqual(await get(node, `${path}?violations=true`), { ...kept, violations: 1 });
    await put(node, "people", { good: { n: 1, town: "bonn" }, alone: { n: 2, town: null } });
    await receiveAll(node, "people", {
      none: {},
      kind: { n: 1.5 },
      check: { n: -1, town: "nowhere" }, // it is one document
      town: { n: 1, town: "nowhere" },
      fine: { n: 1, town: "köln" },
      number: { n: 1, town: 7 },
    });
    assert.equal(await schemaCount(node, "PEOPLE"), 6);
    await refused(
      node.request("PUT", "/collections/people/none", { body: '{"n":0}' }),
      400,
      "schema_violation",
    );
    // A deletion that comes from elsewhere does not ask who refers to it.
    await receive(node, ["towns", "köln"], [{ digit: "6", seq: 2, text: null }]);
    assert.equal(await schemaCount(node, "people"), 7, "fine refers to nothing any more");
    await node.request("PUT", "/collections/people/before", { body: '{"n":1}' });
    assert.equal(await schemaCount(node, "people"), 6);
    await told(node.request("DELETE", path));
    await refused(node.request("GET", `${path}?violations=true`), 404, "not_found");
  }, bundle);

  it("many documents are counted in slices, with the bundle and without", async (node) => {
    const many = Array.from({ length: 2_500 }, (_, i) => ({ _id: `d${i}`, n: i % 10 === 0 ? "x" : i, m: i }));
    assert.equal((await post(node, "/collections/c/bulk", many)).status, 200);
    await post(node, "/index", { collection: "c", path: "m", name: "byM", unique: true });
    assert.deepEqual(await counted(node, "c"), { byM: 0 });
    await node.request("PUT", "/collections/c/schema", { body: '{"types":{"n":"int"}}' });
    assert.equal(await schemaCount(node, "c"), 250);
    await node.request("PUT", "/collections/empty/schema", { body: '{"required":["n"]}' });
    assert.equal(await schemaCount(node, "empty"), 0, "there is no such collection yet");
    assert.deepEqual(await counted(node, "empty"), {});
  });

  it("what cannot be known is null, and what is asked wrongly is refused", async (node) => {
    const { request, engine } = node;
    await put(node, "c", { a: { n: 1 } });
    await request("PUT", "/collections/c/schema", { body: '{"required":["n"]}' });
    // As a newer version might write it.
    await engine.submit({
      bytes: 0,
      run(tx, wallMs) {
        const collection = tx.collection("_settings")!.number, id = documentIdOf("c/schema");
        const previous = tx.documentSeq(collection, id), body = utf8('{"moods":["n"]}');
        assert.notEqual(previous, seqOf(0));
        tx.append([{ kind: "put", collection, id, previous, body }], wallMs);
      },
    });
    assert.deepEqual(await get(node, "/collections/c/schema?violations=true"), {
      moods: ["n"],
      violations: null,
    });
    for (const path of ["/indexes/c", "/collections/c/schema"]) {
      for (const query of ["violations=yes", "violations=", "violations=true&violations=true"]) {
        await refused(request("GET", `${path}?${query}`), 400, "bad_request");
      }
    }
  });
}
