import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, monotonicMsOf, wallMsOf } from "../../src/base/ids.ts";
import { bulkInsert, insertDocument } from "../../src/engine/commands.ts";
import { engine } from "../../src/engine/engine.ts";
import type { TransactionOperation } from "../../src/engine/transaction.ts";
import { transaction } from "../../src/engine/transaction.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, patient, start, testOptions, wall } from "../suites/storage_fixture.ts";
import { creation, expectRight, indexOf } from "../suites/storage_suite_indexes.ts";
import { leadership } from "../tool/engine_rig.ts";

const document = (id: string, a: number) => ({ id: documentIdOf(id), body: utf8(`{"a":${a}}`) });
const inserts = (prefix: string, keys: readonly number[]): TransactionOperation[] =>
  keys.map((a, i) => ({ op: "insert", collection: "orders", ...document(`${prefix}${i}`, a) }));
const counting = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

/** An engine over a database with a unique index on `a`; `run` carries out all that is due. */
async function withEngine(
  body: (
    parts: { storage: Storage; submit: ReturnType<typeof engine>["submit"]; run: () => void },
  ) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const path = join(folder, "data.dfdb"),
      storage = await openStorage(testOptions(path)),
      c = start(storage);
    storage.write((tx) => tx.append([creation(c, indexOf("a", { unique: true }))], wall));
    const tasks: (() => void)[] = [],
      fail = (error: DfdbError) => {
        throw error;
      };
    const made = engine({
      storage,
      clock: {
        monotonic: () => monotonicMsOf(0),
        wall: () => wallMsOf(wall),
        timer: () => ({ cancel: () => {} }),
        macrotask: (run) => void tasks.push(run),
      },
      gate: () => leadership("1"),
      onFatal: fail,
      onDiskFull: fail,
    });
    const run = () => {
      for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task();
    };
    await body({ storage, submit: made.submit.bind(made), run });
    expectRight(path);
    storage.close();
  });
}

const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then(() => "written", (error: unknown) => {
    assert.ok(error instanceof DfdbError, String(error));
    return `${error.code} ${error.details["id"]} ${
      error.details["operation"] ?? error.details["failedOpIndex"]
    }`;
  });

test(
  "engine: a transaction with a key that is there fails alone; the others of its group are written",
  patient,
  () =>
    withEngine(async ({ storage, submit, run }) => {
      const answers = [
        submit(insertDocument("orders", document("first", 1))),
        submit(transaction(inserts("good", counting(1_000, 500)))),
        submit(transaction(inserts("bad", [...counting(2_000, 300), 1, ...counting(3_000, 100)]))),
        submit(insertDocument("orders", document("alike", 1_003))),
        submit(transaction(inserts("within", [7, 8, 7]))),
        submit(insertDocument("orders", document("last", 2_000))),
      ].map(outcome);
      run();
      assert.deepEqual(await Promise.all(answers), [
        "written",
        "written",
        "duplicate_key first 300",
        "duplicate_key good3 0",
        "duplicate_key within2 0",
        "written",
      ]);
      assert.equal(storage.read((view) => view.collection("orders")?.documents), 502);
    }),
);

test(
  "engine: where all of a group fail, each is told its own reason",
  patient,
  () =>
    withEngine(async ({ storage, submit, run }) => {
      const first = outcome(submit(insertDocument("orders", document("first", 1))));
      run();
      assert.equal(await first, "written");
      const before = storage.log.last;
      const answers = [
        submit(transaction(inserts("x", [2, 1]))),
        submit(insertDocument("orders", document("first", 9))),
        submit(transaction(inserts("y", [5, 5]))),
      ].map(outcome);
      run();
      assert.deepEqual(await Promise.all(answers), [
        "duplicate_key first 1",
        "duplicate_key first undefined",
        "duplicate_key y1 0",
      ]);
      assert.deepEqual(storage.log.last, before);
    }),
);

test(
  "engine: a bulk is refused document by document; a large transaction in slices as a whole",
  patient,
  () =>
    withEngine(async ({ storage, submit, run }) => {
      const keys = [...counting(0, 250), 17, ...counting(250, 249)];
      const bulk = submit(bulkInsert("orders", keys.map((a, i) => document(`b${i}`, a))));
      const other = outcome(submit(insertDocument("orders", document("other", 400))));
      run();
      const { value } = await bulk;
      assert.deepEqual(value.flatMap((one, i) => "error" in one ? [[i, one.error.details["id"]]] : []), [[
        250,
        "b17",
      ]]);
      assert.equal(await other, "duplicate_key b401 0");
      const large = [
        outcome(submit(transaction(inserts("l", [...counting(10_000, 1_500), 42])))),
        outcome(submit(insertDocument("orders", document("between", 10_000)))),
        outcome(submit(transaction(inserts("m", counting(20_000, 1_500))))),
      ];
      run();
      assert.deepEqual(await Promise.all(large), ["duplicate_key b42 1500", "written", "written"]);
      assert.equal(storage.read((view) => view.collection("orders")?.documents), 499 + 1 + 1_500);
    }),
);
