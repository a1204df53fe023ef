import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { Body, It, TestNode } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const path = "/collections/orders/a";
const etagForm = /^1\.abababab-\d+$/;

interface Condition {
  readonly field: string;
  readonly op: string;
  readonly value?: unknown;
}

const patch = (node: TestNode, body: string, headers: Record<string, string> = {}) =>
  node.request("PATCH", path, { body, headers });
const conditional = (node: TestNode, conditions: readonly Condition[], operations: readonly Condition[]) =>
  node.request("POST", `${path}/conditional`, { body: JSON.stringify({ conditions, operations }) });
const stored = async ({ request }: TestNode): Promise<string> => {
  const text = await (await request("GET", path)).text();
  return text.replace(/^\{"_id":"a","_etag":"[^"]*",?/, "{");
};
/** The document's text, and the end of the log. */
const state = async (node: TestNode) => [await stored(node), node.storage.log.last.seq];

/** `PATCH /collections/{c}/{id}` and `POST /collections/{c}/{id}/conditional`. */
export function patchSuite(it: It): void {
  patchTests(it);
  guardTests(it);
  conditionalTests(it);
  limitTests(it);
}

function patchTests(it: It): void {
  it("a merge changes what it names, the rest stays to the letter, and the answer is the document", async (node) => {
    const { request } = node;
    await request("PUT", path, { body: '{"price":1.10,"a":{"x":1,"y":2},"gone":1,"name":"Zo\\u00eb"}' });
    const answer = await patch(node, ' {"a": {"y":3.0, "z":[null]}, "gone":null, "new":{"k":null,"l":1}} ');
    assert.equal(answer.status, 200);
    const text = await answer.text(), { etag, document, ...rest } = JSON.parse(text) as Body;
    assert.deepEqual(rest, { success: true, id: "a", collection: "orders" });
    assert.match(etag, etagForm);
    assert.equal(answer.headers.get("etag"), `"${etag}"`);
    assert.equal(answer.headers.get("x-dfdb-position"), etag);
    assert.equal(document["_etag"], etag);
    const get = await request("GET", path), whole = await get.text();
    assert.equal(get.headers.get("etag"), `"${etag}"`);
    assert.equal(
      whole,
      `{"_id":"a","_etag":"${etag}","price":1.10,"a":{"x":1,"y":3.0,"z":[null]},"name":"Zo\\u00eb","new":{"l":1}}`,
    );
    assert.ok(text.endsWith(`"document":${whole}}`), text);
  });

  it("operations, with their synonyms, one entry for all", async (node) => {
    await node.request("PUT", path, { body: '{"n":9007199254740990,"m":1.5,"list":[1],"x":1,"y":2,"z":3}' });
    const operations = [
      { field: "n", op: "inc", value: 1 },
      { field: "m", op: "-", value: 0.5 },
      { field: "count", op: "+", value: 2 },
      { field: "count", op: "dec", value: 5 },
      { field: "list[1]", op: "set", value: { deep: [] } },
      { field: "made.on.the.way", op: "set", value: null },
      { field: "x", op: "unset" },
      { field: "y", op: "del" },
      { field: "z", op: "delete" },
      { field: "none", op: "unset" },
    ];
    const { status, body } = await told(patch(node, JSON.stringify({ $ops: operations })));
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(await state(node), [
      '{"n":9007199254740991,"m":1,"list":[1,{"deep":[]}],"count":-3,"made":{"on":{"the":{"way":null}}}}',
      3,
    ]);
  });

  it("a patch that changes nothing is a write all the same, as a PUT of the same content", async (node) => {
    const put = await told(node.request("PUT", path, { body: '{"v":1.50}' }));
    const seen = [put.body["etag"]];
    for (const body of ["{}", '{"v":1.50}', '{"none":null}', '{"$ops":[{"field":"x","op":"unset"}]}']) {
      const { status, body: { etag } } = await told(patch(node, body));
      assert.deepEqual([status, seen.includes(etag)], [200, false]);
      seen.push(etag);
    }
    assert.deepEqual(await state(node), ['{"v":1.50}', 6]);
  });

  it("what is no patch, or does not fit the document, changes nothing", async (node) => {
    await node.request("PUT", path, { body: '{"s":"text","o":{"n":null}}' });
    const before = await state(node);
    const ops = (text: string) => `{"$ops":[{"field":"ok","op":"set","value":1},${text}]}`;
    const bad = [
      "",
      "7",
      "null",
      "[]",
      '{"a":}',
      '{"a":1,"a":2}',
      '{"n":9007199254740993}',
      '{"_id":"a"}',
      '{"_etag":"x"}',
      '{"$ops":[]}',
      '{"$ops":{}}',
      '{"$ops":[{"field":"a","op":"set","value":1}],"b":1}',
      '{"$set":{"a":1}}',
      ops('{"field":"a","op":"push","value":1}'),
      ops('{"field":"a","op":"set"}'),
      ops('{"op":"unset"}'),
      ops('{"field":"","op":"unset"}'),
      ops('{"field":"_id","op":"set","value":"b"}'),
      ops('{"field":"_etag","op":"unset"}'),
      ops('{"field":"s","op":"inc","value":1}'),
      ops('{"field":"n","op":"inc","value":"1"}'),
      ops('{"field":"s.t","op":"set","value":1}'),
      ops('{"field":"o.n.p","op":"set","value":1}'),
      ops('{"field":"list[1]","op":"set","value":1}'),
      ops('{"field":"list[*]","op":"set","value":1}'),
      `{"deep":${"[".repeat(100)}${"]".repeat(100)}}`,
    ];
    for (const body of bad) {
      const given = await refused(patch(node, body), 400, "bad_request");
      assert.notEqual(given["error"], "", body);
    }
    assert.deepEqual(await state(node), before);
  });

  it("what is not there is 404, and stays away", async ({ request, storage }) => {
    await refused(request("PATCH", "/collections/none/a", { body: '{"a":1}' }), 404, "not_found");
    await request("PUT", path, { body: "{}" });
    await refused(request("PATCH", "/collections/orders/b", { body: '{"a":1}' }), 404, "not_found");
    await refused(request("PATCH", "/collections/orders/ttl", { body: '{"a":1}' }), 400, "reserved_id");
    await refused(request("PATCH", "/collections/_own/a", { body: '{"a":1}' }), 400, "bad_request");
    assert.equal(storage.log.last.seq, 2);
    assert.equal((await request("PATCH", "/collections/ORDERS/a", { body: "{}" })).status, 200);
  });
}

function guardTests(it: It): void {
  it("If-Match guards a patch; * is no guard but wants the document", async (node) => {
    const first = await told(node.request("PUT", path, { body: "{}" }));
    const etag: string = first.body["etag"];
    const second = await told(patch(node, '{"v":1}', { "if-match": `W/"${etag}"` }));
    assert.equal(second.status, 200);
    const stale = await refused(patch(node, '{"v":2}', { "if-match": etag }), 412, "precondition_failed");
    assert.deepEqual([stale["expected"], stale["actual"]], [etag, second.body["etag"]]);
    assert.equal((await patch(node, '{"v":3}', { "if-match": "*" })).status, 200);
    await refused(patch(node, '{"v":4}', { "if-match": '"open' }), 400, "bad_request");
    await refused(patch(node, '{"v":4}', { "if-none-match": "*" }), 412, "precondition_failed");
    assert.equal(await stored(node), '{"v":3}');
    await node.request("DELETE", path);
    await refused(patch(node, '{"v":5}', { "if-match": "*" }), 404, "not_found");
    const gone = await refused(patch(node, '{"v":5}', { "if-match": etag }), 412, "precondition_failed");
    assert.equal(gone["actual"], null);
  });

  it("concurrent increments are all counted, of writers with one etag one wins", async (node) => {
    const { body: { etag } } = await told(node.request("PUT", path, { body: '{"n":0}' }));
    const inc = '{"$ops":[{"field":"n","op":"inc","value":1}]}';
    const answers = await Promise.all(Array.from({ length: 20 }, () => told(patch(node, inc))));
    const counted = answers.map(({ body }) => body["document"]["n"] as number).sort((a, b) => a - b);
    assert.deepEqual(counted, Array.from({ length: 20 }, (_, i) => i + 1));
    const now = answers.find(({ body }) => body["document"]["n"] === 20)?.body["etag"];
    assert.notEqual(now, etag);
    const guarded = await Promise.all(
      Array.from({ length: 10 }, () => patch(node, inc, { "if-match": now })),
    );
    assert.deepEqual(guarded.map(({ status }) => status).sort(), [200, ...Array(9).fill(412)]);
    assert.equal(await stored(node), '{"n":21}');
  });

  it("a node that does not write refuses", async (node) => {
    await node.request("PUT", path, { body: '{"v":1}' });
    node.state.readOnly = true;
    await refused(patch(node, "{}"), 503, "read_only");
    await refused(conditional(node, [], [{ field: "v", op: "unset" }]), 503, "read_only");
    node.state.role = "follower";
    await refused(patch(node, "{}"), 421, "not_leader");
    await refused(conditional(node, [], [{ field: "v", op: "unset" }]), 421, "not_leader");
    assert.deepEqual(await state(node), ['{"v":1}', 2]);
  });

  it("a patch that no follower confirmed says so", async (node) => {
    await refused(node.request("PUT", path, { body: '{"v":1}' }), 504, "replication_timeout");
    const body = await refused(patch(node, '{"v":2}'), 504, "replication_timeout");
    assert.deepEqual([body["seq"], await stored(node)], [3, '{"v":2}']);
  }, { around: unconfirmedPatches });
}

/** The writes are made; the answer is that no follower confirmed them. */
const unconfirmedPatches = (given: HttpDependencies): HttpDependencies => ({
  ...given,
  engine: {
    ...given.engine,
    committed: given.engine.committed,
    submit: async (plan) => {
      const { seq } = (await given.engine.submit(plan)).position;
      throw new DfdbError("replication_timeout", "not confirmed", { details: { seq } });
    },
  },
});

function conditionalTests(it: It): void {
  it("operations are carried out when all conditions hold", async (node) => {
    await node.request("PUT", path, {
      body: '{"stock":2,"status":"open","big":9007199254740991,"list":[{"k":1}]}',
    });
    const conditions = [
      { field: "stock", op: ">=", value: 1 },
      { field: "status", op: "eq", value: "open" },
      { field: "status", op: "ne", value: "closed" },
      { field: "big", op: ">", value: 9007199254740990 },
      { field: "list[*].k", op: "==", value: 1 },
      { field: "none", op: "notExists" },
      { field: "list", op: "exists" },
    ];
    const answer = await conditional(node, conditions, [
      { field: "stock", op: "dec", value: 1 },
      { field: "status", op: "set", value: "sold" },
    ]);
    const { status, body } = await told(answer);
    const { etag, document, ...rest } = body;
    assert.deepEqual([status, rest], [200, { success: true, id: "a", collection: "orders" }]);
    assert.deepEqual([document["stock"], document["status"], document["_etag"]], [1, "sold", etag]);
    assert.equal(answer.headers.get("etag"), `"${etag}"`);
    assert.match(answer.headers.get("x-dfdb-position") ?? "", etagForm);
    assert.deepEqual(await state(node), [
      '{"stock":1,"status":"sold","big":9007199254740991,"list":[{"k":1}]}',
      3,
    ]);
  });

  it("the first condition that fails is named, and nothing is changed", async (node) => {
    await node.request("PUT", path, { body: '{"stock":0,"status":"open"}' });
    const before = await state(node), take = [{ field: "stock", op: "dec", value: 1 }];
    const cases: readonly (readonly [Condition, string])[] = [
      [{ field: "stock", op: "gte", value: 1 }, "stock >= 1"],
      [{ field: "status", op: "=", value: "closed" }, 'status = "closed"'],
      [{ field: "none", op: "exists" }, "none exists"],
      [{ field: "stock", op: "!exists" }, "stock notExists"],
      [{ field: "none", op: "<", value: 5 }, "none < 5"],
    ];
    for (const [condition, failedCondition] of cases) {
      const all = [{ field: "status", op: "==", value: "open" }, condition, { field: "none", op: "exists" }];
      const body = await refused(conditional(node, all, take), 409, "condition_failed");
      assert.deepEqual([body["failedCondition"], body["failedConditionIndex"]], [failedCondition, 1]);
    }
    const long = await refused(
      conditional(node, [{ field: "status", op: "==", value: "x".repeat(10_000) }], take),
      409,
      "condition_failed",
    );
    assert.ok(long["failedCondition"].length < 200);
    assert.deepEqual(await state(node), before);
  });

  it("of many buyers as many win as there is stock", async (node) => {
    await node.request("PUT", path, { body: '{"stock":3}' });
    const answers = await Promise.all(
      Array.from({ length: 12 }, () =>
        conditional(node, [{ field: "stock", op: ">", value: 0 }], [{
          field: "stock",
          op: "dec",
          value: 1,
        }])),
    );
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, ...Array(9).fill(409)]);
    assert.deepEqual(await state(node), ['{"stock":0}', 5]);
  });

  it("without operations, with a guard that is misspelt, or without the document it is refused", async (node) => {
    const operations = '"operations":[{"field":"a","op":"set","value":1}]';
    const send = (body: string, headers: Record<string, string> = {}) =>
      node.request("POST", `${path}/conditional`, { body, headers });
    await refused(send(`{"conditions":[],${operations}}`), 404, "not_found");
    const { body: { etag } } = await told(node.request("PUT", path, { body: "{}" }));
    for (
      const body of [
        "[]",
        "{}",
        '{"conditions":[]}',
        '{"operations":[]}',
        `{"condition":[],${operations}}`,
        `{"conditions":null,${operations}}`,
        `{"conditions":[{"field":"a","op":"like","value":1}],${operations}}`,
        `{"conditions":[{"field":"a","op":"=="}],${operations}}`,
        '{"operations":[{"field":"_id","op":"set","value":"b"}]}',
      ]
    ) {
      await refused(send(body), 400, "bad_request");
    }
    await refused(send(`{${operations}}`, { "idempotency-key": "k k" }), 400, "bad_request");
    await refused(send(`{${operations}}`, { "if-match": '"1.abababab-1"' }), 412, "precondition_failed");
    assert.equal(node.storage.log.last.seq, 2);
    assert.equal((await send(`{${operations}}`, { "if-match": etag })).status, 200);
    assert.equal(await stored(node), '{"a":1}');
  });
}

