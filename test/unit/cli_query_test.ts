/** `dfdb query`, `seed`, `export` and `compact`, against files and scripted nodes. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { documentIdOf, seqOf } from "../../src/base/ids.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import { inFolder, put } from "../suites/storage_fixture.ts";
import { append, master } from "../suites/storage_suite_versions_fixture.ts";
import { runOf } from "../suites/version_writes.ts";
import type { CliOptions } from "../tool/cli_rig.ts";
import { runCli } from "../tool/cli_rig.ts";
import { embedded } from "../tool/embedding.ts";

const orders = [
  { _id: "a", total: 12.5, status: "paid", passenger: { lastName: "Ωmega" } },
  { _id: "b", total: 7, status: "open", passenger: { lastName: "Beta, B" } },
  { _id: "c", total: 99, status: "paid", tags: ["x"] },
];

async function withShop(run: (file: string, folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const file = `${folder}/shop.dfdb`, db = await embedded.openDatabase(file);
    try {
      await db.bulkInsert("orders", orders);
    } finally {
      await db.close();
    }
    await run(file, folder);
  });
}

/** A node that answers `/query` with these lines, or with a refusal. */
function answering(
  lines: readonly string[],
  { status = 200, seen = [] }: { status?: number; seen?: string[] } = {},
): Pick<CliOptions, "fetch"> {
  const fetch: Runtime["fetch"] = (url, { body, headers } = {}) => {
    seen.push(`${url} ${String(body)} ${JSON.stringify(headers)}`);
    return Promise.resolve(new Response(lines.join("\n") + "\n", { status }));
  };
  return { fetch };
}

const meta = '{"kind":"meta","affected":0,"plan":"INDEX_SCAN(i)","message":null}';

test("query: a file, as NDJSON in a pipe and as a table on a terminal", async () => {
  await withShop(async (file) => {
    const sql = "SELECT _id, total FROM orders WHERE status = :s ORDER BY total DESC";
    const piped = await runCli(["query", file, sql, "--param", "s=paid"]);
    assert.match(piped.err, /^2 rows, .*COLLECTION_SCAN.*, [\d.]+ m?s\n$/);
    assert.equal(piped.out, '{"_id":"c","total":99}\n{"_id":"a","total":12.5}\n');
    assert.equal(piped.code, 0);
    const shown = await runCli(["query", file, sql, "--params", '{"s":"paid"}', "--quiet"], {
      columns: 40,
      env: { NO_COLOR: "1" },
    });
    assert.deepEqual([shown.code, shown.err], [0, ""]);
    assert.equal(shown.out, "_id  total\nc       99\na     12.5\n");
    const csv = await runCli(["query", file, "SELECT * FROM orders ORDER BY _id", "--csv"]);
    const [head = "", first = ""] = csv.out.split("\n");
    assert.equal(head, "_id,total,status,passenger,tags");
    assert.equal(first, 'a,12.5,paid,"{""lastName"":""Ωmega""}",');
  });
});

test("query: statements of standard input, one after the other, up to the first that is refused", async () => {
  await withShop(async (file) => {
    const stdin = [
      '-- all\nINSERT INTO orders VALUES {"_id":"d","n',
      "\":1}; UPDATE orders SET n = 2 WHERE _id = 'd';\n",
    ];
    const written = await runCli(["query", file, "-"], { stdin });
    assert.equal(written.code, 0, written.err);
    assert.equal(written.err.split("\n").length, 3);
    const { code, out, err } = await runCli(["query", file, "-"], {
      stdin: ["SELECT n FROM orders WHERE _id = 'd';\nSELECT n FRM orders; DELETE FROM orders WHERE n = 2"],
    });
    assert.equal(code, 1);
    assert.match(out, /^\{[^\n]*"n":2\}\n$/);
    assert.match(
      err,
      /^1 row, .*\nERROR: .*found FRM \(line 2, column 10\).* \(bad_request\)\n {2}SELECT n FRM orders\n {11}\^\n$/,
    );
    const still = await runCli(["query", file, "SELECT COUNT(*) AS n FROM orders"]);
    assert.equal(still.out, '{"n":4}\n');
  });
});

