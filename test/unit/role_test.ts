import assert from "node:assert/strict";
import test from "node:test";
import { epochOf, nodeIdOf, runIdOf, seqOf } from "../../src/base/ids.ts";
import { nextTerm, role } from "../../src/cluster/role.ts";
import { etagText, parsePosition, termAt } from "../../src/storage/position_text.ts";
import type { TermRecord } from "../../src/storage/log.ts";

const me = nodeIdOf("a".repeat(32)), other = nodeIdOf("b".repeat(32));
const run = (digit: string) => runIdOf(digit.repeat(32));
const record = (epoch: number, digit: string, nodeId = me, firstSeq = 1): TermRecord => ({
  epoch: epochOf(epoch),
  run: run(digit),
  nodeId,
  firstSeq: seqOf(firstSeq),
});

test("the first leadership of a database has epoch 1", () => {
  assert.deepEqual(nextTerm(undefined, me, 0, run("1")), { epoch: 1, run: run("1") });
});

test("a restart of the last leader keeps the epoch; another node's database rises it", () => {
  assert.equal(nextTerm(record(3, "1"), me, 3, run("2")).epoch, 3);
  assert.equal(nextTerm(record(3, "1", other), me, 3, run("2")).epoch, 4);
});

test("an epoch that was only heard of is not used again", () => {
  assert.equal(nextTerm(record(3, "1", other), me, 7, run("2")).epoch, 8);
  assert.equal(nextTerm(record(3, "1", other), me, 4, run("2")).epoch, 5, "also where it is the next one");
  assert.equal(nextTerm(undefined, me, 1, run("2")).epoch, 2);
});

test("a restart of the last leader does not go above an epoch that it has only heard of", () => {
  assert.equal(nextTerm(record(3, "1"), me, 7, run("2")).epoch, 3);
});

test("the gate answers by role, read-only mode and end", () => {
  const r = role(me);
  const code = (): string => {
    try {
      r.gate();
      return "open";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  assert.equal(code(), "not_leader");
  const leadership = r.lead("leader", { epoch: epochOf(1), run: run("1") });
  assert.equal(code(), "open");
  r.setReadOnly("operator", true);
  assert.equal(code(), "read_only");
  assert.throws(() => r.gate(), /^DfdbError: Database is in read-only mode \(operator\)/);
  r.setReadOnly("follower_ahead", true);
  assert.deepEqual(r.readOnly, { on: true, reason: "behind_followers" });
  r.setReadOnly("follower_ahead", false);
  assert.deepEqual(r.readOnly, { on: true, reason: "operator" }, "one cause does not end another");
  r.setReadOnly("operator", false);
  assert.equal(code(), "open");
  r.leadAs("none");
  assert.deepEqual([r.kind, r.leadership === leadership, leadership.signal.aborted], ["none", true, false]);
  r.follow();
  assert.equal(leadership.signal.aborted, true);
  r.setLeaderHttpUrl("http://leader:5000");
  assert.throws(() => r.gate(), /http:\/\/leader:5000/);
  r.close();
  assert.equal(code(), "closing");
});

test("an etag names the term of the document's last change, over many terms", () => {
  const terms = Array.from({ length: 40 }, (_, i) => record(i + 1, (i % 10).toString(), me, 1 + i * 10));
  for (let seq = 1; seq <= 400; seq++) {
    assert.equal(termAt(terms, seqOf(seq)).epoch, Math.floor((seq - 1) / 10) + 1, `seq ${seq}`);
  }
  assert.equal(etagText(terms, seqOf(25)), "3.22222222-25");
  assert.deepEqual(parsePosition("3.22222222-25"), { epoch: 3, run: "22222222", seq: 25 });
});

test("a position that is not of our form is refused", () => {
  for (
    const text of [
      "",
      "5",
      "1.x-3",
      "1.22222222-",
      "1.22222222-99999999999999999",
      "1.2222222-3",
      "1.22222222-3 ",
    ]
  ) {
    assert.throws(() => parsePosition(text), { code: "bad_request" }, text);
  }
});
