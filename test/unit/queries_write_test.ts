/** What a statement that writes is given to work with. */
import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import type { QueryAnswer, QueryMatch, WriteContext, Writing } from "../../src/engine/query_types.ts";
import { coded, patient } from "../suites/storage_fixture.ts";
import type { QueriesRig } from "../tool/queries_rig.ts";
import { withQueries } from "../tool/queries_rig.ts";

const answer: QueryAnswer = {
  plan: "",
  affected: 1,
  message: "done",
  position: null,
  whole: [],
  values: null,
  rows: {
    async *[Symbol.asyncIterator]() {},
  },
};

function it(what: string, run: (rig: QueriesRig) => Promise<void>): void {
  test(`queries: writing: ${what}`, patient, () => withQueries(run));
}

/** Gives what a statement means to `use`, in the place of who writes. */
function withContext(
  rig: QueriesRig,
  use: (statement: Writing, context: WriteContext) => Promise<unknown>,
): void {
  rig.write = async (statement, context) => {
    await use(statement, context);
    return answer;
  };
}

it("the documents it is about, found at once or in a thread", async (rig) => {
  rig.fill("orders", 5_000, (i) => `{"n":${i},"kind":${i % 100}}`);
  rig.index("orders", "by_n", false, "n");
  rig.index("orders", "by_kind", false, "kind");
  const cases: readonly (readonly [where: string, expected: (i: number) => boolean, threaded: boolean])[] = [
    ["WHERE n = 8", (i) => i === 8, false],
    ["WHERE _id = 'o9' AND kind = 9", (i) => i === 9, false],
    ["WHERE kind = 7", (i) => i % 100 === 7, false],
    ["WHERE kind = 7 AND n > 100 AND n != 207", (i) => i % 100 === 7 && i > 100 && i !== 207, true],
    ["WHERE n >= :from", (i) => i >= 1_000, true],
    ["", () => true, true],
    ["WHERE n = -1", () => false, false],
  ];
  for (const [where, expected, threaded] of cases) {
    const before = rig.chunks();
    withContext(rig, async (statement, { matches, inputs, sql, readOnly, timeoutMs }) => {
      assert.ok(statement.kind === "delete");
      assert.deepEqual([sql, readOnly, timeoutMs, inputs.now], [
        `DELETE FROM orders ${where}`,
        false,
        30_000,
        "2026-01-02T03:04:05.678Z",
      ]);
      const found: QueryMatch[] = [];
      for await (const some of matches(statement.where, statement.from.name)) found.push(...some);
      const wanted = Array.from({ length: 5_000 }, (_, i) => i).filter(expected);
      assert.deepEqual(found.map(({ id }) => id).sort(), wanted.map((i) => `o${i}`).sort(), where);
      for (const { id, seq, body } of found) {
        const i = Number(id.slice(1));
        assert.deepEqual([seq, body], [3 + Math.floor(i / 500), `{"n":${i},"kind":${i % 100}}`]);
      }
    });
    assert.equal(
      await rig.queries.run(`DELETE FROM orders ${where}`, { parameters: { from: 1_000 } }),
      answer,
    );
    assert.equal(rig.chunks() > before, threaded, where);
  }
});

it("who stops taking the documents frees the thread", async (rig) => {
  rig.fill("orders", 20_000, (i) => `{"n":${i},"text":"${"x".repeat(200)}"}`);
  withContext(rig, async (_, { matches }) => {
    for await (const some of matches(null, "orders")) {
      assert.ok(some.length > 0);
      break;
    }
  });
  for (let i = 0; i < 5; i++) await rig.queries.run("DELETE FROM orders");
  assert.equal((await rig.all("SELECT n FROM orders WHERE n = 3")).rows.length, 1);
});

it("what ends it: its time, whoever asked, the end", async (rig) => {
  const ended: unknown[] = [], gone = new Error("gone"), stop = new AbortController();
  withContext(rig, async (_, { signal }) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve());
    await promise;
    ended.push(signal.reason);
    throw signal.reason;
  });
  const insert = "INSERT INTO orders VALUES {}";
  await assert.rejects(rig.queries.run(insert, { timeoutMs: 20 }), coded("query_timeout"));
  const left = assert.rejects(rig.queries.run(insert, { signal: stop.signal }), (error) => error === gone);
  stop.abort(gone);
  await left;
  const last = assert.rejects(rig.queries.run(insert), coded("closing"));
  await rig.queries.close();
  await last;
  assert.deepEqual(ended.map((reason) => reason instanceof DfdbError ? reason.code : reason), [
    "query_timeout",
    gone,
    "closing",
  ]);
});

it("what it throws about a place in the text is placed; the catalog is that of the moment", async (rig) => {
  withContext(rig, (_, { catalog, readOnly }) => {
    const seen = [catalog().names(), catalog().collection("ORDERS")?.documents];
    rig.fill("orders", 3, () => "{}");
    assert.deepEqual([seen, catalog().names(), catalog().collection("ORDERS")?.documents, readOnly], [
      [[], undefined],
      ["orders"],
      3,
      true,
    ]);
    throw new DfdbError("bad_request", "not so", { details: { at: 8, more: 1 } });
  });
  await assert.rejects(rig.queries.run("DELETE\nFROM orders", { readOnly: true }), (error) => {
    assert.ok(error instanceof DfdbError);
    assert.deepEqual([error.message, error.details], ["not so (line 2, column 2)", {
      more: 1,
      line: 2,
      column: 2,
    }]);
    return true;
  });
});
