/** What the answers to requests that come with a feature mean, and which can never be. */
import assert from "node:assert/strict";
import test from "node:test";
import { told } from "./answers.ts";
import { atomicBulk } from "./atomic_requests.ts";
import { fields, members } from "./bodies.ts";
import { chance } from "./chance.ts";
import { conditional, patch } from "./edit_requests.ts";
import { answered, failed } from "./fake_client_world.ts";
import { allFeatures, featureNames, featuresOf, noFeatures } from "./features.ts";
import { getBy, patchBy, putBy, removeBy } from "./field_requests.ts";
import { createIndex, dropIndex } from "./index_requests.ts";
import { Repeats, underKey } from "./repeats.ts";
import type { Judged, Request } from "./requests.ts";
import { insert } from "./requests.ts";
import { underRules } from "./rule_refusals.ts";
import { searching } from "./searching_requests.ts";
import { putSchema, putTtl, removeSetting, sweep } from "./setting_requests.ts";
import { sqlDelete, sqlInsert, sqlSelect, sqlUpdate } from "./sql_requests.ts";
import { type Reply, Violation } from "./types.ts";

const at = "1.00000001-7", id32 = "ab".repeat(16), position = { "x-dfdb-position": at };
const target = { collection: "orders", id: "a" }, content = { tag: "t", text: '{"tag":"t"}' };
const place = { collection: "orders", field: "kind", value: "k1" };
const merge = { merge: { tag: "t" } };

function judge(request: Request, reply: Reply): Judged {
  assert.ok(reply.kind === "answer");
  return request.judge(told(reply.answer));
}

const outcomes = ({ writes }: Judged): unknown => writes.map(({ outcome }) => outcome);

const document = { _id: "a", _etag: at, tag: "t" };
const editAnswer = { success: true, id: "a", collection: "orders", etag: at, document };
const written = { success: true, count: 0, plan: "", executionTimeMs: 1, documents: [] };
const setting = { field: "ends", intervalSeconds: 1.5 };
const schema = { required: ["tag"], types: {}, checks: ["tag <> 't'"], refs: [] };
const bulkAnswer = { success: true, count: 1, ids: [id32], errors: [], rolledBack: false, atomic: true };
const txAnswer = {
  success: true,
  transactionId: id32,
  operationCount: 2,
  results: [{ op: "deleteByField", ...place, deleted: 0 }, { op: "insert", collection: "orders", id: id32 }],
  timeMs: 1,
};
const batch = searching([{ op: "deleteByField", ...place }, {
  op: "insert",
  collection: "orders",
  id: null,
  content,
}]);
const byAnswer = {
  success: true,
  id: "a",
  collection: "orders",
  matchedBy: { field: "kind", value: "k1" },
  plan: "",
};
const deleted = { success: true, collection: "orders", plan: "", executionTimeMs: 1 };
const indexMade = { collection: "orders", name: "i_1", unique: true, fields: ["serial"] };
const selectAnswer = { success: true, count: 1, affected: 0, plan: "", executionTimeMs: 1, message: null };

