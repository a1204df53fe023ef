import assert from "node:assert/strict";
import { test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { DfdbError } from "../../src/base/errors.ts";
import { documentIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { bulkInsert, insertDocument, putDocument } from "../../src/engine/commands.ts";
import type { Position } from "../../src/storage/log.ts";
import { rig } from "../tool/engine_rig.ts";

const document = (id: string) => ({ id: documentIdOf(id), body: utf8("{}") });
const put = (id: string) => putDocument("orders", document(id), () => {});
const settle = async (): Promise<void> => {
  for (let i = 0; i < 8; i++) await Promise.resolve();
};

/** A rig whose commits wait until the test says how they ended. */
function waiting() {
  const made = rig(), waits: { seq: number; resolve: () => void; reject: (error: DfdbError) => void }[] = [];
  made.replicated = ({ seq }) =>
    new Promise<void>((resolve, reject) => void waits.push({ seq, resolve, reject }));
  const answers: string[] = [];
  const submit = (name: string, plan: Parameters<typeof made.engine.submit>[0]): void =>
    void made.engine.submit(plan).then(
      ({ position }) => answers.push(`${name} ${position.seq}`),
      (error: DfdbError) => answers.push(`${name} ${error.code}`),
    );
  return Object.assign(made, { waits, answers, submit });
}

test("engine: a group is answered when it is replicated; the signal comes before, the next group does not wait", async () => {
  const { engine, storage, waits, answers, submit, run } = waiting();
  const seen: Position[] = [];
  engine.committed.subscribe((position) => void seen.push(position));
  submit("a", put("a"));
  submit("b", put("b"));
  run();
  await settle();
  assert.deepEqual([storage.commits, seen.map(({ seq }) => seq), answers], [1, [3], []]);
  submit("c", put("c"));
  run();
  assert.deepEqual([storage.commits, waits.map(({ seq }) => seq)], [2, [3, 4]], "one wait a group");
  waits[1]?.resolve();
  await settle();
  assert.deepEqual(answers, ["c 4"]);
  waits[0]?.resolve();
  await settle();
  assert.deepEqual(answers, ["c 4", "a 2", "b 3"]);
});

test("engine: a refusal and what wrote nothing are answered at once; what wrote gets the rejection", async () => {
  const { storage, waits, answers, submit, run } = waiting();
  submit("first", put("a"));
  submit("twice", insertDocument("orders", document("a")));
  submit("bulk", bulkInsert("orders", [document("a")]));
  submit("last", put("b"));
  run();
  await settle();
  assert.deepEqual(answers, ["twice duplicate_key", "bulk 2"]);
  waits[0]?.reject(new DfdbError("replication_timeout", "nobody"));
  await settle();
  assert.deepEqual(answers.slice(2), ["first replication_timeout", "last replication_timeout"]);
  assert.equal(storage.commits, 1, "the writes are durable here");
});

test("engine: each write of a group that was not confirmed is told its own seq", async () => {
  const { engine, waits, run } = waiting();
  const seqs = ["a", "b"].map((id) =>
    engine.submit(put(id)).catch(({ details }: DfdbError) => [details["seq"], details["achieved"]])
  );
  run();
  waits[0]?.reject(new DfdbError("replication_timeout", "nobody", { details: { seq: 3, achieved: 0 } }));
  assert.deepEqual(await Promise.all(seqs), [[2, 0], [3, 0]]);
});

test("engine: a group in which nothing is written asks for nothing", async () => {
  const { waits, answers, submit, run } = waiting();
  submit("bulk", bulkInsert("orders", []));
  run();
  await settle();
  assert.deepEqual([answers, waits], [["bulk 0"], []]);
});

test("engine: close waits for those who wait for followers", async () => {
  const { engine, waits, submit, run } = waiting();
  submit("a", put("a"));
  run();
  let closed = false;
  const closing = engine.close().then(() => closed = true);
  await settle();
  assert.equal(closed, false);
  waits[0]?.reject(new DfdbError("replication_timeout", "stopped"));
  await closing;
});

test("engine: writes that wait for followers count to the full queue", async () => {
  const { engine, waits, submit, run } = waiting();
  for (let i = 0; i < limits.commitQueueMax; i++) submit(`${i}`, put(`d${i % 10}`));
  run();
  await assert.rejects(engine.submit(put("z")), { code: "busy" });
  waits.forEach(({ resolve }) => resolve());
  await settle();
  const kept = engine.submit(put("z"));
  run();
  waits.at(-1)?.resolve();
  await kept;
});

test("engine: the right to write ended before COMMIT returned: no success, no signal, nothing to wait for", async () => {
  const made = waiting(), { engine, storage, waits, answers, submit, run } = made;
  const seen: number[] = [];
  engine.committed.subscribe(({ seq }) => void seen.push(seq));
  made.lost = { error: new DfdbError("outcome_unknown", "The lease ended"), quiet: true };
  submit("a", put("a"));
  submit("twice", insertDocument("orders", document("a")));
  submit("bulk", bulkInsert("orders", []));
  run();
  await settle();
  assert.deepEqual(answers, ["a outcome_unknown", "twice duplicate_key", "bulk 2"]);
  assert.deepEqual([storage.log.last.seq, seen, waits], [2, [], []], "it is in the log, and nobody is told");
  made.lost = null;
  submit("b", put("b"));
  run();
  waits[0]?.resolve();
  await settle();
  assert.deepEqual([answers.at(-1), seen], ["b 3", [3]]);
});

test("engine: it is not known whether the right to write had ended: no success, but the signal is given", async () => {
  const made = waiting(), { engine, waits, answers, submit, run } = made, seen: number[] = [];
  engine.committed.subscribe(({ seq }) => void seen.push(seq));
  made.lost = { error: new DfdbError("outcome_unknown", "It stood still"), quiet: false };
  submit("a", put("a"));
  run();
  await settle();
  assert.deepEqual([answers, seen, waits], [["a outcome_unknown"], [2], []]);
});

test("engine: who wrote nothing is not asked about the right to write", async () => {
  const made = waiting(), { answers, submit, run } = made;
  made.lost = { error: new DfdbError("outcome_unknown", "The lease ended"), quiet: true };
  submit("bulk", bulkInsert("orders", []));
  run();
  await settle();
  assert.deepEqual(answers, ["bulk 0"]);
});
