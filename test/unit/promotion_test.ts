import assert from "node:assert/strict";
import test from "node:test";
import { DfdbError } from "../../src/base/errors.ts";
import { seqOf } from "../../src/base/ids.ts";
import type { PromotionFacts, TakeOverFacts } from "../../src/cluster/promotion.ts";
import { noLeaseFor, refusalToPromote, whyNotTakeOver } from "../../src/cluster/promotion.ts";

const alone: PromotionFacts = {
  leaderHeard: false,
  leaderReadOnly: null,
  seq: seqOf(10),
  leaderSeq: seqOf(10),
  mirrorAhead: false,
  noLease: null,
  force: false,
};
const code = (given: Partial<PromotionFacts>): string =>
  refusalToPromote({ ...alone, ...given })?.code ?? "ok";

test("an operator promotes a follower whose leader is gone or read-only", () => {
  assert.equal(code({}), "ok");
  assert.equal(code({ leaderSeq: null }), "ok", "it never heard of one");
  assert.equal(code({ leaderHeard: true, leaderReadOnly: true }), "ok");
  assert.equal(code({ leaderSeq: seqOf(8) }), "ok", "this node holds more: the leader was restored");
});

test("beside a leader that writes, or behind it, only by force", () => {
  const refused: Record<string, readonly Partial<PromotionFacts>[]> = {
    leader_active: [{ leaderHeard: true, leaderReadOnly: false }, { leaderHeard: true }],
    behind_final_position: [
      { leaderSeq: seqOf(11) },
      { leaderHeard: true, leaderReadOnly: true, leaderSeq: seqOf(11) },
      { mirrorAhead: true },
      { seq: seqOf(0), leaderSeq: null },
    ],
  };
  for (const [expected, given] of Object.entries(refused)) {
    for (const facts of given) {
      assert.equal(code(facts), expected, JSON.stringify(facts));
      assert.equal(code({ ...facts, force: true }), "ok");
    }
  }
});

test("force does not go round the authority", () => {
  const noLease = new DfdbError("no_lease", "Somebody else holds the lease");
  assert.equal(code({ noLease }), "no_lease");
  assert.equal(code({ noLease, force: true }), "no_lease");
});

test("an authority is not asked for a node that has a database of its own", () => {
  assert.equal(noLeaseFor("etcd", 0)?.code, "no_lease");
  assert.equal(noLeaseFor("etcd", 1), null);
  assert.equal(noLeaseFor("silence", 0), null, "who forces it begins another database, and was told so");
});

const candidate: TakeOverFacts = {
  armed: true,
  unfit: null,
  everInTouch: true,
  seq: seqOf(100),
  leaderSeq: seqOf(150),
  maxLagOps: 50,
  mirrorAhead: false,
  inHandover: false,
};

test("a candidate takes over only when nothing speaks against it", () => {
  const why = (given: Partial<TakeOverFacts>): string | null => whyNotTakeOver({ ...candidate, ...given });
  assert.equal(why({}), null, "as far behind as it may be");
  assert.match(why({ leaderSeq: seqOf(151) }) ?? "", /51 entries behind/);
  assert.equal(why({ leaderSeq: null }), null);
  assert.match(why({ armed: false }) ?? "", /not accepted/);
  assert.match(why({ unfit: "it is installing a snapshot" }) ?? "", /installing/);
  assert.match(why({ everInTouch: false }) ?? "", /never in touch/);
  assert.match(why({ mirrorAhead: true }) ?? "", /older/);
  assert.match(why({ inHandover: true }) ?? "", /handover/);
});
