/** Statements that read: at once, in a thread, handed over; ends of all kinds. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { limits } from "../../src/base/limits.ts";
import type { QueryOptions } from "../../src/engine/query_types.ts";
import { copyDatabase } from "../../src/storage/sqlite/copy_database.ts";
import { installSnapshot } from "../../src/storage/sqlite/install_snapshot.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { coded, patient, put, start, testOptions, wall } from "../suites/storage_fixture.ts";
import type { QueriesRig } from "../tool/queries_rig.ts";
import { allRows, withQueries } from "../tool/queries_rig.ts";

const order = (i: number): string =>
  `{"pnr":"P${i}","n":${i},"kind":"k${i % 10}","tags":["t${i % 3}"],"e":1.50}`;

function it(what: string, run: (rig: QueriesRig) => Promise<void>): void {
  test(`queries: ${what}`, patient, () => withQueries(run));
}

/** 300 orders with indexes. */
function orders(rig: QueriesRig, count = 300): void {
  rig.fill("orders", count, order);
  rig.index("orders", "by_pnr", true, "pnr");
  rig.index("orders", "by_kind", false, "kind");
}

/** Rows, plan, and whether a thread was needed. */
async function ran(rig: QueriesRig, sql: string, options?: QueryOptions) {
  const before = rig.chunks(), { rows, plan } = await rig.all(sql, options);
  return { rows, plan, threaded: rig.chunks() > before };
}

it("lookups and short lists are read at once, anything that may take long in a thread", async (rig) => {
  orders(rig);
  const etag = "1.11111111-3",
    doc = (i: number): string => `{"_id":"o${i}","_etag":"${etag}",${order(i).slice(1)}`;
  const first30 = (of: (i: number) => boolean): string[] =>
    Array.from({ length: 300 }, (_, i) => i).filter(of).map(doc);
  const cases: readonly (readonly [sql: string, plan: string, threaded: boolean, rows: readonly string[]])[] =
    [
      ["SELECT * FROM orders WHERE pnr = 'P7'", "INDEX_SCAN(by_pnr)", false, [doc(7)]],
      ["SELECT * FROM orders WHERE pnr = 'P7' AND n = 8", "INDEX_SCAN(by_pnr)", false, []],
      ["SELECT * FROM orders WHERE pnr IN ('P7', 'P9', 'x')", "INDEX_SCAN_MULTI(by_pnr, 3 keys)", false, [
        doc(7),
        doc(9),
      ]],
      ["SELECT * FROM orders WHERE _id = 'o5'", "INDEX_SCAN(_id)", false, [doc(5)]],
      ["SELECT * FROM orders WHERE _id = 'o5' AND e = 1.5 ORDER BY n", "INDEX_SCAN(_id)", false, [doc(5)]],
      ["SELECT * FROM orders WHERE kind = 'k4'", "INDEX_SCAN(by_kind)", false, first30((i) => i % 10 === 4)],
      ["SELECT * FROM orders LIMIT 3", "COLLECTION_SCAN", false, [doc(0), doc(1), doc(2)]],
      ["SELECT * FROM orders LIMIT 2 OFFSET 3", "COLLECTION_SCAN", false, [doc(3), doc(4)]],
      ["SELECT pnr, e FROM orders ORDER BY pnr DESC LIMIT 1", "INDEX_SCAN(by_pnr)", false, [
        '{"_id":"o99","pnr":"P99","e":1.50}',
      ]],
      ["SELECT pnr FROM orders WHERE kind = 'k4' ORDER BY kind LIMIT 1", "INDEX_SCAN(by_kind)", false, [
        '{"_id":"o4","pnr":"P4"}',
      ]],
      ["SELECT COUNT(*) FROM orders", "COLLECTION_COUNT + AGGREGATE", false, ['{"count":300}']],
      ["SELECT COUNT(*) FROM nowhere", "COLLECTION_COUNT + AGGREGATE", false, ['{"count":0}']],
      ["SELECT NOW() AS now, NEWID() AS id FROM orders LIMIT 1", "COLLECTION_SCAN", false, [
        '{"_id":"o0","now":"2026-01-02T03:04:05.678Z","id":"new1"}',
      ]],
      ["SELECT * FROM orders WHERE n = 5", "COLLECTION_SCAN", true, [doc(5)]],
      ["SELECT * FROM orders WHERE n < 0", "COLLECTION_SCAN", true, []],
      ["SELECT * FROM orders WHERE kind = 'k4' AND n = 14", "INDEX_SCAN(by_kind)", true, [doc(14)]],
      ["SELECT * FROM orders WHERE kind = 'k4' ORDER BY n DESC LIMIT 1", "INDEX_SCAN(by_kind)", true, [
        doc(294),
      ]],
      ["SELECT * FROM orders LIMIT 1 OFFSET 1200", "COLLECTION_SCAN", true, []],
      ["SELECT pnr FROM orders ORDER BY n DESC LIMIT 1", "COLLECTION_SCAN", true, [
        '{"_id":"o299","pnr":"P299"}',
      ]],
      ["SELECT _etag FROM orders WHERE n = 1", "COLLECTION_SCAN", true, [`{"_id":"o1","_etag":"${etag}"}`]],
      [
        "SELECT kind, COUNT(*) AS n FROM orders GROUP BY kind ORDER BY kind LIMIT 1",
        "COLLECTION_SCAN + AGGREGATE",
        true,
        ['{"kind":"k0","n":30}'],
      ],
      ["SELECT DISTINCT tags[*] FROM orders LIMIT 1", "COLLECTION_SCAN + DISTINCT", true, [
        '{"tags[*]":["t0"]}',
      ]],
    ];
  for (const [sql, plan, threaded, rows] of cases) {
    const expected = /OFFSET 1200/.test(sql) ? { rows, plan } : { rows, plan, threaded };
    for (let again = 0; again < 2; again++) {
      const { threaded: really, ...found } = await ran(rig, sql.replaceAll("new1", ""));
      const shown = { ...found, rows: found.rows.map((row) => row.replace(/"new[0-9]+"/, '"new1"')) };
      assert.deepEqual("threaded" in expected ? { ...shown, threaded: really } : shown, expected, sql);
    }
  }
  assert.equal(rig.threads.size, 1);
});

