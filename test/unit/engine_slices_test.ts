import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { putDocument } from "../../src/engine/commands.ts";
import type { SlicedPlan } from "../../src/engine/plan.ts";
import type { TransactionOperation } from "../../src/engine/transaction.ts";
import { transaction } from "../../src/engine/transaction.ts";
import type { LogEntry } from "../../src/storage/log.ts";
import { leadership, rig } from "../tool/engine_rig.ts";

const document = (id: string, body = "{}") => ({ id: documentIdOf(id), body: utf8(body) });
const put = (id: string) => putDocument("orders", document(id), () => {});
const insert = (id: string, body?: string): TransactionOperation => ({
  op: "insert",
  collection: "orders",
  ...document(id, body),
});
const replace = (id: string, body?: string): TransactionOperation => ({
  op: "replace",
  collection: "orders",
  ...document(id, body),
});
const remove = (id: string): TransactionOperation => ({
  op: "delete",
  collection: "orders",
  id: documentIdOf(id),
});
const many = (count: number): TransactionOperation[] =>
  Array.from({ length: count }, (_, i) => insert(`d${i}`));
const large = many(2 * limits.sliceOperations);
const failsWith = (promise: Promise<unknown>, code: string, index?: number): Promise<void> =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof DfdbError);
    assert.deepEqual([error.code, error.details["failedOpIndex"]], [code, index]);
    return true;
  });

test("transaction: one entry over several collections; each operation sees those before it", async () => {
  const { engine, storage, run } = rig();
  const before = engine.submit(put("old"));
  const done = engine.submit(transaction([
    insert("a"),
    replace("a", '{"v":2}'),
    remove("old"),
    insert("old", '{"v":3}'),
    { ...insert("x"), collection: "Others" },
    insert("gone"),
    remove("gone"),
    remove("gone"),
    { ...insert("y"), collection: "others" },
  ]));
  run();
  await before;
  const { value, position } = await done;
  assert.equal(position.seq, 3);
  assert.deepEqual(value, [false, true, true, false, false, false, true, false, false]);
  const [, , entry] = storage.entries;
  assert.deepEqual(
    entry?.map((operation) => ["id" in operation ? operation.id : "", operation.kind]),
    [["a", "put"], ["old", "put"], ["", "createCollection"], ["x", "put"], ["y", "put"]],
    "the net effect, each document once",
  );
  const previous = entry?.map((operation) => "previous" in operation ? operation.previous : null);
  assert.deepEqual(previous, [0, 2, null, 0, 0]);
});

test("transaction: an operation that fails is named, and nothing is kept, not even the run's term", async () => {
  const { engine, storage, run } = rig();
  const refused = [
    failsWith(engine.submit(transaction([insert("a"), insert("a")])), "duplicate_key", 1),
    failsWith(engine.submit(transaction([insert("a"), remove("a"), replace("a")])), "not_found", 2),
    failsWith(engine.submit(transaction([replace("a")])), "not_found", 0),
    failsWith(engine.submit(transaction([...large, insert("d7")])), "duplicate_key", large.length),
  ];
  run();
  await Promise.all(refused);
  assert.deepEqual([storage.commits, storage.entries.length], [0, 0]);
});

test("transaction: without any effect it is no entry", async () => {
  const { engine, storage, run } = rig();
  const answers = [[], [remove("a")], [insert("a"), remove("a")]].map((one) =>
    engine.submit(transaction(one))
  );
  run();
  for (const { position } of await Promise.all(answers)) assert.equal(position.seq, 0);
  assert.equal(storage.commits, 0);
});

test("transaction: a large one is alone in its transaction, over many macrotasks; the queue waits", async () => {
  const { engine, storage, step, run } = rig();
  const answers = [engine.submit(put("a")), engine.submit(transaction(large)), engine.submit(put("b"))];
  step();
  assert.equal(storage.commits, 1);
  let steps = 0;
  for (; storage.commits === 1; steps++) assert.ok(step());
  assert.ok(steps >= 4, `${steps} macrotasks`);
  run();
  const positions = (await Promise.all(answers)).map(({ position }) => position.seq);
  assert.deepEqual([positions, storage.commits], [[2, 3, 4], 3]);
  assert.equal(storage.entries[2]?.length, large.length);
});