function limitTests(it: It): void {
  it("a document does not grow beyond the limits by patches", async (node) => {
    await node.request("PUT", path, { body: `{"a":"${"x".repeat(600)}"}` });
    const before = await state(node), long = JSON.stringify("y".repeat(500));
    await refused(patch(node, `{"b":${long}}`), 413, "payload_too_large");
    await refused(patch(node, `{"b":${JSON.stringify("y".repeat(1_000))}}`), 413, "payload_too_large");
    await refused(patch(node, '{"$ops":[{"field":"b.c.d.e.f.g","op":"set","value":1}]}'), 400, "bad_request");
    await refused(
      conditional(node, [], [{ field: "b", op: "set", value: "y".repeat(500) }]),
      413,
      "payload_too_large",
    );
    assert.deepEqual(await state(node), before);
    assert.equal((await patch(node, `{"a":${long}}`)).status, 200);
  }, { limits: { documentBytesMax: 1_000, nestingMax: 5 } });

  it("many operations on a large document leave others their turn", async (node) => {
    const { clock, request } = node, pad = "p".repeat(500_000), count = 40;
    await request("PUT", path, { body: JSON.stringify({ pad, n: 0 }) });
    const operations = Array.from({ length: count }, () => ({ field: "n", op: "inc", value: 1 }));
    let turns = 0, done = false;
    const answer = conditional(node, [{ field: "n", op: "==", value: 0 }], operations).finally(() =>
      done = true
    );
    while (!done) {
      await new Promise<void>((resolve) => clock.macrotask(resolve));
      const seen = node.storage.read((view) => {
        const info = view.collection("orders");
        return info === null ? null : view.document(info.number, documentIdOf("a"));
      });
      assert.match(seen?.body.slice(-10) ?? "", /"n":(0|40)\}$/);
      turns++;
    }
    assert.equal((await answer).status, 200);
    assert.ok(turns >= 10, `the event loop turned ${turns} times in the meantime`);
    assert.deepEqual(await state(node), [`{"pad":"${pad}","n":${count}}`, 3]);
    const again = conditional(node, [{ field: "n", op: "==", value: 0 }], operations);
    assert.equal((await refused(again, 409, "condition_failed"))["failedConditionIndex"], 0);
    assert.equal(node.storage.log.last.seq, 3);
  });
}