it("a thread gives the same texts as this one", async (rig) => {
  rig.fill(
    "orders",
    200,
    (i) =>
      `{"n":${i},"s":${JSON.stringify(`ä\u2028"\\ ${i}`)},"big":9007199254740993,"x":{"y":[1e2,null,true]}}`,
  );
  for (const items of ["*", "n, s, big, x", "_etag, x.y, x.y[*], big + 1 AS more"]) {
    const here = await ran(rig, `SELECT ${items} FROM orders`);
    const there = await ran(rig, `SELECT ${items} FROM orders WHERE n >= 0`);
    assert.deepEqual([here.threaded, there.threaded, here.rows.length], [false, true, 200]);
    assert.deepEqual(there.rows, here.rows);
  }
});

it("what is more than may be read at once is read anew in a thread, and the next time at once there", async (rig) => {
  orders(rig, 3_000);
  const ids = Array.from({ length: 3_000 }, (_, i) => `o${i}`), { queryAtOnceRows } = limits;
  const idsOf = (rows: readonly string[]): string[] => rows.map((row) => JSON.parse(row)._id);
  const sql = "SELECT * FROM orders WHERE kind = ? ";
  for (let again = 0; again < 2; again++) {
    const { rows, threaded, plan } = await ran(rig, sql, { parameters: ["k1"] });
    assert.deepEqual([idsOf(rows), threaded, plan], [
      ids.filter((_, i) => i % 10 === 1),
      true,
      "INDEX_SCAN(by_kind)",
    ]);
  }
  assert.equal((await ran(rig, sql, { parameters: ["none"] })).threaded, true, "it was large the last time");
  assert.equal((await ran(rig, sql, { parameters: ["none"] })).threaded, false);
  assert.deepEqual(idsOf((await ran(rig, "SELECT * FROM orders")).rows), ids);
  assert.equal((await ran(rig, `SELECT * FROM orders LIMIT ${queryAtOnceRows}`)).threaded, false);
  assert.equal((await ran(rig, `SELECT * FROM orders LIMIT ${queryAtOnceRows + 1}`)).threaded, true);
  rig.fill("large", 9, () => `{"text":"${"x".repeat(limits.queryAtOnceChars / 8)}"}`);
  assert.equal((await ran(rig, "SELECT * FROM large LIMIT 8")).threaded, false);
  assert.equal((await ran(rig, "SELECT * FROM large LIMIT 9")).threaded, true);
});

