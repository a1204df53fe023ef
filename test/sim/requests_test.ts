/** What answers mean, and which can never be. */
import assert from "node:assert/strict";
import test from "node:test";
import { told } from "./answers.ts";
import { damage, members, sent } from "./bodies.ts";
import { bulk, type Element } from "./bulk_requests.ts";
import { chance } from "./chance.ts";
import { answered, failed } from "./fake_client_world.ts";
import { count, drop, get, insert, type Judged, list, put, remove, type Request } from "./requests.ts";
import { type Operation, transaction } from "./transaction_requests.ts";
import { type Reply, Violation } from "./types.ts";

const at = "1.00000001-7", older = "1.00000001-3", id32 = "ab".repeat(16);
const target = { collection: "orders", id: "a b" }, content = { tag: "c1-1", text: '{"tag":"c1-1"}' };
const position = { "x-dfdb-position": at }, location = "/collections/orders/a%20b";
const done = { success: true, id: "a b", collection: "orders", etag: at };
const late = { seq: 7, required: 1, achieved: 0 };

function judge(request: Request, reply: Reply): Judged {
  assert.ok(reply.kind === "answer");
  return request.judge(told(reply.answer));
}

/** Outcome and position of each write. */
const fates = ({ writes }: Judged): unknown => writes.map(({ outcome, position }) => [outcome, position]);

test("the outcome of a write is what the answers table of GUARANTEES.md says", () => {
  const plain = put("put", target, content, null);
  assert.deepEqual(fates(judge(plain, answered(200, done, position))), [["promised", at]]);
  assert.deepEqual(fates(judge(plain, answered(201, done, { ...position, location }))), [["promised", at]]);
  assert.deepEqual(fates(judge(plain, failed(504, "replication_timeout", late))), [["kept", null]]);
  assert.deepEqual(fates(judge(plain, failed(504, "outcome_unknown"))), [["unknown", null]]);
  const refusals: readonly [number, string, Record<string, unknown>?][] = [
    [503, "read_only"],
    [503, "busy"],
    [503, "closing"],
    [507, "disk_full"],
    [421, "not_leader", { leader: null }],
  ];
  for (const [status, code, more] of refusals) {
    assert.deepEqual(fates(judge(plain, failed(status, code, more))), [["refused", null]], code);
    const written = judge(
      transaction([{ op: "delete", ...target }]),
      failed(status, code, {
        ...more,
        success: false,
        transactionId: id32,
        failedOpIndex: 1,
        rolledBack: true,
        timeMs: 1,
      }),
    );
    assert.deepEqual(fates(written), [["refused", null]], code);
  }
  const match = put("replace", target, content, { etag: older });
  const changed = judge(match, failed(412, "precondition_failed", { expected: older, actual: at }));
  assert.deepEqual([fates(changed), changed.actual, changed.writes[0]?.ifMatch], [
    [["refused", null]],
    at,
    older,
  ]);
  assert.deepEqual(
    fates(judge(drop("orders"), answered(200, { success: true, dropped: "orders" }, position))),
    [
      ["promised", at],
    ],
  );
  const gone = judge(remove(target, null), failed(404, "not_found"));
  assert.deepEqual([fates(gone), gone.reads], [[["refused", null]], [{ ...target, seen: null }]]);
  const made = judge(
    insert("orders", null, content),
    answered(201, { ...done, id: id32 }, { ...position, location: `/collections/orders/${id32}` }),
  );
  assert.deepEqual(made.writes[0]?.documents, [{ collection: "orders", id: id32, tag: "c1-1" }]);
});

