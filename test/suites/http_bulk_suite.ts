import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import type { Engine } from "../../src/engine/engine.ts";
import type { HttpDependencies } from "../../src/http/types.ts";
import type { Body, It } from "./http_fixture.ts";
import { refused, told } from "./http_fixture.ts";

const path = "/collections/orders/bulk";
const many = (count: number): string =>
  JSON.stringify(Array.from({ length: count }, (_, i) => ({ _id: `d${i}`, i })));

/** Fails the nth bulk slice as a whole. */
function failingSlice(nth: number, error: DfdbError): (given: HttpDependencies) => HttpDependencies {
  let slices = 0;
  return (given) => {
    const submit: Engine["submit"] = (plan) =>
      ++slices === nth ? Promise.reject(error) : given.engine.submit(plan);
    return { ...given, engine: { ...given.engine, submit, committed: given.engine.committed } };
  };
}

/** The first slice is kept and times out only after the second one was refused. */
function lateTimeout(given: HttpDependencies): HttpDependencies {
  const { engine } = given, refusal = Promise.withResolvers<never>();
  let slices = 0;
  const submit: Engine["submit"] = async (plan) => {
    if (++slices === 2) {
      refusal.reject(new DfdbError("read_only", "refused"));
      return refusal.promise;
    }
    await engine.submit(plan);
    await refusal.promise.catch(() => {});
    throw new DfdbError("replication_timeout", "not confirmed");
  };
  return { ...given, engine: { ...engine, submit, committed: engine.committed } };
}

/** `POST /collections/{c}/bulk`. */
export function bulkSuite(it: It): void {
  eachAloneTests(it);
  atomicTests(it);
}