it("a thread sees what was committed when it was asked", async (rig) => {
  rig.fill("orders", 1, order);
  for (let i = 1; i <= 40; i++) {
    rig.fill("orders", 1, order, i);
    const { rows } = await ran(rig, "SELECT COUNT(*) AS n FROM orders WHERE n >= 0");
    assert.deepEqual(rows, [`{"n":${i + 1}}`]);
  }
});

it("200,000 rows come one chunk after the other", async (rig) => {
  rig.fill("orders", 200_000, (i) => `{"n":${i}}`);
  let rows = 0, chunks = 0;
  const { rows: stream, whole } = await rig.queries.run("SELECT n FROM orders WHERE n >= 0", {
    timeoutMs: 100_000,
  });
  assert.equal(whole, null);
  const wrong: string[] = [];
  for await (const chunk of stream) {
    for (const row of chunk) if (row !== `{"_id":"o${rows}","n":${rows++}}`) wrong.push(row);
    chunks++;
  }
  assert.deepEqual([rows, wrong], [200_000, []]);
  assert.ok(chunks >= 200_000 / limits.queryChunkRows, `${chunks}`);
});

it("a reader that stops taking holds a few chunks, whoever else asks is answered", async (rig) => {
  rig.fill("orders", 20_000, (i) => `{"n":${i},"text":"${"x".repeat(100)}"}`);
  const { rows } = await rig.queries.run("SELECT * FROM orders WHERE n >= 0");
  const slow = rows[Symbol.asyncIterator]();
  await slow.next();
  for (let i = 0; i < 20; i++) await rig.all(`SELECT n FROM orders WHERE n = ${i}`);
  assert.ok(rig.chunks() - 20 <= 2 + limits.queryChunksAhead, `${rig.chunks() - 20} chunks came`);
  let left = 0;
  for (let step = await slow.next(); step.done !== true; step = await slow.next()) left++;
  assert.ok(left > 20, `${left}`);
});

it("more rows than asked for are refused after so many", async (rig) => {
  rig.fill("orders", 5_000, order);
  for (const sql of ["SELECT n FROM orders LIMIT 5", "SELECT n FROM orders WHERE n >= 0"]) {
    const { rows, whole } = await rig.queries.run(sql, { rowsMax: 3 });
    const seen: string[] = [];
    await assert.rejects(async () => {
      for await (const chunk of rows) seen.push(...chunk);
    }, coded("payload_too_large"));
    assert.deepEqual([seen.length, whole], [3, null]);
    assert.equal((await rig.all("SELECT n FROM orders LIMIT 3", { rowsMax: 3 })).rows.length, 3);
  }
  await assert.rejects(rig.all("SELECT n FROM orders LIMIT 1", { rowsMax: 0 }), coded("payload_too_large"));
  assert.equal((await rig.all("SELECT n FROM orders WHERE n = -1", { rowsMax: 0 })).rows.length, 0);
});

/** Something that takes hours. */
const endless = "SELECT COUNT(*) AS n FROM a CROSS JOIN b CROSS JOIN c WHERE a.n + b.n + c.n = -1";
function endlessData(rig: QueriesRig): void {
  for (const name of ["a", "b", "c"]) rig.fill(name, 2_000, (i) => `{"n":${i}}`);
}