test("answers that can never be are violations", () => {
  const plain = put("put", target, content, null), listed = list("orders", 2, []);
  const text = `{"_id":"a b","_etag":"${at}",${members("t", 100, chance(1, "x")).join(",")}}`;
  const document = (body: string): Reply => answered(200, body, { etag: `"${at}"` });
  assert.equal(judge(get(target), document(text)).reads[0]?.seen?.tag, "t");
  const page = { collection: "orders", count: 1, documents: [{ _id: "x", _etag: at, tag: "t" }] };
  assert.equal(judge(listed, answered(200, page)).reads.length, 1);
  const wrong: readonly (readonly [string, Request, Reply])[] = [
    ["internal", plain, failed(500, "internal", { id: "1" })],
    ["no JSON", plain, answered(200, "<html>", position)],
    ["not called JSON", plain, answered(200, done, { ...position, "content-type": "text/html" })],
    ["an unknown code", plain, failed(503, "out_of_order")],
    ["a code with another status", plain, failed(500, "read_only")],
    ["an error without a sentence", plain, answered(503, { code: "busy" })],
    ["no leader", plain, failed(421, "not_leader")],
    ["another leader in the header", plain, failed(421, "not_leader", { leader: "http://n2:5000" })],
    ["a good PUT is bad", plain, failed(400, "bad_request")],
    [
      "a plain PUT has no precondition",
      plain,
      failed(412, "precondition_failed", { expected: at, actual: at }),
    ],
    ["a timeout without figures", plain, failed(504, "replication_timeout")],
    ["no position", plain, answered(200, done)],
    ["position and etag differ", plain, answered(200, { ...done, etag: older }, position)],
    ["an etag that is none", plain, answered(200, { ...done, etag: "7" }, { "x-dfdb-position": "7" })],
    ["another id", plain, answered(200, { ...done, id: "b" }, position)],
    ["a member too many", plain, answered(200, { ...done, more: 1 }, position)],
    ["created without Location", plain, answered(201, done, position)],
    [
      "replaced against If-None-Match",
      put("create", target, content, "absent"),
      answered(200, done, position),
    ],
    [
      "created against If-Match",
      put("replace", target, content, { etag: older }),
      answered(201, done, { ...position, location }),
    ],
    [
      "what was demanded is the case",
      put("replace", target, content, { etag: at }),
      failed(412, "precondition_failed", { expected: at, actual: at }),
    ],
    [
      "nothing is there against If-None-Match",
      put("create", target, content, "absent"),
      failed(412, "precondition_failed", { expected: null, actual: null }),
    ],
    ["an etag against nothing is 412", remove(target, { etag: at }), failed(404, "not_found")],
    ["an id made by the server is taken", insert("orders", null, content), failed(409, "duplicate_key")],
    ["an insert replaces", insert("orders", "a b", content), answered(200, done, position)],
    [
      "another collection is dropped",
      drop("orders"),
      answered(200, { success: true, dropped: "people" }, position),
    ],
    ["a read is refused", get(target), failed(503, "read_only")],
    ["a cut document", get(target), document(`${text.slice(0, -20)}"}`)],
    ["a changed document", get(target), document(text.replace("pp", "pq"))],
    ["a document of another id", get({ ...target, id: "b" }), document(text)],
    ["a count that is not the length", listed, answered(200, { ...page, count: 2 })],
    ["more than the limit", list("orders", 0, []), answered(200, page)],
    ["a document without a tag", listed, answered(200, { ...page, documents: [{ _id: "x", _etag: at }] })],
    [
      "a document twice",
      listed,
      answered(200, { ...page, count: 2, documents: [...page.documents, ...page.documents] }),
    ],
    [
      "figures below zero",
      count(),
      answered(200, { position: at, collections: [{ name: "o", documentCount: -1 }] }),
    ],
  ];
  for (const [what, request, reply] of wrong) assert.throws(() => judge(request, reply), Violation, what);
});

test("a list that is whole says also what is not there", () => {
  const page = { collection: "orders", count: 1, documents: [{ _id: "x", _etag: at, tag: "t" }] };
  const request = list("orders", 10, ["x", "__proto__"]);
  const there = { collection: "orders", id: "x", seen: { tag: "t", etag: at } };
  assert.deepEqual(judge(request, answered(200, page)).reads, [
    there,
    { collection: "orders", id: "__proto__", seen: null },
  ]);
  assert.deepEqual(judge(request, answered(200, { ...page, next: "5" })).reads, [there]);
});