test("query: what a node is asked, and rows that look like the last line", async () => {
  const seen: string[] = [], row = '{"kind":"end","count":7,"n":1.10}';
  const node = answering([meta, row, row, '{"kind":"end","count":2,"executionTimeMs":1.5}'], { seen });
  const { code, out, err } = await runCli(["query", "n:5000", "SELECT 1;", "--param", "x=1.10"], {
    ...node,
    env: { DFDB_API_KEY: "key" },
  });
  assert.deepEqual([code, out], [0, `${row}\n${row}\n`]);
  assert.equal(err, "2 rows, INDEX_SCAN(i), 2 ms\n");
  assert.equal(seen.length, 1);
  assert.match(seen[0] as string, /^http:\/\/n:5000\/query \{"sql":"SELECT 1","params":\{"x":1\.10\}\} /);
  assert.match(seen[0] as string, /"authorization":"Bearer key".*"accept":"application\/x-ndjson"/);
});

test("query: a node that answers without lines is understood, too", async () => {
  const node = answering([
    '{"success":true,"count":1,"affected":0,"plan":"P","executionTimeMs":3,"documents":[{"a":1}]}',
  ]);
  const { code, out, err } = await runCli(["query", "http://n", "SELECT 1"], node);
  assert.deepEqual([code, out, err], [0, '{"a":1}\n', "1 row, P, 3 ms\n"]);
});

test("query: what fails after rows, breaks off, or is refused is an error with its code", async () => {
  for (
    const [lines, status, message, rows] of [
      [
        [meta, '{"a":1}', '{"kind":"error","code":"query_timeout","error":"Too slow"}'],
        200,
        /Too slow \(query_timeout\)/,
        1,
      ],
      [[meta, '{"a":1}', '{"a":2}'], 200, /broke off \(unreachable\)/, 1],
      [[], 200, /broke off \(unreachable\)/, 0],
      [
        ['{"error":"Who are you?","code":"unauthorized"}'],
        401,
        /\(unauthorized\)\n {2}Give the node's key/,
        0,
      ],
      [["<html>"], 502, /answered 502, not as a dfdb node does/, 0],
      [["<html>"], 200, /does not answer as a dfdb node does/, 0],
    ] as const
  ) {
    const { code, out, err } = await runCli(["query", "http://n", "SELECT 1"], answering(lines, { status }));
    assert.equal(code, 1);
    assert.match(err, message);
    assert.equal(out.split("\n").length - 1, rows);
  }
});

test("query: nobody reads on: it ends, without an error", async () => {
  const rows = Array.from({ length: 1_000 }, (_, i) => `{"n":${i}}`);
  const node = answering([meta, ...rows, '{"kind":"end","count":1000}']);
  const { code, out, err } = await runCli(["query", "http://n", "SELECT 1"], { ...node, readsMax: 3 });
  assert.deepEqual([code, err], [0, ""]);
  assert.equal(out, '{"n":0}\n{"n":1}\n{"n":2}\n');
});

test("query: what cannot work is said; a file that is not there is not made", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/none.dfdb`;
    for (
      const [args, message] of [
        [[file, "SELECT 1"], /There is no file .*none\.dfdb/],
        [[file, " ; -- nothing"], /there is no statement/],
        [[file, "SELECT 1", "--csv", "--json"], /one of --json, --csv and --table/],
        [[file, "SELECT 1", "--param", "x"], /--param: expected name=value/],
      ] as const
    ) {
      const { code, err } = await runCli(["query", ...args]);
      assert.equal(code, 1);
      assert.match(err, message);
    }
    assert.ok(!existsSync(file));
    const help = await runCli(["query", "--help"]);
    assert.match(help.out, /Examples:\n {2}dfdb query localhost:5000/);
  });
});

test("a file that is in use is named with its holder, and the URL is asked for", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/open.dfdb`, db = await embedded.openDatabase(file);
    try {
      const { code, err } = await runCli(["query", file, "SELECT 1"]);
      assert.equal(code, 1);
      assert.match(err, /is in use by process \d+ on .*: give the URL of that node in the place of/);
    } finally {
      await db.close();
    }
  });
});