/** No transaction of a thread holds the file. */
function assertFree(rig: QueriesRig): void {
  rig.fill("other", 1, () => "{}", Math.floor(Number(rig.runtime.clock.monotonic()) * 1000));
  // What this connection itself reads is let go by a write.
  rig.storage.write(() => {});
  const db = new DatabaseSync(rig.path);
  try {
    assert.equal(db.prepare("PRAGMA wal_checkpoint(truncate)").get()?.["busy"], 0);
  } finally {
    db.close();
  }
}

it("a deadline cuts what SQLite is at, and the thread goes on", async (rig) => {
  endlessData(rig);
  const statements = [
    endless,
    "SELECT a.n FROM a CROSS JOIN b CROSS JOIN c WHERE a.n + b.n + c.n = -1",
    "SELECT a.n, COUNT(*) FROM a CROSS JOIN b CROSS JOIN c GROUP BY a.n",
    "SELECT DISTINCT b.n FROM a CROSS JOIN b CROSS JOIN c ORDER BY c.n",
  ];
  for (const sql of statements) {
    await assert.rejects(rig.queries.run(sql, { timeoutMs: 50 }), (error) => {
      assert.ok(error instanceof DfdbError);
      assert.deepEqual([error.code, error.details], ["query_timeout", { timeoutMs: 50 }]);
      return true;
    }, sql);
    assert.deepEqual((await rig.all("SELECT n FROM a WHERE n = 7")).rows, ['{"_id":"o7","n":7}']);
  }
  await rig.until(() => rig.left() === statements.length);
  assertFree(rig);
});

it("a deadline ends a result that nobody takes", async (rig) => {
  rig.fill("orders", 20_000, (i) => `{"n":${i},"text":"${"x".repeat(100)}"}`);
  await rig.all("SELECT n FROM orders WHERE n = 7"); // the thread is there
  const left = Promise.withResolvers<void>();
  rig.onPost = ({ type }) => {
    if (type === "leave") left.resolve();
  };
  const { rows } = await rig.queries.run("SELECT * FROM orders WHERE n >= 0", { timeoutMs: 100_000 });
  const reader = rows[Symbol.asyncIterator]();
  await reader.next();
  rig.hurry();
  await left.promise;
  await assert.rejects(async () => await reader.next(), coded("query_timeout"));
  assert.equal((await rig.all("SELECT n FROM orders WHERE n = 7")).rows.length, 1);
  await rig.until(() => rig.left() === 1);
  assertFree(rig);
});

it("whether who asked has gone is looked at only where it takes a thread", async (rig) => {
  orders(rig);
  const gone = new Error("gone"), stop = new AbortController();
  let asked = 0;
  const signal = (): AbortSignal => {
    asked++;
    return stop.signal;
  };
  assert.equal((await rig.all("SELECT * FROM orders WHERE pnr = 'P7'", { signal })).rows.length, 1);
  assert.equal(asked, 0);
  assert.equal((await rig.all("SELECT * FROM orders WHERE n = 7", { signal })).rows.length, 1);
  assert.equal(asked, 1);
  stop.abort(gone);
  await assert.rejects(
    rig.queries.run("SELECT * FROM orders WHERE n = 7", { signal }),
    (error) => error === gone,
  );
});

it("a document that is too large to be read with others is read, now and from then on", async (rig) => {
  const text = (chars: number): string => `{"text":"${"x".repeat(chars)}"}`;
  const bodies = [text(1), text(limits.queryAtOnceBodyBytes), text(2)];
  rig.fill("mixed", 3, (i) => bodies[i]!);
  for (let again = 0; again < 2; again++) {
    const { rows, threaded } = await ran(rig, "SELECT * FROM mixed LIMIT 3");
    assert.deepEqual([rows.map((row) => `{${row.slice(row.indexOf('"text"'))}`), threaded], [bodies, false]);
  }
});

