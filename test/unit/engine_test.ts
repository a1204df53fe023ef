import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import { documentIdOf, wallMsOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import {
  bulkInsert,
  deleteDocument,
  dropCollection,
  insertDocument,
  putDocument,
} from "../../src/engine/commands.ts";
import type { Written } from "../../src/engine/commands.ts";
import type { Plan } from "../../src/engine/plan.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import type { MemoryStorage } from "../tool/memory_storage.ts";
import { leadership, rig } from "../tool/engine_rig.ts";

const document = (id: string, body = "{}") => ({ id: documentIdOf(id), body: utf8(body) });
const put = (id: string, body?: string): Plan<Written> => putDocument("orders", document(id, body), () => {});
const kinds = (storage: MemoryStorage): string[][] =>
  storage.entries.map((entry) => entry.map(({ kind }) => kind));
const failsWith = (promise: Promise<unknown>, code: ErrorCode): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof DfdbError && error.code === code);

test("engine: what is submitted together is one transaction, in order, each with its own position", async () => {
  const { engine, storage, run } = rig();
  const answers = [engine.submit(put("a")), engine.submit(put("b")), engine.submit(put("a"))];
  assert.equal(storage.commits, 0);
  assert.equal(run(), 1);
  const [first, second, third] = await Promise.all(answers);
  assert.equal(storage.commits, 1);
  assert.deepEqual([first, second, third].map((done) => done?.position.seq), [2, 3, 4]);
  assert.deepEqual(first?.value, { id: "a", seq: 2, created: true });
  assert.deepEqual(third?.value, { id: "a", seq: 4, created: false });
});

test("engine: a run's first write is preceded by its term entry, in the same transaction", async () => {
  const made = rig();
  const { engine, storage, run } = made;
  const first = engine.submit(put("a"));
  run();
  assert.equal((await first).position.epoch, 1);
  assert.deepEqual(kinds(storage), [["term"], ["createCollection", "put"]]);
  const second = engine.submit(put("b"));
  run();
  await second;
  made.gate = leadership("b", 2);
  const third = engine.submit(put("c"));
  run();
  const { position } = await third;
  assert.deepEqual([position.epoch, position.run, position.seq], [2, "b".repeat(32), 5]);
  assert.deepEqual(kinds(storage).slice(2), [["put"], ["term"], ["put"]]);
  assert.equal(storage.commits, 3);
});

test("engine: a refused precondition fails its own submit only", async () => {
  const { engine, storage, run } = rig();
  const before = engine.submit(put("a"));
  const refused = engine.submit(putDocument("orders", document("a"), () => {
    throw new DfdbError("precondition_failed", "no");
  }));
  const twice = engine.submit(insertDocument("orders", document("a")));
  const after = engine.submit(put("b"));
  run();
  await Promise.all([
    before,
    after,
    failsWith(refused, "precondition_failed"),
    failsWith(twice, "duplicate_key"),
  ]);
  assert.equal(storage.commits, 1);
  assert.deepEqual(kinds(storage), [["term"], ["createCollection", "put"], ["put"]]);
});

test("engine: a group in which nothing is written leaves no term entry and no signal", async () => {
  const { engine, storage, run } = rig();
  const seen: Position[] = [];
  engine.committed.subscribe((position) => void seen.push(position));
  const missing = engine.submit(deleteDocument("orders", documentIdOf("a"), () => {}));
  const unknown = engine.submit(dropCollection("orders"));
  run();
  await Promise.all([failsWith(missing, "not_found"), failsWith(unknown, "not_found")]);
  assert.deepEqual([storage.commits, storage.entries.length, seen.length], [0, 0, 0]);
});

test("engine: a new run whose first group writes nothing answers with the log's end, not with a position that never was", async () => {
  const made = rig(), { engine, storage, run } = made;
  const first = engine.submit(put("a"));
  run();
  await first;
  made.gate = leadership("b");
  const nothing = engine.submit(bulkInsert("orders", [document("a")]));
  run();
  const { value, position } = await nothing;
  assert.ok(value[0] !== undefined && "error" in value[0]);
  assert.deepEqual(position, storage.log.last);
});

test("engine: a plan that throws after it appended is left out, the others of its group are kept", async () => {
  const { engine, storage, run } = rig();
  const first = engine.submit(put("a"));
  const bad = engine.submit<never>({
    bytes: 1,
    run(tx, wallMs) {
      put("bad").run(tx, wallMs);
      throw new DfdbError("conflict", "too late");
    },
  });
  const last = engine.submit(put("b"));
  run();
  await Promise.all([first, last, failsWith(bad, "conflict")]);
  assert.deepEqual(kinds(storage), [["term"], ["createCollection", "put"], ["put"]]);
  assert.equal(storage.commits, 2, "one transaction each, because their common one could not be kept");
});

test("engine: an error of no known kind fails the guilty plan only", async () => {
  const { engine, run } = rig();
  const first = engine.submit(put("a"));
  const bad = engine.submit<never>({
    bytes: 1,
    run() {
      throw new TypeError("bug");
    },
  });
  run();
  await Promise.all([first, assert.rejects(bad, TypeError)]);
});

