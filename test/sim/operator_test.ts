/** What an operator is told. */
import assert from "node:assert/strict";
import test from "node:test";
import { answered, failed, fakeClientWorld } from "./fake_client_world.ts";
import { Operator } from "./operator.ts";
import type { Reply } from "./types.ts";

const at = "1.00000001-7", run = "0".repeat(32);

/** What `ask` comes to for each of the replies. */
async function each<Value>(
  replies: readonly Reply[],
  ask: (operator: Operator) => Promise<Value>,
): Promise<{ readonly values: Value[]; readonly violations: number; readonly paths: readonly string[] }> {
  const left = [...replies], world = fakeClientWorld(() => left.shift() as Reply);
  const operator = new Operator(world), values: Value[] = [];
  for (const _ of replies) values.push(await ask(operator));
  const paths = world.asked.map(({ ask: { method, path, body } }) =>
    `${method} ${path} ${body ?? ""}`.trim()
  );
  return { values, violations: world.violations.length, paths: [...new Set(paths)] };
}

const nobody: Reply = { kind: "refused" }, lost: Reply = { kind: "lost" };
const internal = failed(500, "internal", { id: "1" });

test("a change of role is done, refused, or nobody knows", async () => {
  const changes: readonly [string, unknown, (operator: Operator) => Promise<unknown>][] = [
    ["POST /replication/read-only", { success: true, readOnly: true }, (to) => to.readOnly("n1")],
    ["POST /replication/read-write", { success: true, readOnly: false }, (to) => to.readWrite("n1")],
    ["POST /replication/resync", { success: true }, (to) => to.resync("n1")],
    [
      "POST /replication/accept-loss",
      { success: true, readOnly: false, term: { epoch: 2, run } },
      (to) => to.acceptLoss("n1"),
    ],
    [
      'POST /replication/start-leader {"port":5500}',
      { success: true, role: "leader", port: 5500 },
      (to) => to.startLeader("n1", 5500),
    ],
    [
      'POST /replication/start-follower {"host":"n2","port":5500,"sharedSecret":"s"}',
      { success: true, role: "follower", leader: "n2:5500" },
      (to) => to.startFollower("n1", "n2", 5500, "s"),
    ],
  ];
  for (const [path, body, ask] of changes) {
    const replies: readonly Reply[] = [
      answered(200, body),
      failed(409, "conflict"),
      nobody,
      lost,
      internal,
      answered(200, {}),
    ];
    assert.deepEqual(await each(replies, ask), {
      values: ["done", "refused", "refused", "unknown", "unknown", "unknown"],
      violations: 2,
      paths: [path],
    });
  }
});

test("the code of a refusal is remembered", async () => {
  const left = [failed(409, "leader_active"), lost], world = fakeClientWorld(() => left.shift() as Reply);
  const operator = new Operator(world);
  await operator.startFollower("n1", "n2", 5500);
  assert.equal(operator.refusal, "leader_active");
  await operator.readOnly("n1");
  assert.equal(operator.refusal, null);
});

test("status and readiness", async () => {
  const status = {
    role: "leader",
    readOnly: false,
    nodeId: run,
    position: at,
    leader: {},
    follower: {},
    term: {},
  };
  const told = await each(
    [answered(200, status), lost, answered(200, { ...status, position: "?" })],
    (to) => to.status("n1"),
  );
  assert.deepEqual(told, { values: [status, null, null], violations: 1, paths: ["GET /replication/status"] });
  const replies: readonly Reply[] = [
    answered(200, { ready: true }),
    failed(503, "not_ready", { ready: false }),
    nobody,
    answered(200, { ready: false }),
  ];
  assert.deepEqual(await each(replies, (to) => to.ready("n1", 0)), {
    values: [{ ready: true }, { ready: false, reason: "a sentence" }, null, null],
    violations: 1,
    paths: ["GET /ready?maxLagSeq=0"],
  });
});

test("checksums, holds and the log", async () => {
  const line = (value: unknown): string => `${JSON.stringify(value)}\n`;
  const head = line({ position: at }), one = { collection: "o", count: 2, keptCount: 2, checksum: "ab" };
  const last = {
    done: true,
    collections: 1,
    documents: 2,
    checksum: "cd",
    wrongCounts: 0,
    indexes: 1,
    wrongIndexes: 0,
  };
  const index = { index: "by_n", collection: "o", entries: 2, keptEntries: null, missing: 0, tooMany: 0 };
  const stream = (text: string): Reply => answered(200, text, { "content-type": "application/x-ndjson" });
  const replies: readonly Reply[] = [
    stream(`${head}\n${line(one)}${line(index)}${line(last)}`),
    stream(head + line(one)),
    stream(head + line({ error: "ended", code: "closing" })),
    failed(409, "position_lost"),
    lost,
    stream(head + line({ ...one, keptCount: 3 }) + line(last)),
    stream(head + line(one) + line({ ...last, wrongCounts: 1 })),
    stream(head + line(one) + line({ ...last, wrongIndexes: 1 })),
    stream("nonsense"),
  ];
  const { values, violations, paths } = await each(replies, (to) => to.checksums("n1", at));
  const whole = { position: at, collections: [one], documents: 2, checksum: "cd" };
  assert.deepEqual([values, violations, paths], [
    [whole, null, null, null, null, null, null, null, null],
    4,
    [`GET /verify?at=${at}`],
  ]);
  const hold = await each([answered(200, { position: at }), lost], (to) => to.hold("n1", 2));
  assert.deepEqual(hold, { values: [at, null], violations: 0, paths: ['POST /verify/hold {"seconds":2}'] });
  const release = await each([answered(200, { released: true }), lost], (to) => to.release("n1"));
  assert.deepEqual([release.values, release.violations], [["done", "unknown"], 0]);
  const log = { first: 1, last: 7, entries: 7, bad: null };
  const checked = await each(
    [answered(200, log), failed(503, "busy"), answered(200, {})],
    (to) => to.log("n1"),
  );
  assert.deepEqual([checked.values, checked.violations], [[log, null, null], 1]);
});
