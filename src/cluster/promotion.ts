/** May this follower lead? The answers for an operator, and for a candidate whose leader is silent. */
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";

export interface PromotionFacts {
  /** The leader is in touch with this node. */
  readonly leaderHeard: boolean;
  /** As the leader told last; null: it never did. */
  readonly leaderReadOnly: boolean | null;
  readonly seq: Seq;
  /** The leader's last position as it told; null: it never did. */
  readonly leaderSeq: Seq | null;
  /** The database here is older than what this node itself held before. */
  readonly mirrorAhead: boolean;
  /** What the authority says against it. */
  readonly noLease: DfdbError | null;
  readonly force: boolean;
}

/** Why an operator's `promote` is refused; null: it is taken. `force` goes round everything but the authority. */
export function refusalToPromote(facts: PromotionFacts): DfdbError | null {
  const { leaderHeard, leaderReadOnly, seq, leaderSeq, mirrorAhead, noLease, force } = facts;
  if (noLease !== null) return noLease;
  if (force) return null;
  if (leaderHeard && leaderReadOnly !== true) {
    const sentence =
      "The leader of this node is there and takes writes; make it read-only first, or hand over from there";
    return new DfdbError("leader_active", sentence);
  }
  if (leaderSeq !== null && seq < leaderSeq) {
    const sentence = `This node holds entries up to ${seq}, and its leader had ${leaderSeq}`;
    return new DfdbError("behind_final_position", sentence, { details: { seq, leaderSeq } });
  }
  if (leaderSeq === null && seq === 0) {
    const sentence =
      "This node holds nothing, and was never in touch with its leader: it would begin another database";
    return new DfdbError("behind_final_position", sentence, { details: { seq } });
  }
  if (mirrorAhead) {
    const sentence = "The database of this node is older than what it held before";
    return new DfdbError("behind_final_position", sentence, { details: { seq } });
  }
  return null;
}

/** What speaks against a follower, whose `highestEpoch` is what it ever heard of, before the authority (`kind`) is asked. */
export function noLeaseFor(kind: string, highestEpoch: number): DfdbError | null {
  // It has a database id of its own still: the lease that it would be given is not the one that its leader has.
  if (kind === "silence" || highestEpoch > 0) return null;
  const sentence =
    "This node may not lead: it was never in touch with its leader, and would begin another database";
  return new DfdbError("no_lease", sentence, { details: { reason: "stranger" } });
}

export interface TakeOverFacts {
  /** The leader accepted this node as its candidate in this run. */
  readonly armed: boolean;
  /** What this node is doing, or what is wrong with it, that forbids it to lead. */
  readonly unfit: string | null;
  /** This node heard a leader of this database since it started. */
  readonly everInTouch: boolean;
  readonly seq: Seq;
  readonly leaderSeq: Seq | null;
  readonly maxLagOps: number;
  readonly mirrorAhead: boolean;
  /** It is prepared to lead, or about to. */
  readonly inHandover: boolean;
}

/** Why a candidate must not take the place of its silent leader; null: it may. */
export function whyNotTakeOver(facts: TakeOverFacts): string | null {
  const { armed, unfit, everInTouch, seq, leaderSeq, maxLagOps, mirrorAhead, inHandover } = facts;
  if (!everInTouch) return "this node was never in touch with its leader";
  if (!armed) return "the leader has not accepted this node as its candidate";
  if (inHandover) return "this node is in a handover";
  if (unfit !== null) return unfit;
  if (mirrorAhead) return "the database of this node is older than what it held before";
  const lagOps = leaderSeq === null ? 0 : leaderSeq - seq;
  return lagOps > maxLagOps ? `this node is ${lagOps} entries behind, more than ${maxLagOps}` : null;
}
