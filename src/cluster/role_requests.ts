/** Which changes of its role a node takes, by what it is: the table in DESIGN.md, as a pure function. */
import { DfdbError } from "../base/errors.ts";
import type { ReadOnlyReason, RoleKind } from "./role.ts";

/** A change that an operator asks for. */
export type RoleRequest =
  | "start-leader"
  | "start-follower"
  | "read-only"
  | "read-write"
  | "accept-loss"
  | "resync";

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
}

/** Why `request` is refused by a node like this; null: it is taken. */
export function refusalOf(request: RoleRequest, facts: RoleFacts): DfdbError | null {
  const { kind, following } = facts;
  switch (request) {
    case "start-leader":
      if (kind === "leader") return refused("bad_request", "The replication server is already running");
      if (kind === "follower") {
        return refused("leader_active", "This node is a follower; start-leader does not promote it");
      }
      return staleEpoch(facts);
    case "start-follower":
      if (following !== null) return refused("bad_request", `This node is already following ${following}`);
      if (kind === "follower" || facts.readOnlyReason !== null) return null;
      if (kind === "none" && !facts.wrote) return null;
      return refused(
        "leader_active",
        "This node takes writes; make it read-only first (POST /replication/read-only)",
      );
    case "read-only":
      return null;
    case "read-write":
      if (facts.readOnlyReason === "behind_followers") {
        return refused(
          "conflict",
          "This node lacks entries that its followers may hold. Let a follower connect, or give up what is missing " +
            "(POST /replication/accept-loss)",
        );
      }
      return kind === "follower" ? null : staleEpoch(facts);
    case "accept-loss":
      if (kind === "follower") return refused("conflict", "This node is a follower; ask its leader");
      if (facts.readOnlyReason === "behind_followers" || facts.followerAhead) return null;
      return refused("conflict", "Nothing is missing here: no follower holds more than this node");
    case "resync":
      return following !== null ? null : refused("conflict", "This node follows nobody");
  }
}

function staleEpoch({ higherEpoch }: RoleFacts): DfdbError | null {
  if (higherEpoch === null) return null;
  const sentence = `Another node has led since: epoch ${higherEpoch} is known; let this node follow it`;
  return new DfdbError("stale_epoch", sentence, { details: { higherEpoch } });
}

function refused(code: "bad_request" | "leader_active" | "conflict", sentence: string): DfdbError {
  return new DfdbError(code, sentence);
}