test("answers that are right are promises, and tell what must have been so", () => {
  const etag = { ...position, etag: `"${at}"` };
  const right: readonly (readonly [Request, Reply])[] = [
    [patch(target, "t", merge, null), answered(200, editAnswer, etag)],
    [conditional(target, "t", { conditions: [], operations: [] }), answered(200, editAnswer, etag)],
    [patchBy(place, "t", merge), answered(200, editAnswer, etag)],
    [putBy(place, content), answered(200, byAnswer, position)],
    [removeBy(place), answered(200, { ...deleted, deletedCount: 2 }, position)],
    [
      sqlInsert("orders", [{ ...content, id: "a" }]),
      answered(200, { ...written, affected: 1, message: "Inserted document a" }, position),
    ],
    [
      sqlUpdate("orders", [], "t*", 1),
      answered(200, { ...written, affected: 3, message: "Updated 3 document(s)" }, position),
    ],
    [
      sqlDelete("orders", []),
      answered(200, { ...written, affected: 3, message: "Deleted 3 document(s)" }, position),
    ],
    [atomicBulk("orders", [{ ...content, id: null }]), answered(200, bulkAnswer, position)],
    [batch, answered(200, txAnswer, position)],
    [
      createIndex(indexMade, "route"),
      answered(200, {
        success: true,
        message: "Created index 'i_1' on orders(serial)",
        name: "i_1",
        totalIndexes: 1,
      }, position),
    ],
    [
      dropIndex("orders", "i_1", "sql"),
      answered(200, { ...written, affected: 0, message: "Dropped index 'i_1'" }, position),
    ],
    [putSchema("orders", "t", schema), answered(200, { success: true, schema }, position)],
    [putTtl("orders", 1.5), answered(200, { success: true, collection: "Orders", ...setting }, position)],
    [
      removeSetting("ttl", "orders"),
      answered(200, { success: true, collection: "orders", removed: true }, position),
    ],
  ];
  for (const [request, reply] of right) {
    assert.deepEqual(outcomes(judge(request, reply)), ["promised"], request.ask.path);
  }
  const claims = (request: Request, reply: Reply): number => judge(request, reply).claims?.length ?? 0;
  assert.equal(
    claims(
      getBy(place),
      answered(200, {
        collection: "orders",
        document: { ...document, kind: "k1" },
        plan: "",
        executionTimeMs: 1,
      }),
    ),
    1,
  );
  assert.equal(claims(getBy(place), failed(404, "not_found")), 1);
  assert.equal(claims(removeBy(place), answered(200, { ...deleted, deletedCount: 0 })), 1);
  assert.equal(
    claims(sqlSelect("orders", [], "count"), answered(200, { ...selectAnswer, documents: [{ n: 3 }] })),
    1,
  );
  assert.equal(claims(sqlSelect("orders", [], "count"), failed(400, "collection_not_found")), 1);
  assert.deepEqual(outcomes(judge(sweep(), answered(200, { success: true, deleted: 4 }, position))), []);
});

test("refusals of them keep nothing", () => {
  const failure = { failedCondition: "size", failedConditionIndex: 0 };
  const guarded = conditional(target, "t", { conditions: [{ field: "size", op: "exists" }], operations: [] });
  const refused: readonly (readonly [Request, Reply])[] = [
    [guarded, failed(409, "condition_failed", failure)],
    [createIndex(indexMade, "sql"), failed(409, "duplicate_key", { index: "i_1", id: "a", otherId: "b" })],
    [createIndex(indexMade, "route"), failed(409, "conflict")],
    [dropIndex("orders", "i", "route"), failed(404, "not_found")],
    [sqlDelete("orders", []), failed(503, "query_timeout")],
    [removeSetting("schema", "orders"), failed(404, "not_found")],
    [
      atomicBulk("orders", [{ ...content, id: "a" }]),
      failed(409, "duplicate_key", {
        ids: [],
        errors: [{ index: 0, error: "x", code: "duplicate_key" }],
        rolledBack: true,
      }),
    ],
  ];
  for (const [request, reply] of refused) {
    assert.deepEqual(outcomes(judge(request, reply)), ["refused"], request.ask.path);
  }
  assert.deepEqual(outcomes(judge(putTtl("orders", 1.5), failed(409, "conflict"))), ["unknown"]);
});

test("a rule refuses only where a world has rules", () => {
  const plain = insert("orders", "a", content),
    unique = failed(409, "duplicate_key", { index: "i", id: "b" });
  const violated = failed(400, "schema_violation", { rule: "check", id: "a" });
  const ruled = underRules(plain, allFeatures);
  for (const reply of [unique, violated]) {
    const { claims } = judge(ruled, reply);
    assert.deepEqual([outcomes(judge(ruled, reply)), claims?.length], [["refused"], 1]);
  }
  assert.throws(() => judge(underRules(plain, noFeatures), violated), Violation);
  const made = failed(409, "duplicate_key", {
    error: 'Document "b" has the key in the unique index "i", which is being made',
    ...{ index: "i", id: "b" },
  });
  const [claim] = judge(ruled, made).claims ?? [], of = { made: { unique: true, paths: [["s"]] } };
  const is = (collection: string, name: string) => claim?.making?.({ collection, name, ...of });
  assert.deepEqual([is("Orders", "i"), is("people", "i"), is("orders", "j")], [true, false, false]);
  assert.equal(judge(ruled, made).claims?.length, 1);
  assert.equal(judge(ruled, unique).claims?.[0]?.making, undefined, "it must be there");
  assert.equal(judge(ruled, failed(409, "duplicate_key", { id: "a" })).claims, undefined, "it is the id's");
});