test("engine: the gate is asked in the macrotask of COMMIT of a sliced plan; a refusal keeps nothing", async () => {
  for (
    const [refusal, code] of [[new DfdbError("read_only", "no"), "read_only"], [
      leadership("b"),
      "not_leader",
    ]] as const
  ) {
    const made = rig(), { engine, storage, step, run } = made;
    const plan = transaction(large) as SlicedPlan<unknown>;
    const refused = failsWith(
      engine.submit({
        bytes: plan.bytes,
        *slices(tx, wallMs) {
          const value = yield* plan.slices(tx, wallMs);
          yield;
          made.gate = refusal;
          return value;
        },
      }),
      code,
    );
    while (step());
    await refused;
    assert.equal(storage.commits, 0);
    made.gate = leadership("a");
    const kept = engine.submit(put("a"));
    run();
    await kept;
    assert.equal(storage.commits, 1);
  }
});

test("engine: a sliced plan meets a full disk and a broken one like any other", async () => {
  for (const code of ["disk_full", "io_error"] as const) {
    const { engine, storage, full, fatal, run } = rig();
    storage.commitFaults.push(new DfdbError(code, "broken"));
    const refused = engine.submit(transaction(large));
    run();
    await failsWith(refused, code === "disk_full" ? code : "outcome_unknown");
    assert.deepEqual([full.length, fatal.length], code === "disk_full" ? [1, 0] : [0, 1]);
  }
});

test("engine: a large entry is applied over macrotasks, what comes meanwhile after it, in order", async () => {
  const { engine, storage, run, step } = rig();
  const entry = (bytes: number) => ({ wallMs: wallMsOf(0), payload: new Uint8Array(bytes) }) as LogEntry;
  const seen: number[] = [];
  engine.committed.subscribe(({ seq }) => void seen.push(seq));
  const first = engine.apply([entry(9), entry(limits.sliceBytes + 1)]), second = engine.apply([entry(9)]);
  assert.ok(first instanceof Promise && second instanceof Promise);
  step();
  assert.equal(storage.commits, 0);
  let closed = false;
  const closing = engine.close().then(() => closed = true);
  await Promise.resolve();
  assert.equal(closed, false);
  run();
  assert.deepEqual([(await first).seq, (await second).seq, seen], [2, 3, [2, 3]]);
  await closing;
  assert.equal((await engine.apply([entry(9)])).seq, 4);
});

test("engine: a disk that fails under an apply, in one go or in slices, ends the node; a full one does not", async () => {
  const entry = (bytes: number) => ({ wallMs: wallMsOf(0), payload: new Uint8Array(bytes) }) as LogEntry;
  for (const bytes of [9, limits.sliceBytes + 1]) {
    for (const code of ["io_error", "data_corrupt", "disk_full"] as const) {
      const { engine, storage, fatal, run } = rig();
      storage.commitFaults.push(new DfdbError(code, "broken"));
      const refused = failsWith((async () => await engine.apply([entry(bytes)]))(), code);
      run();
      await refused;
      assert.deepEqual(fatal.map((error) => error.code), code === "disk_full" ? [] : [code]);
    }
  }
});

test("engine: a database that cannot be used after an exchange ends the node; a failed installation does not", async () => {
  const { engine, storage, fatal, run } = rig();
  const broken = new DfdbError("io_error", "the received file cannot be read");
  const refused = failsWith(engine.exchange(() => Promise.reject(broken)), "io_error");
  run();
  await refused;
  assert.deepEqual(fatal, []);
  storage.exchange = (install) =>
    install().then(() => Promise.reject(new DfdbError("data_corrupt", "no database of ours")));
  const replaced = failsWith(engine.exchange(() => Promise.resolve()), "data_corrupt");
  run();
  await replaced;
  assert.deepEqual(fatal.map(({ code }) => code), ["data_corrupt"]);
});

test("engine: an exchange has the database to itself, and tells where the log ends then", async () => {
  const { engine, storage, run } = rig();
  let end: () => void = () => {};
  const exchanged = engine.exchange(() => new Promise<void>((resolve) => end = resolve));
  const queued = engine.submit(put("a"));
  run();
  assert.equal(storage.commits, 0);
  end();
  await exchanged;
  run();
  assert.equal((await queued).position.seq, 2);
});
