/** Whether this node may serve reads that are fresh enough, for `GET /ready`. */
import type { FollowingState, FollowingStatus } from "../replication/types.ts";
import type { NodeDatabase } from "./database.ts";

/** How far behind a follower may be and still be ready. */
export interface LagBounds {
  readonly maxLagSeq?: number | undefined;
  readonly maxLagMs?: number | undefined;
}

/** Null when ready, else why not. Without bounds a follower is ready once it has caught up and streams. */
export function readiness(
  { role, replication }: Pick<NodeDatabase, "role" | "replication">,
  bounds: LagBounds = {},
): string | null {
  if (role.kind !== "follower") {
    return role.readOnly.reason === "behind_followers"
      ? "This node is read-only: it lacks entries that its followers may hold"
      : null;
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