test("answers to them that can never be are violations", () => {
  const etag = { ...position, etag: `"${at}"` };
  const wrong: readonly (readonly [string, Request, Reply])[] = [
    ["another tag", patch(target, "u", merge, null), answered(200, editAnswer, etag)],
    ["another id", patch({ ...target, id: "b" }, "t", merge, null), answered(200, editAnswer, etag)],
    [
      "another etag in the header",
      patch(target, "t", merge, null),
      answered(200, editAnswer, { ...position, etag: '"x"' }),
    ],
    ["no condition", patch(target, "t", merge, null), failed(409, "condition_failed")],
    [
      "a condition that was not sent",
      conditional(target, "t", { conditions: [], operations: [] }),
      failed(409, "condition_failed", { failedConditionIndex: 0 }),
    ],
    [
      "found by another value",
      getBy(place),
      answered(200, {
        collection: "orders",
        document: { ...document, kind: "k2" },
        plan: "",
        executionTimeMs: 1,
      }),
    ],
    [
      "matched by something else",
      putBy(place, content),
      answered(200, { ...byAnswer, matchedBy: { field: "kind", value: "k2" } }, position),
    ],
    ["deleted at no position", removeBy(place), answered(200, { ...deleted, deletedCount: 2 })],
    [
      "another number of rows",
      sqlInsert("orders", [{ ...content, id: "a" }]),
      answered(200, { ...written, affected: 2, message: "Inserted document a" }, position),
    ],
    [
      "rows of a statement that writes",
      sqlDelete("orders", []),
      answered(200, { ...written, affected: 1, message: "Deleted 1 document(s)", documents: [{}] }, position),
    ],
    [
      "a bulk in part",
      atomicBulk("orders", [{ ...content, id: null }]),
      answered(200, { ...bulkAnswer, ids: [], count: 0 }, position),
    ],
    [
      "a bad element that was taken",
      atomicBulk("orders", [{ ...content, id: null }, { bad: "bad_request", text: "7" }]),
      answered(200, bulkAnswer, position),
    ],
    [
      "a bulk that failed and kept some",
      atomicBulk("orders", [{ ...content, id: "a" }]),
      failed(409, "duplicate_key", { ids: ["a"], errors: [], rolledBack: true }),
    ],
    ["a result too few", batch, answered(200, { ...txAnswer, results: [] }, position)],
    [
      "a transaction that failed at the wrong operation",
      batch,
      failed(404, "not_found", { failedOpIndex: 0, rolledBack: true }),
    ],
    [
      "another index",
      createIndex(indexMade, "route"),
      answered(
        200,
        { success: true, message: "Created index 'j' on", name: "i_1", totalIndexes: 1 },
        position,
      ),
    ],
    [
      "one document twice",
      createIndex(indexMade, "sql"),
      failed(409, "duplicate_key", { id: "a", otherId: "a" }),
    ],
    [
      "duplicates in an index that may have them",
      createIndex({ ...indexMade, unique: false }, "sql"),
      failed(409, "duplicate_key", { id: "a", otherId: "b" }),
    ],
    [
      "another schema",
      putSchema("orders", "t", { ...schema, required: [] }),
      answered(200, { success: true, schema }, position),
    ],
    [
      "another interval",
      putTtl("orders", 2),
      answered(200, { success: true, collection: "orders", ...setting }, position),
    ],
    [
      "not a count",
      sqlSelect("orders", [], "count"),
      answered(200, { ...selectAnswer, count: 2, documents: [{ n: 3 }] }),
    ],
    ["no sweep", sweep(), answered(200, { success: true }, position)],
  ];
  for (const [what, request, reply] of wrong) assert.throws(() => judge(request, reply), Violation, what);
});

