/** Whether what a peer said that it holds is a deletion of this database. */
import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { epochOf, nodeIdOf, seqOf, wallMsOf } from "../../src/base/ids.ts";
import { RunTree } from "../../src/document/run_tree.ts";
import type { Confirmation, Confirmed, Holding } from "../../src/multimaster/confirmations.ts";
import { isConfirmed, joinConfirmations } from "../../src/multimaster/confirmations.ts";
import { readReceived } from "../../src/multimaster/confirmations_kept.ts";
import type { Cursor } from "../../src/multimaster/outgoing_events.ts";
import type { LogReader } from "../../src/storage/log.ts";
import { databaseId, dotOf, node, runId } from "../tool/version_world.ts";

// This database is number 0, in runs 0 and, from seq 50 on, 10; the peer is 1, in run 1; a third one is 2.
const [me, peerId, third] = [databaseId(0), databaseId(1), databaseId(2)];
const tree = new RunTree();
for (const i of [0, 1, 2]) tree.add(node(runId(i), 1, null, databaseId(i)));
tree.add(node(runId(10), 50, runId(0), me));
tree.add(node(runId(11), 30, runId(1), peerId));

const term = (run: number, firstSeq: number) => ({
  ...{ epoch: epochOf(1), run: runId(run), nodeId: nodeIdOf("e".repeat(32)), firstSeq: seqOf(firstSeq) },
});
const log = {
  terms: [term(0, 1), term(10, 50)],
  last: { epoch: epochOf(1), run: runId(10), seq: seqOf(60), chain: 0 },
} as unknown as LogReader;
const own: Confirmed = { databaseId: me, tree, log };

const place = (run: number, seq: number) => ({ epoch: epochOf(1), run: runId(run), seq: seqOf(seq) });
const cursor = (run: number, seq: number, asOf = place(run, seq)): Cursor => ({ ...place(run, seq), asOf });
const holds = (sender: number, at: Cursor, filter = ""): Holding => ({
  sender: databaseId(sender),
  filter,
  cursor: at,
});

function peer(held: readonly Holding[], run = 1): Confirmation {
  return {
    databaseId: peerId,
    term: { epoch: epochOf(1), run: runId(run) },
    seq: null,
    history: [],
    holds: held,
  };
}

/** The tombstone of a key that was deleted by these, and came here with entry 40. */
function deleted(...dots: readonly (readonly [run: number, seq: number])[]) {
  const versions = dots.map(([run, seq]) => ({
    ...{ dot: dotOf(runId(run), seq), vector: [dotOf(runId(run), seq)] },
    ...{ modifiedMs: wallMsOf(1), body: null },
  }));
  return { name: "Orders", change: seqOf(40), versions };
}

const says = (held: readonly Holding[], key = deleted([0, 40]), run = 1): boolean =>
  isConfirmed(own, peer(held, run), key);

test("confirmed by what this database has sent: up to the change, in this history, through the filter", () => {
  assert.equal(says([]), false);
  assert.equal(says([holds(0, cursor(0, 40))]), true);
  assert.equal(says([holds(0, cursor(10, 60))]), true);
  assert.equal(says([holds(0, cursor(0, 39))]), false);
  // Lost with a leader: entry 55 of the run before, or the state in which it was read.
  assert.equal(says([holds(0, cursor(0, 55))]), false);
  assert.equal(says([holds(0, cursor(0, 45, place(0, 55)))]), false);
  assert.equal(says([holds(0, cursor(0, 45, place(0, 44)))]), false, "no such cursor");
  assert.equal(says([holds(0, cursor(10, 70))]), false, "not written yet");
  for (
    const [filter, expected] of [
      ["only=items,orders", true],
      ["only=items", false],
      ["transitive", true],
      ["transitive:only=orders", true],
      ["transitive:only=items", false],
      ["something newer", false],
    ] as const
  ) assert.equal(says([holds(0, cursor(0, 40), filter)]), expected, filter);
});

test("what others wrote is not sent without transit, unless beside something of this database's own", () => {
  assert.equal(says([holds(0, cursor(0, 45))], deleted([2, 7])), false);
  assert.equal(says([holds(0, cursor(0, 45), "transitive")], deleted([2, 7])), true);
  assert.equal(says([holds(0, cursor(0, 45))], deleted([0, 40], [2, 7])), true);
});

test("what the peer wrote it has, while its history does", () => {
  assert.equal(says([], deleted([1, 20])), true);
  assert.equal(says([], deleted([1, 20]), 11), true);
  assert.equal(says([], deleted([1, 40]), 11), false, "a failover there has lost it");
  assert.equal(says([], deleted([1, 20]), 99), false, "a run that nobody knows");
  assert.equal(says([], deleted([1, 20], [0, 40])), false);
  const told = {
    ...peer([], 99),
    history: [{ run: runId(1), firstSeq: seqOf(1) }, { run: runId(99), firstSeq: seqOf(33) }],
  };
  assert.equal(isConfirmed(own, told, deleted([1, 20])), true);
  assert.equal(isConfirmed(own, told, deleted([1, 40])), false);
});

test("what it has received of a third one, to the very end of that", () => {
  const key = deleted([2, 7]);
  assert.equal(says([holds(2, cursor(2, 7))], key), true);
  assert.equal(says([holds(2, cursor(2, 9), "only=orders")], key), true);
  assert.equal(says([holds(2, cursor(2, 9), "only=items")], key), false);
  assert.equal(says([holds(2, cursor(2, 6))], key), false);
  assert.equal(
    says([holds(2, cursor(2, 7, place(2, 9)))], key),
    false,
    "what was superseded by then is not sent yet",
  );
  assert.equal(says([holds(1, cursor(2, 9))], key), false);
  assert.equal(says([holds(2, cursor(0, 40))], key), false, "no cursor of that one");
  assert.equal(says([holds(2, cursor(2, 7)), holds(0, cursor(0, 10))], deleted([2, 7], [1, 20])), true);
  assert.equal(third, databaseId(2));
});

test("what is newer takes the place of what is older; another term that of all", () => {
  const older = peer([holds(0, cursor(0, 40)), holds(2, cursor(2, 5))]);
  const joined = joinConfirmations(own, older, peer([holds(0, cursor(0, 30)), holds(2, cursor(2, 6))]));
  assert.deepEqual(new Set(joined.holds.map(({ cursor: { seq } }) => Number(seq))), new Set([40, 6]));
  assert.deepEqual(joinConfirmations(own, older, peer([], 11)).holds, []);
  // Another history of this database begins below.
  assert.deepEqual(
    joinConfirmations(own, peer([holds(0, cursor(0, 55))]), peer([holds(0, cursor(10, 52))])).holds,
    [
      holds(0, cursor(10, 52)),
    ],
  );
  // What it was sent is more than what it keeps, also of an earlier run of this database.
  const sent = peer([holds(0, cursor(10, 55))]);
  assert.deepEqual(joinConfirmations(own, sent, peer([holds(0, cursor(0, 42))])).holds, sent.holds);
  assert.deepEqual(joinConfirmations(own, null, older), older);
});

test("what an answer tells of it: nothing where it is something else", () => {
  for (
    const text of [
      "",
      "null",
      "[1]",
      "{}",
      '{"Received":7,"Seq":-1}',
      '{"Received":[null,{},{"ServerInstanceId":"x"}]}',
    ]
  ) {
    assert.deepEqual(readReceived(utf8(text)), { seq: null, formerly: [], received: [] }, text);
  }
});