test("engine: a gate that refuses at COMMIT rolls back the whole group", async () => {
  const made = rig();
  const { engine, storage, run } = made;
  const kept = engine.submit(put("a"));
  run();
  await kept;
  const refusal = new DfdbError("read_only", "Database is in read-only mode");
  const first = engine.submit(put("b"));
  const second = engine.submit<void>({
    bytes: 1,
    run() {
      made.gate = refusal;
    },
  });
  const third = engine.submit(put("c"));
  run();
  await Promise.all([
    failsWith(first, "read_only"),
    failsWith(second, "read_only"),
    failsWith(third, "read_only"),
  ]);
  assert.equal(storage.commits, 1);
  assert.equal(storage.entries.length, 2);
});

test("engine: a gate that refuses fails everything that waits, and opens again", async () => {
  const made = rig();
  made.gate = new DfdbError("not_leader", "no");
  const refused = [made.engine.submit(put("a")), made.engine.submit(put("b"))];
  made.run();
  await Promise.all(refused.map((promise) => failsWith(promise, "not_leader")));
  assert.deepEqual([made.storage.commits, made.fatal.length, made.full.length], [0, 0, 0]);
  made.gate = leadership("a");
  const kept = made.engine.submit(put("a"));
  made.run();
  await kept;
});

test("engine: a full queue answers busy at once and takes more when it has drained", async () => {
  const { engine, storage, run } = rig();
  const plan: Plan<null> = { bytes: 1, run: () => null };
  const waiting = Array.from({ length: limits.commitQueueMax }, () => engine.submit(plan));
  await failsWith(engine.submit(plan), "busy");
  run();
  await Promise.all(waiting);
  const next = engine.submit(put("a"));
  run();
  await next;
  assert.equal(storage.commits, 1);
});

test("engine: a queue full of bytes answers busy, but a single plan of any size is taken", async () => {
  const { engine, run } = rig();
  const huge: Plan<string> = { bytes: limits.commitQueueBytesMax + 1, run: () => "huge" };
  const alone = engine.submit(huge);
  await failsWith(engine.submit({ bytes: 1, run: () => null }), "busy");
  run();
  assert.equal((await alone).value, "huge");
});

test("engine: a group is bounded in number and in bytes", async () => {
  const { engine, storage, run } = rig();
  const many = Array.from(
    { length: limits.commitGroupMax + 1 },
    (_, i) => engine.submit(bulkInsert("orders", [document(`${i}`)])),
  );
  assert.equal(run(), 2);
  await Promise.all(many);
  assert.equal(storage.commits, 2);
  const large = { ...put("large"), bytes: limits.commitGroupBytesMax };
  const both = [engine.submit(large), engine.submit(large)];
  run();
  await Promise.all(both);
  assert.equal(storage.commits, 4);
});

test("engine: close refuses new plans and resolves when what was queued is answered", async () => {
  const { engine, run } = rig();
  const queued = engine.submit(put("a"));
  const order: string[] = [];
  const closed = engine.close().then(() => order.push("closed"));
  const answered = queued.then(() => order.push("answered"));
  await failsWith(engine.submit(put("b")), "closing");
  run();
  await Promise.all([closed, answered]);
  assert.deepEqual(order, ["answered", "closed"]);
  await engine.close();
});

test("engine: a full disk fails the group, keeps nothing and is reported; later writes go on", async () => {
  const { engine, storage, full, fatal, run } = rig();
  storage.commitFaults.push(new DfdbError("disk_full", "no space left"));
  const refused = [engine.submit(put("a")), engine.submit(put("b"))];
  run();
  await Promise.all(refused.map((promise) => failsWith(promise, "disk_full")));
  assert.deepEqual([full.length, fatal.length, storage.entries.length], [1, 0, 0]);
  const kept = engine.submit(put("a"));
  run();
  assert.equal((await kept).position.seq, 2);
});

test("engine: a disk that fails in COMMIT makes the outcome unknown and ends the node", async () => {
  for (const code of ["io_error", "data_corrupt"] as const) {
    const { engine, storage, full, fatal, run } = rig();
    storage.commitFaults.push(new DfdbError(code, "broken"));
    const lost = [engine.submit(put("a")), engine.submit(put("b"))];
    run();
    await Promise.all(lost.map((promise) => failsWith(promise, "outcome_unknown")));
    assert.deepEqual([fatal.map((error) => error.code), full.length], [[code], 0]);
  }
});

test("engine: a commit that fails for another reason is tried again plan by plan", async () => {
  const { engine, storage, run } = rig();
  storage.commitFaults.push(
    new DfdbError("payload_too_large", "too much in one"),
    null,
    new TypeError("odd"),
  );
  const first = engine.submit(put("a")), second = engine.submit(put("b")), third = engine.submit(put("c"));
  run();
  await Promise.all([first, assert.rejects(second, TypeError), third]);
  assert.equal(storage.commits, 2);
});

test("engine: the commit signal tells the log's end once a group, after the answers are on their way", async () => {
  const { engine, run } = rig();
  const seen: number[] = [];
  const stop = engine.committed.subscribe((position) => void seen.push(position.seq));
  const both = [engine.submit(put("a")), engine.submit(put("b"))];
  run();
  await Promise.all(both);
  assert.deepEqual([seen, engine.committed.value.seq], [[3], 3]);
  stop();
  const entry = { wallMs: wallMsOf(0), payload: new Uint8Array(9) } as LogEntry;
  assert.equal((await engine.apply([entry, entry])).seq, 5);
  assert.deepEqual([seen, engine.committed.value.seq], [[3], 5]);
});