const keyed = (): Request => underKey(insert("orders", "a", content), "k");
const done = answered(201, { success: true, id: "a", collection: "orders", etag: at }, {
  ...position,
  location: "/collections/orders/a",
});

/** Attempts at one request; `draws`: what chance says. */
function attempts(...replies: readonly (Reply | "lost")[]): readonly Judged[] {
  const draw = {
    ...chance(1, "x"),
    flip: () => false,
    pick: <Item>(list: readonly Item[]) => list[0] as Item,
  };
  const repeats = new Repeats(draw), first = keyed();
  return replies.map((reply, i) => {
    const request = i === 0 ? first : repeats.next() as Request;
    assert.equal(request.ask.headers?.["idempotency-key"], "k");
    const lost = {
      writes: request.intents.map((one) => ({ ...one, outcome: "unknown", position: null } as const)),
      reads: [],
    };
    return repeats.learn(request, reply === "lost" ? lost : judge(request, reply));
  });
}

test("a request that is sent again is one write, and what became of it is known at last", () => {
  const [first, second] = attempts("lost", done);
  assert.deepEqual(outcomes(first as Judged), ["unknown"]);
  const [write] = second?.writes ?? [];
  assert.deepEqual([write?.outcome, write?.repeated, write?.once?.key, second?.end], [
    "promised",
    true,
    "k",
    undefined,
  ]);
  assert.equal(write?.once?.answer?.status, 201);
  // One refusal is none as long as it may be sent again; six of them are.
  const busy = failed(503, "busy");
  const all = attempts(busy, busy, busy, busy, busy, busy);
  assert.deepEqual(all.map(outcomes), [[], [], [], [], [], ["refused"]]);
  assert.deepEqual(attempts("lost", busy, busy, busy, busy, busy).map(outcomes), [
    ["unknown"],
    [],
    [],
    [],
    [],
    [],
  ]);
  assert.throws(
    () => attempts("lost", failed(409, "conflict", { idempotencyKey: "k" })),
    Violation,
    "nobody else used it",
  );
});

test("another body under the key may meet a conflict, which says that something is remembered", () => {
  let other = true;
  const draw = {
    ...chance(1, "x"),
    flip: (rate: number) => rate === 0.1 && other,
    pick: <Item>(list: readonly Item[]) => list[0] as Item,
  };
  const repeats = new Repeats(draw), first = keyed();
  repeats.learn(first, judge(first, done));
  const again = repeats.next() as Request;
  assert.notEqual(again.ask.body, first.ask.body);
  const conflict = judge(again, failed(409, "conflict", { idempotencyKey: "k" }));
  assert.deepEqual([outcomes(conflict), conflict.claims?.length], [["refused"], 1]);
  assert.deepEqual(outcomes(repeats.learn(again, conflict)), []);
  other = false;
  assert.equal(repeats.next()?.ask.body, first.ask.body);
});

test("features come in random sets, two worlds of five have none, and documents have fields where they are asked for", () => {
  const sets = Array.from({ length: 400 }, (_, seed) => featuresOf(chance(seed, "swarm features")));
  const none = sets.filter((features) => featureNames.every((name) => !features[name])).length;
  assert.ok(none > 130 && none < 190, `${none}`);
  for (const name of featureNames) {
    const on = sets.filter((features) => features[name]);
    assert.ok(on.length > 40 && on.length < 200, `${name}: ${on.length}`);
    for (const other of featureNames) {
      assert.ok(other === name || on.some((features) => !features[other]), `${name} never without ${other}`);
    }
  }
  const draw = chance(1, "fields");
  assert.deepEqual(fields(noFeatures, "t", 0, draw), []);
  const text = `{${members("t", 200, draw, fields(allFeatures, "t", 1_790_000_000_000, draw)).join()}}`;
  assert.match(text, /^\{"tag":"t","kind":"k\d","size":\d+,/);
  assert.equal(typeof JSON.parse(text).sum, "string");
});
