/** What `GET /replication/status` says of who leads, who may, and a handover under way. */
import type { MonotonicMs } from "../base/ids.ts";
import type { HandoverProgress } from "../cluster/handover_events.ts";
import type { KnownPeer, RoleOrigin } from "../storage/storage.ts";
import type { AutoFailoverView } from "./auto_failover.ts";

export interface LeadershipSources {
  /** By settings; null: a program says. The role in force may be another one. */
  readonly configured: string | null;
  readonly origin: RoleOrigin;
  /** Why the role is not the configured one, null when it is. */
  readonly note: string | null;
  /** This node took the role of a silent leader, and has it still. */
  readonly promoted: boolean;
  readonly handover: HandoverProgress | null;
  readonly autoFailover: AutoFailoverView | null;
  readonly nodes: readonly KnownPeer[];
  readonly authority: { readonly kind: string; readonly holds: boolean };
  readonly now: MonotonicMs;
}

export function leadershipBlocks(sources: LeadershipSources): Record<string, unknown> {
  const { handover, autoFailover, nodes, authority, now } = sources;
  return {
    handover: handover === null ? null : handoverOf(handover, now),
    autoFailover: autoFailover === null ? null : {
      silenceSeconds: autoFailover.silenceMs / 1000,
      newLeaderPort: autoFailover.newLeaderPort,
      state: autoFailover.state,
      reason: autoFailover.reason,
      silentMs: autoFailover.silentMs === null ? null : Math.round(autoFailover.silentMs),
    },
    nodes: nodes.map(({ nodeId, nodeName, httpUrl, wireAddress, candidate, silenceMs, seenMs }) => ({
      nodeId,
      nodeName,
      httpEndpoint: httpUrl,
      wireAddress,
      candidate,
      silenceSeconds: silenceMs === null ? null : silenceMs / 1000,
      seen: seenMs === 0 ? null : new Date(seenMs).toISOString(),
    })),
    authority,
  };
}

function handoverOf(
  { id, step, target, finalSeq, targetSeq, since }: HandoverProgress,
  now: MonotonicMs,
): Record<string, unknown> {
  const to = { nodeId: target.nodeId, nodeName: target.nodeName, httpEndpoint: target.httpUrl };
  return { id, step, to, finalSeq, targetSeq, sinceMs: Math.round(now - since) };
}