function eachAloneTests(it: It): void {
  it("a bulk answers as the reference does", async ({ request }) => {
    const answer = await request("POST", path, { body: '[{"_id":"a"}, {"v":1.50} ]' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("x-dfdb-position"), "1.abababab-3");
    const { ids, timeSeconds, ...rest } = await answer.json() as Body;
    assert.deepEqual(rest, {
      success: true,
      count: 2,
      errors: [],
      rolledBack: false,
      atomic: false,
      indexesRebuilt: 0,
      indexesSkipped: 0,
    });
    assert.equal(typeof timeSeconds, "number");
    assert.equal(ids[0], "a");
    const made = await (await request("GET", `/collections/orders/${ids[1]}`)).text();
    assert.ok(made.endsWith('"v":1.50}'), made);
  });

  it("an empty bulk writes nothing", async ({ request, storage }) => {
    const { status, body } = await told(request("POST", path, { body: " [ ] " }));
    assert.deepEqual([status, body["success"], body["count"], storage.log.last.seq], [200, true, 0, 0]);
  });

  it("bad elements fail alone, with their index", async ({ request }) => {
    await request("PUT", "/collections/orders/taken", { body: "{}" });
    const elements = [
      '{"_id":"a"}', // 0
      "7",
      "null",
      "[]",
      '"text"',
      '{"_id":"taken"}', // 5
      '{"_id":"a"}',
      '{"a":1,"a":2}',
      '{"n":9007199254740993}',
      '{"x":}',
      '{"_id":"ttl"}', // 10
      '{"_id":""}',
      '{"_id":".."}',
      '{"_id":"\\ud800"}',
      '{"_id":"\\u0000"}',
      `{"_id":"${"x".repeat(513)}"}`, // 15
      "[".repeat(200) + "]".repeat(200),
      '{"_id":"b","__proto__":{"x":1},"constructor":2}',
      "{]",
    ];
    const { status, body } = await told(request("POST", path, { body: `[${elements.join(",")}]` }));
    assert.deepEqual([status, body["success"], body["count"], body["ids"]], [200, false, 2, ["a", "b"]]);
    const codes: [number, string][] = body["errors"].map((error: Body) => [error["index"], error["code"]]);
    const special = new Map([[5, "duplicate_key"], [6, "duplicate_key"], [10, "reserved_id"], [
      12,
      "reserved_id",
    ]]);
    const bad = elements.map((_, i) => i).filter((i) => i !== 0 && i !== 17);
    assert.deepEqual(codes, bad.map((i) => [i, special.get(i) ?? "bad_request"]));
    assert.ok(body["errors"].every((error: Body) => typeof error["error"] === "string"));
    const odd = await (await request("GET", "/collections/orders/b")).text();
    assert.ok(odd.endsWith('"__proto__":{"x":1},"constructor":2}'), odd);
  });

  it("a broken array writes nothing at all", async ({ request, storage }) => {
    const good = many(1_200).slice(0, -1);
    for (
      const body of [good, `${good},`, `${good}]]`, `${good},{]`, "{}", "7", "null", "", `${good},"open]`]
    ) {
      await refused(request("POST", path, { body }), 400, "bad_request");
    }
    assert.equal(storage.log.last.seq, 0);
  });

  it("a large bulk comes in whole, in order, and others get their turn", async ({ clock, request }) => {
    const count = 20_000;
    let turns = 0, done = false;
    const bulk = request("POST", path, { body: many(count) }).finally(() => done = true);
    while (!done) {
      await new Promise<void>((resolve) => clock.macrotask(resolve));
      turns++;
    }
    const { body } = await told(bulk);
    assert.deepEqual([body["success"], body["count"]], [true, count]);
    assert.deepEqual(body["ids"], Array.from({ length: count }, (_, i) => `d${i}`));
    assert.ok(turns >= 10, `the event loop turned ${turns} times in the meantime`);
    const { body: stats } = await told(request("GET", "/stats"));
    assert.equal(stats["collections"][0]["documentCount"], count);
  });

  it("too many elements are refused before anything is written", async ({ request, storage }) => {
    await refused(request("POST", path, { body: many(1_001) }), 413, "payload_too_large");
    assert.equal(storage.log.last.seq, 0);
    assert.equal((await request("POST", path, { body: many(1_000) })).status, 200);
  }, { limits: { bulkDocumentsMax: 1_000 } });

  it("parameters are read strictly", async ({ request, storage }) => {
    await refused(request("POST", `${path}?atomic=maybe`, { body: "[{}]" }), 400, "bad_request");
    assert.equal(storage.log.last.seq, 0);
    const both = await request("POST", `${path}?atomic=false&skipIndexes=true`, { body: "[{}]" });
    assert.equal(both.status, 200);
  });

  it("a bulk that fails midway says what was written", async ({ request }) => {
    const { status, body } = await told(request("POST", path, { body: many(3_000) }));
    assert.deepEqual([status, body["code"], body["success"]], [507, "disk_full", false]);
    assert.equal(body["error"], "The disk is full");
    // Slices of 500: the first two were written, and those that were already on their way behind the third.
    const ids = body["ids"] as string[];
    assert.deepEqual(ids.slice(0, 1_000), Array.from({ length: 1_000 }, (_, i) => `d${i}`));
    assert.ok(!ids.includes("d1000") && !ids.includes("d2999"));
    assert.equal(body["count"], ids.length);
    const { body: stats } = await told(request("GET", "/stats"));
    assert.equal(stats["collections"][0]["documentCount"], ids.length);
  }, { around: failingSlice(3, new DfdbError("disk_full", "The disk is full")) });

  it("a bulk on a node that is read-only writes nothing", async ({ request, state }) => {
    state.readOnly = true;
    const body = await refused(request("POST", path, { body: many(2_000) }), 503, "read_only");
    assert.deepEqual([body["count"], body["ids"], body["success"]], [0, [], false]);
  });

  it(
    "a slice that may be kept decides the answer, also when another was refused before",
    async ({ request, storage }) => {
      const body = await refused(request("POST", path, { body: many(1_000) }), 504, "replication_timeout");
      assert.deepEqual([body["count"], storage.log.last.seq], [0, 501]);
    },
    { around: lateTimeout },
  );
}

/** The writes are made; the answer is that no follower confirmed them. */
const unconfirmed = (given: HttpDependencies): HttpDependencies => ({
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

const atomicPath = `${path}?atomic=true`;

/** Without what changes from run to run. */
function atomicBody(body: Body): Body {
  const { timeSeconds, indexesRebuilt, indexesSkipped, atomic, ...rest } = body;
  assert.deepEqual([typeof timeSeconds, indexesRebuilt, indexesSkipped, atomic], ["number", 0, 0, true]);
  return rest;
}

function atomicTests(it: It): void {
  it("an atomic bulk is one entry", async ({ request, storage }) => {
    const answer = await request("POST", atomicPath, {
      body: '[{"_id":"a"}, {"v":1.50} ,{"_id":"b","x":{}}]',
    });
    assert.deepEqual([answer.status, answer.headers.get("x-dfdb-position")], [200, "1.abababab-2"]);
    const { ids, ...rest } = atomicBody(await answer.json() as Body);
    assert.deepEqual(rest, { success: true, count: 3, errors: [], rolledBack: false });
    assert.deepEqual([ids[0], ids[2], storage.log.last.seq], ["a", "b", 2]);
    const made = await (await request("GET", `/collections/orders/${ids[1]}`)).text();
    assert.ok(made.endsWith('"v":1.50}'), made);
    const empty = await told(request("POST", atomicPath, { body: "[]" }));
    assert.deepEqual([empty.status, empty.body["success"], storage.log.last.seq], [200, true, 2]);
  });

  it("an atomic bulk with a bad element writes nothing, and all bad ones are named", async ({ request, storage }) => {
    await request("PUT", "/collections/orders/taken", { body: "{}" });
    const body = await refused(
      request("POST", atomicPath, { body: '[{"_id":"a"},7,{"_id":"taken"},{"_id":"ttl"},{"a":1,"a":2}]' }),
      400,
      "bad_request",
    );
    assert.match(body["error"], /^\[1\]: /);
    const codes = body["errors"].map(({ index, code }: Body) => [index, code]);
    assert.deepEqual(codes, [[1, "bad_request"], [3, "reserved_id"], [4, "bad_request"]]);
    assert.ok(body["errors"].every(({ error }: Body) => typeof error === "string"));
    const { success, count, ids, rolledBack } = atomicBody(body);
    assert.deepEqual({ success, count, ids, rolledBack }, {
      success: false,
      count: 0,
      ids: [],
      rolledBack: true,
    });
    for (const broken of ["{}", "[{}", "[{},]", ""]) {
      await refused(request("POST", atomicPath, { body: broken }), 400, "bad_request");
    }
    assert.equal(storage.log.last.seq, 2);
  });

  it("an atomic bulk with an id that is taken, or given twice, writes nothing", async ({ request, storage }) => {
    await request("PUT", "/collections/orders/taken", { body: "{}" });
    for (const [body, index] of [['[{"_id":"a"},{"_id":"taken"}]', 1], ['[{},{"_id":"a"},{"_id":"a"}]', 2]]) {
      const answer = await request("POST", atomicPath, { body: String(body) });
      assert.equal(answer.headers.get("x-dfdb-position"), null);
      const given = await refused(answer, 409, "duplicate_key");
      const { error, errors, ...rest } = atomicBody(given);
      assert.deepEqual(errors, [{ index, error, code: "duplicate_key" }]);
      assert.deepEqual([rest["success"], rest["count"], rest["ids"], rest["rolledBack"]], [
        false,
        0,
        [],
        true,
      ]);
      assert.equal(rest["failedOpIndex"], undefined);
    }
    assert.equal(storage.log.last.seq, 2);
    await refused(request("GET", "/collections/orders/a"), 404, "not_found");
  });

  it("a large atomic bulk comes in whole or not at all, and others get their turn", async (node) => {
    const { clock, request, storage } = node, count = 10_000;
    let turns = 0, done = false;
    const bulk = request("POST", atomicPath, { body: many(count) }).finally(() => done = true);
    while (!done) {
      await new Promise<void>((resolve) => clock.macrotask(resolve));
      const documents = storage.read((view) => view.collection("orders")?.documents);
      assert.ok(documents === undefined || documents === count, `${documents} documents`);
      turns++;
    }
    const { status, body } = await told(bulk);
    assert.deepEqual([status, body["count"], storage.log.last.seq], [200, count, 2]);
    assert.deepEqual(body["ids"], Array.from({ length: count }, (_, i) => `d${i}`));
    assert.ok(turns >= 20, `the event loop turned ${turns} times in the meantime`);
    const again = await refused(request("POST", atomicPath, { body: many(count) }), 409, "duplicate_key");
    assert.deepEqual([again["errors"][0]["index"], again["rolledBack"], storage.log.last.seq], [0, true, 2]);
  });

  it("an atomic bulk that is refused as a whole blames no element", async ({ request, state, storage }) => {
    await refused(request("POST", atomicPath, { body: many(1_001) }), 413, "payload_too_large");
    state.readOnly = true;
    const body = await refused(request("POST", atomicPath, { body: many(1_000) }), 503, "read_only");
    assert.deepEqual([body["count"], body["errors"], body["rolledBack"]], [0, [], true]);
    state.role = "follower";
    await refused(request("POST", atomicPath, { body: "[{}]" }), 421, "not_leader");
    assert.equal(storage.log.last.seq, 0);
  }, { limits: { bulkDocumentsMax: 1_000 } });

  it("an atomic bulk that is more than an entry holds is refused whole", async ({ request, storage }) => {
    const pad = "p".repeat(14 * 2 ** 20);
    const body = JSON.stringify(Array.from({ length: 5 }, () => ({ pad })));
    const given = await refused(request("POST", atomicPath, { body }), 413, "payload_too_large");
    assert.deepEqual([given["errors"], given["rolledBack"], storage.log.last.seq], [[], true, 0]);
  }, { limits: { bodyBytesMax: 80 * 2 ** 20 } });

  it(
    "an atomic bulk that no follower confirmed is durable here, and says so",
    async ({ request, storage }) => {
      const body = await refused(request("POST", atomicPath, { body: many(2) }), 504, "replication_timeout");
      assert.deepEqual([body["count"], body["rolledBack"], body["success"], body["seq"]], [
        0,
        false,
        false,
        2,
      ]);
      assert.equal(storage.log.last.seq, 2);
    },
    { around: unconfirmed },
  );
}
