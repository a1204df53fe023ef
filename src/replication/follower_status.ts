import type { MonotonicMs } from "../base/ids.ts";
import type { FollowerSession } from "./follower_events.ts";
import type { FollowingStatus, FollowLeaderOptions } from "./types.ts";
import { formatWireAddress, type WireAddress } from "./wire_address.ts";

/** What the node shows of its following. */
export function statusOf(
  session: FollowerSession,
  options: FollowLeaderOptions,
  address: WireAddress,
): FollowingStatus {
  const { clock } = options.runtime, { leader, heardAt } = session;
  const now = clock.monotonic(), mine = options.log.last.seq, theirs = leader.position?.seq ?? null;
  return {
    state: session.state,
    endpoint: formatWireAddress(address),
    leaderHttpUrl: leader.httpUrl,
    leaderNodeId: leader.nodeId,
    leaderTerm: leader.term,
    leaderSeq: theirs,
    leaderReadOnly: leader.readOnly,
    candidateAccepted: leader.candidate,
    heartbeatMs: leader.heartbeatMs,
    streamed: leader.streamed,
    lastContactMs: heardAt === null ? null : now - heardAt,
    lagSeq: theirs === null ? null : Math.max(0, theirs - mine),
    lagMs: theirs === null ? null : mine >= theirs ? 0 : lagMs(session, now),
    opsApplied: session.stream.opsApplied,
    gapsDetected: session.stream.gapsDetected,
    snapshot: session.snapshot,
    snapshotsInstalled: session.copies.installed,
    rescues: session.copies.rescues,
    connects: session.connects,
    lastError: lastError(session, now, clock.wall()),
    aheadOf: session.state === "ahead" ? session.aheadOf : null,
  };
}

/**
 * Age of the oldest entry that has come and is not applied; when none has come, of the one applied last (its
 * neighbour while catching up); when there is none either, unknown.
 */
function lagMs(session: FollowerSession, now: MonotonicMs): number | null {
  const entry = session.stream.tail.first ?? session.stream.lastApplied;
  return entry === null ? null : session.leader.ageOf(entry.wallMs, now);
}

function lastError(session: FollowerSession, now: MonotonicMs, wall: number): FollowingStatus["lastError"] {
  if (session.lastError === null) return null;
  const { error, at } = session.lastError;
  return { code: error.code, message: error.message, atMs: Math.round(wall - (now - at)) };
}