const elements: readonly Element[] = [
  { id: null, tag: "0", text: "{}" },
  { bad: "bad_request", text: "7" },
  { id: "a", tag: "2", text: "{}" },
  { id: null, tag: "3", text: "{}" },
  { id: "b", tag: "4", text: "{}" },
];
const badOne = { index: 1, code: "bad_request", error: "no" };
const bulkBody = { rolledBack: false, atomic: false, indexesRebuilt: 0, indexesSkipped: 0, timeSeconds: 0 };
const bulkDone = (ids: readonly string[], errors: readonly unknown[], success = errors.length === 0) => ({
  ...bulkBody,
  success,
  count: ids.length,
  ids,
  errors,
});
/** Tag, id, outcome and position of each element. */
const each = ({ writes }: Judged): unknown =>
  writes.map((
    { documents: [document], outcome, position },
  ) => [document?.tag, document?.id, outcome, position]);

test("a bulk tells the fate of each element", () => {
  const request = bulk("orders", elements), other = "cd".repeat(16);
  assert.deepEqual(
    each(judge(request, answered(200, bulkDone([id32, "a", other, "b"], [badOne]), position))),
    [
      ["0", id32, "promised", null],
      ["2", "a", "promised", null],
      ["3", other, "promised", null],
      ["4", "b", "promised", at],
    ],
  );
  const taken = { index: 4, code: "duplicate_key", error: "there" };
  assert.deepEqual(
    each(judge(request, answered(200, bulkDone([id32, "a", other], [badOne, taken]), position))),
    [
      ["0", id32, "promised", null],
      ["2", "a", "promised", null],
      ["3", other, "promised", null],
      ["4", "b", "refused", null],
    ],
  );
  const half = { error: "no", code: "read_only", ...bulkDone([id32, "a"], [badOne], false) };
  assert.deepEqual(each(judge(request, answered(503, half))), [
    ["0", id32, "promised", null],
    ["2", "a", "promised", null],
    ["3", null, "refused", null],
    ["4", "b", "refused", null],
  ]);
  const slow = {
    error: "no",
    code: "replication_timeout",
    ...late,
    ...bulkDone([id32, "b"], [badOne], false),
  };
  assert.deepEqual(each(judge(request, answered(504, slow))), [
    ["0", null, "unknown", null],
    ["2", "a", "unknown", null],
    ["3", null, "unknown", null],
    ["4", "b", "promised", null],
  ]);
  assert.deepEqual(
    each(judge(request, failed(421, "not_leader", { leader: null }))),
    [["0", null], ["2", "a"], ["3", null], ["4", "b"]].map((one) => [...one, "refused", null]),
  );
});

test("answers that a bulk can never have", () => {
  const request = bulk("orders", elements), good = [id32, "a", id32, "b"];
  const wrong: readonly (readonly [string, Reply])[] = [
    ["an id is missing", answered(200, bulkDone([id32, "a", "b"], [badOne]), position)],
    ["another order", answered(200, bulkDone(["a", id32, id32, "b"], [badOne]), position)],
    ["the bad one was taken", answered(200, bulkDone(good, []), position)],
    ["it claims success", answered(200, bulkDone(good, [badOne], true), position)],
    ["another count", answered(200, { ...bulkDone(good, [badOne]), count: 5 }, position)],
    [
      "an id of the server is taken",
      answered(200, bulkDone(good.slice(1), [badOne, { ...badOne, index: 0 }]), position),
    ],
    ["one fails twice", answered(200, bulkDone(good, [badOne, badOne]), position)],
    ["no position", answered(200, bulkDone(good, [badOne]))],
    ["a timeout without what was written", failed(504, "replication_timeout", late)],
  ];
  for (const [what, reply] of wrong) assert.throws(() => judge(request, reply), Violation, what);
});

