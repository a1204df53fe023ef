/** Whether this node may serve reads that are fresh enough, for `GET /ready`. */
import type { ReadOnlyReason } from "../cluster/role.ts";
import type { FollowingState, FollowingStatus } from "../replication/types.ts";
import type { NodeDatabase } from "./database.ts";

/** How far behind a follower may be and still be ready. */
export interface LagBounds {
  readonly maxLagSeq?: number | undefined;
  readonly maxLagMs?: number | undefined;
}

/** Why reads of a leader that is read-only may be older than what another node has answered; null: nobody else takes writes. */
const notFresh: Readonly<Record<ReadOnlyReason, string | null>> = {
  behind_followers: "it lacks entries that its followers may hold",
  fenced: "another node has led since",
  handover_in_doubt: "it gave its role away and does not know yet whether the other node took it",
  no_lease: "the authority does not let it lead now, and another node may",
  unconfirmed_leadership: "it still asks whether another node leads",
  handover: null,
  operator: null,
};

/** Null when ready, else why not. Without bounds a follower is ready once it has caught up and streams. */
export function readiness(
  { role, replication, authority }: Pick<NodeDatabase, "role" | "replication" | "authority">,
  bounds: LagBounds = {},
): string | null {
  if (role.kind !== "follower") {
    const { reason } = role.readOnly;
    // The gate notes a lost lease with the next write only.
    const lacks = (reason === null ? null : notFresh[reason]) ??
      (authority.check() === null ? null : notFresh.no_lease);
    return lacks === null ? null : `This node is read-only: ${lacks}`;
  }
  const status = replication.following?.status();
  if (status === undefined) return "This follower follows nobody";
  const bounded = bounds.maxLagSeq !== undefined || bounds.maxLagMs !== undefined;
  const state: FollowingState = status.state;
  if (state !== "streaming" && !(bounded && state === "catching_up")) return notStreaming(status);
  return behind("entries", status.lagSeq, bounds.maxLagSeq) ?? behind("ms", status.lagMs, bounds.maxLagMs);
}

function notStreaming({ state, lastError }: FollowingStatus): string {
  const error = lastError === null ? "" : ` (${lastError.code}: ${lastError.message})`;
  return `This follower is ${state.replace("_", " ")}${error}`;
}

function behind(unit: string, lag: number | null, max: number | undefined): string | null {
  if (max === undefined || (lag !== null && lag <= max)) return null;
  const known = lag === null ? "an unknown number of" : Math.round(lag);
  return `This follower is ${known} ${unit} behind, more than ${max}`;
}