it("who asked goes: before, within a step, between chunks", async (rig) => {
  endlessData(rig);
  rig.fill("orders", 20_000, (i) => `{"n":${i},"text":"${"x".repeat(100)}"}`);
  const gone = new Error("gone"), stop = new AbortController();
  const running = rig.queries.run(endless, { signal: stop.signal });
  rig.runtime.clock.timer(30, () => stop.abort(gone));
  await assert.rejects(running, (error) => error === gone);
  await assert.rejects(rig.queries.run(endless, { signal: stop.signal }), (error) => error === gone);
  const between = new AbortController();
  const { rows } = await rig.queries.run("SELECT * FROM orders WHERE n >= 0", { signal: between.signal });
  const reader = rows[Symbol.asyncIterator]();
  await reader.next();
  between.abort(gone);
  await assert.rejects(async () => await reader.next(), (error) => error === gone);
  for await (const _ of (await rig.queries.run("SELECT * FROM orders WHERE n >= 0")).rows) break;
  const { rows: left } = await rig.queries.run("SELECT * FROM orders WHERE n >= 0");
  await left[Symbol.asyncIterator]().return?.();
  assert.equal((await rig.all("SELECT n FROM orders WHERE n = 7")).rows.length, 1);
  await rig.until(() => rig.left() === 4);
  assertFree(rig);
});

it("100 at once share the threads", async (rig) => {
  orders(rig);
  const asked = Array.from(
    { length: 100 },
    (_, i) =>
      rig.all(
        i % 4 === 0 ? "SELECT * FROM orders WHERE pnr = ?" : "SELECT * FROM orders WHERE pnr = ? OR n < 0",
        {
          parameters: [`P${i}`],
        },
      ),
  );
  const answers = await Promise.all(asked);
  assert.deepEqual(answers.map(({ rows }) => rows.map((row) => JSON.parse(row).n)), asked.map((_, i) => [i]));
  assert.ok(rig.threads.size <= limits.queryThreads, `${rig.threads.size}`);
});

it("a statement is compiled anew for what has changed, also on its way to a thread", async (rig) => {
  rig.fill("orders", 10, order);
  const sql = "SELECT pnr FROM orders WHERE n = 3";
  const plan = async (): Promise<string> => (await rig.all(sql)).plan;
  assert.equal(await plan(), "COLLECTION_SCAN");
  rig.index("orders", "by_n", false, "n");
  assert.equal(await plan(), "INDEX_SCAN(by_n)");
  const changing = "SELECT pnr FROM orders WHERE kind = 'k3'";
  assert.deepEqual((await rig.all(changing)).rows, ['{"_id":"o3","pnr":"P3"}']);
  rig.onPost = () => {
    rig.onPost = () => {};
    rig.drop("orders");
    rig.fill("orders", 10, (i) => `{"pnr":"new ${i}","kind":"k${i}"}`);
  };
  assert.deepEqual((await rig.all(changing)).rows, ['{"_id":"o3","pnr":"new 3"}']);
  rig.onPost = () => {
    rig.onPost = () => {};
    rig.drop("orders");
  };
  await assert.rejects(rig.all(changing), (error) => {
    assert.ok(error instanceof DfdbError);
    assert.deepEqual([error.code, error.details], ["collection_not_found", { line: 1, column: 17 }]);
    return true;
  });
});

it("a snapshot is installed under a query: it keeps the old content, the next one sees the new", async (rig) => {
  rig.fill("orders", 20_000, (i) => `{"n":${i},"text":"${"x".repeat(100)}"}`);
  const source = `${rig.path}.source`, other = await openStorage(testOptions(source));
  start(other, "first");
  other.write((tx) => {
    const collection = tx.newCollectionNumber();
    tx.append([
      { kind: "createCollection", collection, name: "orders" },
      put(collection, "new", 0, '{"n":7}'),
    ], wall);
  });
  other.close();
  const { rows } = await rig.queries.run("SELECT * FROM orders WHERE n >= 0");
  const reader = rows[Symbol.asyncIterator](), first = await reader.next();
  const old: string[] = [...first.done === true ? [] : first.value];
  let asked: Promise<readonly string[]> | null = null, told = 0;
  await rig.storage.exchange(async () => {
    await installSnapshot({ source, target: rig.path });
    asked = rig.all("SELECT n FROM orders WHERE n = 7").then(({ rows }) => rows).finally(() => told++);
    await rig.until(() => rig.stale() > 0);
    assert.equal(told, 0, "what it was compiled for is not there in the new content, which nobody sees yet");
  });
  assert.deepEqual(await asked, ['{"_id":"new","n":7}']);
  assert.equal(rig.stale(), 1);
  assert.deepEqual((await rig.all("SELECT * FROM orders WHERE n = 7")).rows, [
    '{"_id":"new","_etag":"1.11111111-3","n":7}',
  ]);
  for (let step = await reader.next(); step.done !== true; step = await reader.next()) {
    old.push(...step.value);
  }
  assert.equal(old.length, 20_000);
});