const doc = (tag: string) => ({ tag, text: "{}" });
const operations: readonly Operation[] = [
  { op: "insert", collection: "orders", id: null, content: doc("0") },
  { op: "delete", collection: "orders", id: "x" },
  { op: "insert", collection: "orders", id: "x", content: doc("2") },
  { op: "replace", collection: "orders", id: "x", content: doc("3") },
  { op: "delete", collection: "orders", id: "y" },
  { op: "insert", collection: "people", id: "x", content: doc("5") },
  { op: "delete", collection: "people", id: "x" },
];
const results = operations.map(({ op, collection, id }) => ({
  op,
  collection,
  id: id ?? id32,
  ...(op === "delete" ? { deleted: collection === "people" } : {}),
}));
const committed = { success: true, transactionId: id32, operationCount: 7, results, timeMs: 0 };
const rolledBack = { success: false, transactionId: id32, failedOpIndex: 2, rolledBack: true, timeMs: 0 };

test("a transaction is what it comes to", () => {
  const { writes, end } = judge(transaction(operations), answered(200, committed, position));
  assert.deepEqual(writes, [{
    outcome: "promised",
    position: at,
    documents: [
      { collection: "orders", id: id32, tag: "0" },
      { collection: "orders", id: "x", tag: "3" },
    ],
  }]);
  assert.deepEqual(end, { position: at, own: true });
  assert.deepEqual(transaction(operations).intents[0]?.documents.map(({ id, tag }) => [id, tag]), [
    [null, "0"],
    ["x", "3"],
    ["y", null], // it may have been there
  ]);
  const none = transaction([{ op: "delete", ...target }]);
  const nothing = { ...committed, operationCount: 1, results: [{ op: "delete", ...target, deleted: false }] };
  const judged = judge(none, answered(200, nothing, position));
  assert.deepEqual([judged.writes, judged.end?.own], [[], false]);
});

test("answers that a transaction can never have", () => {
  const answer = (body: Record<string, unknown>): Reply => answered(200, { ...committed, ...body }, position);
  const wrong: readonly (readonly [string, Reply])[] = [
    ["another count", answer({ operationCount: 6 })],
    ["a result is missing", answer({ results: results.slice(1) })],
    [
      "a delete that does not say",
      answer({ results: results.with(1, { op: "delete", collection: "orders", id: "x" }) }),
    ],
    [
      "it deleted what it had not inserted",
      answer({ results: results.with(6, { ...results[6] as typeof results[0], deleted: false }) }),
    ],
    ["no id of the transaction", answer({ transactionId: "1" })],
    ["a delete is not found", failed(404, "not_found", { ...rolledBack, failedOpIndex: 1 })],
    ["an insert after a delete is a duplicate", failed(409, "duplicate_key", rolledBack)],
    ["a replace after an insert is not found", failed(404, "not_found", { ...rolledBack, failedOpIndex: 3 })],
    [
      "a failure that was kept",
      failed(503, "read_only", { ...rolledBack, failedOpIndex: 7, rolledBack: false }),
    ],
    [
      "a timeout that was rolled back",
      failed(504, "replication_timeout", { ...late, ...rolledBack, failedOpIndex: 7 }),
    ],
    ["a bare failure", failed(503, "busy")],
  ];
  for (const [what, reply] of wrong) {
    assert.throws(() => judge(transaction(operations), reply), Violation, what);
  }
  const fine = failed(504, "outcome_unknown", { ...rolledBack, failedOpIndex: 7, rolledBack: false });
  assert.deepEqual(fates(judge(transaction(operations), fine)), [["unknown", null]]);
});

test("documents tell whether they are whole", () => {
  const draw = chance(7, "bodies");
  for (let i = 0; i < 200; i++) {
    const list = members(`c1-${i}`, draw.between(30, 400), draw),
      text = sent(list, draw.flip(0.5) ? "x" : null, draw);
    const body = JSON.parse(text) as Record<string, unknown>;
    assert.equal(body["tag"], `c1-${i}`);
    const stored = `{${list.join(",")}}`;
    assert.equal(damage(stored), null, text);
    const middle = 12 + draw.below(stored.length - 30);
    assert.notEqual(
      damage(stored.slice(0, middle) + stored.slice(middle + 1)),
      null,
      "a character is missing",
    );
  }
});
