/** Which changes of its role a node takes, by what it is: the table in DESIGN.md, as a pure function. */
import type { ErrorCode } from "../base/errors.ts";
import { DfdbError } from "../base/errors.ts";
import type { ReadOnlyReason, RoleKind } from "./role.ts";

/** A change that an operator asks for. */
export type RoleRequest =
  | "start-leader"
  | "start-follower"
  | "read-only"
  | "read-write"
  | "accept-loss"
  | "resync"
  | "promote"
  | "handover"
  | "auto-failover/enable"
  | "auto-failover/disable"
  | "forget";

/** What the answer depends on. */
export interface RoleFacts {
  readonly kind: RoleKind;
  readonly readOnlyReason: ReadOnlyReason | null;
  /** `host:port` of the leader that this node follows, null when it follows nobody. */
  readonly following: string | null;
  /** True once this leadership has an entry in the log. */
  readonly wrote: boolean;
  /** A higher epoch than this node's own that it has heard of, null when there is none. */
  readonly higherEpoch: number | null;
  /** A follower holds entries of this epoch that are not here. */
  readonly followerAhead: boolean;
  /** A handover that this node gives or takes; `in_doubt`: it was told to the target that it leads, and nothing was heard since. */
  readonly handover: "underway" | "in_doubt" | null;
  /** Auto-failover is on. */
  readonly autoFailover: boolean;
}

/**
 * Why `request` is refused by a node like this; null: it is taken. `force` goes round the guards against a second leader; what it
 * lets through begins a new epoch. A `promote` that is taken here has guards of its own (promotion.ts).
 */
export function refusalOf(request: RoleRequest, facts: RoleFacts, force = false): DfdbError | null {
  const { kind, following } = facts, follower = kind === "follower";
  switch (request) {
    case "start-leader":
      if (kind === "leader") return refused("bad_request", "The replication server is already running");
      if (follower) {
        return refused("leader_active", "This node is a follower; start-leader does not promote it");
      }
      return leadsOn(facts, force);
    case "start-follower":
      return startFollower(facts);
    case "read-only":
    case "auto-failover/disable":
    case "forget":
      return null;
    case "read-write":
      return readWrite(facts, force);
    case "accept-loss":
      if (follower) return refused("conflict", "This node is a follower; ask its leader");
      if (facts.handover !== null) return refused("conflict", "This node is in a handover");
      if (facts.readOnlyReason === "behind_followers" || facts.followerAhead) return null;
      return refused("conflict", "Nothing is missing here: no follower holds more than this node");
    case "resync":
      if (following === null) return refused("conflict", "This node follows nobody");
      return facts.handover === null ? null : refused("conflict", "This node is in a handover");
    case "promote":
      if (kind === "leader") return refused("bad_request", "This node is the leader already");
      if (kind === "none") {
        return refused("conflict", "This node follows nobody; start-leader lets others follow it");
      }
      return facts.handover === null ? null : refused("conflict", "This node is in a handover");
    case "handover":
      return handover(facts);
    case "auto-failover/enable":
      if (!follower) return refused("bad_request", "Auto-failover is for followers, and this node is none");
      if (facts.autoFailover) return refused("bad_request", "Auto-failover is already on");
      return following !== null ? null : refused("conflict", "This node follows nobody");
  }
}

function startFollower({ kind, following, readOnlyReason, wrote, handover }: RoleFacts): DfdbError | null {
  if (following !== null) return refused("bad_request", `This node is already following ${following}`);
  if (handover === "underway") {
    return refused("conflict", "A handover is under way; it ends with this node as a follower");
  }
  if (kind === "follower" || readOnlyReason !== null) return null;
  if (kind === "none" && !wrote) return null;
  return refused(
    "leader_active",
    "This node takes writes; make it read-only first (POST /replication/read-only)",
  );
}

/** While a handover is under way `read-write` cancels it. */
function readWrite(facts: RoleFacts, force: boolean): DfdbError | null {
  if (facts.kind === "follower") return null;
  if (facts.readOnlyReason === "behind_followers") {
    return refused(
      "conflict",
      "This node lacks entries that its followers may hold. Let a follower connect, or give up what is missing " +
        "(POST /replication/accept-loss)",
    );
  }
  const refusal = leadsOn(facts, force);
  if (refusal !== null || force || facts.readOnlyReason !== "unconfirmed_leadership") return refusal;
  return refused(
    "conflict",
    "This node still asks whether another one leads; it takes writes by itself when it knows",
  );
}

function handover(facts: RoleFacts): DfdbError | null {
  const { kind, readOnlyReason } = facts;
  if (kind === "follower") return refused("conflict", "This node is a follower; ask its leader");
  if (kind === "none") return refused("conflict", "Nobody follows this node");
  if (facts.handover !== null) return refused("conflict", "Another handover is under way");
  if (readOnlyReason === "behind_followers" || readOnlyReason === "unconfirmed_leadership") {
    return refused(
      "conflict",
      `This node cannot give the role away while it is read-only (${readOnlyReason})`,
    );
  }
  return leadsOn(facts, false);
}

/** Why a node that leads must not go on doing so. Nothing goes round the authority. */
function leadsOn({ readOnlyReason, higherEpoch, handover }: RoleFacts, force: boolean): DfdbError | null {
  if (readOnlyReason === "no_lease") {
    return refused("no_lease", "The authority does not let this node lead now");
  }
  if (force) return null;
  if (handover === "in_doubt") {
    const sentence =
      "The role was given away, and it is not known whether the other node took it. When it is certain that it " +
      "does not lead: force";
    return refused("stale_epoch", sentence);
  }
  if (higherEpoch === null && readOnlyReason !== "fenced") return null;
  const known = higherEpoch === null ? "a higher epoch" : `epoch ${higherEpoch}`;
  const sentence = `Another node has led since: ${known} is known; let this node follow it`;
  return new DfdbError("stale_epoch", sentence, { details: { higherEpoch } });
}

function refused(code: ErrorCode, sentence: string): DfdbError {
  return new DfdbError(code, sentence);
}