it("while a snapshot is being installed nobody is told of the new content, and then sees the old", async (rig) => {
  rig.fill("orders", 500, (i) => `{"n":${i}}`);
  const source = `${rig.path}.source`, count = "SELECT COUNT(*) AS n FROM orders WHERE n >= 0";
  copyDatabase({ path: rig.path, target: source });
  const other = await openStorage(testOptions(source)),
    { number } = other.read((view) => view.collection("orders"))!;
  other.write((tx) => void tx.append([put(number, "more", 0, '{"n":500}')], wall));
  other.close();
  const { storage } = rig, had = (): number => storage.read((view) => view.collection("orders"))!.documents;
  let asked: Promise<readonly string[]> | null = null, told = 0;
  await storage.exchange(async () => {
    assert.deepEqual((await rig.all(count)).rows, ['{"n":500}'], "nothing is new yet");
    await installSnapshot({ source, target: rig.path });
    const chunks = rig.chunks();
    asked = rig.all(count).then(({ rows }) => rows).finally(() => told++);
    await rig.until(() => rig.chunks() > chunks);
    await assert.rejects(rig.all(count, { timeoutMs: 50 }), coded("query_timeout"));
    assert.deepEqual([told, had()], [0, 500]);
  });
  assert.deepEqual([await asked, had()], [['{"n":501}'], 501]);
});

it("reserved collections are refused, and not named", async (rig) => {
  rig.fill("_settings", 1, order);
  rig.fill("orders", 1, order);
  for (const sql of ["SELECT * FROM _settings", 'SELECT COUNT(*) FROM "_Settings" WHERE n = 0']) {
    await assert.rejects(rig.all(sql), coded("bad_request"));
  }
  await assert.rejects(rig.all("SELECT * FROM nowhere"), (error) => {
    assert.match(
      (error as Error).message,
      /^there is no collection "nowhere"; there are: orders \(line 1, column 15\)$/,
    );
    return true;
  });
});

it("what is wrong with a statement is told with its place", async (rig) => {
  rig.fill("orders", 1, order);
  const refused: readonly (readonly [sql: string, line: number, column: number])[] = [
    ["SELECT *\nFRM orders", 2, 1],
    ["SELECT n\nFROM orders WHERE n = ?", 2, 23],
    ["SELECT * FROM orders GROUP BY n", 1, 15],
  ];
  for (const [sql, line, column] of refused) {
    await assert.rejects(rig.queries.run(sql), (error) => {
      assert.ok(error instanceof DfdbError && error.code === "bad_request", String(error));
      assert.deepEqual([error.details["line"], error.details["column"]], [line, column], error.message);
      return true;
    });
  }
});

it("the end: what runs and what waits is told, threads go", async (rig) => {
  endlessData(rig);
  const running = Array.from({ length: 5 }, () => rig.queries.run(endless));
  const told = Promise.all(running.map((one) => assert.rejects(one, coded("closing"))));
  const { rows } = await rig.queries.run("SELECT n FROM a LIMIT 5");
  await rig.queries.close();
  await told;
  assert.equal(
    (await allRows({ plan: "", affected: 0, message: null, position: null, whole: null, values: null, rows }))
      .rows.length,
    5,
  );
  await assert.rejects(rig.queries.run("SELECT n FROM a LIMIT 5"), coded("closing"));
  await rig.until(() => rig.threads.size === 0);
  assertFree(rig);
});