test("export: NDJSON, a JSON array and CSV are what was put in, and come in again", async () => {
  await withShop(async (file, folder) => {
    const ndjson = await runCli(["export", file, "--collection", "ORDERS"]);
    assert.equal(ndjson.code, 0, ndjson.err);
    assert.equal(ndjson.out, orders.map((order) => `${JSON.stringify(order)}\n`).join(""));
    assert.match(ndjson.err, /^3 documents of ORDERS in/);
    const array = await runCli(["export", file, "--collection", "orders", "--format", "json"]);
    assert.deepEqual(JSON.parse(array.out), orders);
    const to = `${folder}/out.csv`, columns = ["--columns", "_id, total,passenger.lastName"];
    const csv = await runCli(["export", file, "--collection", "orders", "--output", to, ...columns]);
    assert.deepEqual([csv.code, csv.out], [0, ""]);
    assert.equal(
      readFileSync(to, "utf8"),
      '_id,total,passenger.lastName\na,12.5,Ωmega\nb,7,"Beta, B"\nc,99,\n',
    );
    const again = await runCli(["export", file, "--collection", "orders", "--output", to]);
    assert.deepEqual([again.code, again.out], [1, ""]);
    assert.match(again.err, /out\.csv is there already; --force writes it anew/);
    const copy = `${folder}/copy.dfdb`;
    const taken = await runCli(["import", "-", copy, "--collection", "orders"], { stdin: [ndjson.out] });
    assert.equal(taken.code, 0, taken.err);
    assert.equal((await runCli(["export", copy, "--collection", "orders"])).out, ndjson.out);
    // By key, without a slash: a collection as any other.
    const docs = ["--collection", "_docs"];
    assert.equal((await runCli(["import", "-", copy, ...docs], { stdin: [ndjson.out] })).code, 0);
    assert.equal((await runCli(["export", copy, ...docs])).out, ndjson.out);
    const unknown = await runCli(["export", file, "--collection", "nope"]);
    assert.deepEqual([unknown.code, unknown.out], [1, ""]);
    assert.match(unknown.err, /there is no collection nope/);
    const mixed = await runCli(["export", file, "--collection", "orders", "--columns", "a"]);
    assert.match(mixed.err, /--columns goes with CSV only/);
  });
});

test("export: keys in conflict have no document, which is said", async () => {
  await inFolder(async (folder) => {
    const { storage, path, orders } = await master(
      { openStorage } as Parameters<typeof master>[0],
      folder,
      "a",
    );
    append(storage, [put(orders, "x", 0)]);
    append(storage, [put(orders, "y", 0, '{"n":1}')]);
    const conflict = { kind: "conflict" } as const,
      id = documentIdOf("x"),
      kept = [{ run: runOf("a"), seq: seqOf(4) }];
    append(storage, [{
      kind: "setVersions",
      name: "Orders",
      id,
      previous: seqOf(4),
      kept,
      added: [],
      shown: conflict,
    }]);
    storage.close();
    const { code, out, err } = await runCli(["export", path, "--collection", "orders"]);
    assert.deepEqual([code, out], [0, '{"_id":"y","n":1}\n']);
    assert.match(err, /^not in it: 1 in conflict \(see GET \/conflicts\)\n1 documents/);
  });
});

test("export and import: more than a page, numbers to the letter", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/many.dfdb`, input = `${folder}/in.ndjson`;
    const text = Array.from({ length: 2_345 }, (_, i) => `{"_id":"${i}","n":${i}.10,"t":"\\u00e9"}\n`).join(
      "",
    );
    writeFileSync(input, text);
    const taken = await runCli(["import", input, file, "--collection", "c", "--batch", "100"]);
    assert.equal(taken.code, 0, taken.err);
    const { out, code } = await runCli(["export", file, "--collection", "c"]);
    assert.equal(code, 0);
    const ids = out.trimEnd().split("\n").map((line) => (JSON.parse(line) as { _id: string })._id);
    assert.deepEqual(ids.map(Number).sort((a, b) => a - b), Array.from({ length: 2_345 }, (_, i) => i));
    assert.match(out, /\{"_id":"7","n":7\.10,"t":"\\u00e9"\}\n/);
  });
});

test("seed and compact: a file is made, filled, and written anew", async () => {
  await inFolder(async (folder) => {
    const file = `${folder}/sample.dfdb`;
    const seeded = await runCli(["seed", file, "--orders", "20"]);
    assert.equal(seeded.code, 0, seeded.err);
    assert.match(seeded.out, /: 20 orders, 100 flights, 5 indexes in/);
    assert.equal((await runCli(["query", file, "DELETE FROM flights WHERE 1 = 1"])).code, 0);
    const compacted = await runCli(["compact", file]);
    assert.equal(compacted.code, 0, compacted.err);
    assert.match(compacted.out, /: [\d.]+ [KM]?i?B given back in/);
    assert.equal((await runCli(["query", file, "SELECT COUNT(*) AS n FROM orders"])).out, '{"n":20}\n');
    const wrong = await runCli(["seed", file, "--orders", "many"]);
    assert.match(wrong.err, /--orders: expected a number/);
  });
});
