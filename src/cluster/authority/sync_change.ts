/** Which change of the sync set is due. Pure. */
import type { NodeId, Seq } from "../../base/ids.ts";

export interface SyncFacts {
  readonly leader: NodeId;
  /** `minSyncReplicas`. */
  readonly required: number;
  readonly members: readonly NodeId[];
  /** The newest seq that was answered to anybody, or may have been. */
  readonly answeredSeq: Seq;
  /**
   * Followers that may take over and keep up, as the caller judges: connected, streaming, acknowledging. A member that is not
   * among them is to be replaced.
   */
  readonly followers: readonly { readonly nodeId: NodeId; readonly durableSeq: Seq }[];
}

export type SyncChange =
  | { readonly type: "enter"; readonly nodeId: NodeId }
  | { readonly type: "leave"; readonly nodeId: NodeId };

/**
 * One change at a time; null: none. The set is to be the leader and `required` followers that keep up. Whoever goes does so only
 * when as many others are in: first one enters, then one leaves.
 */
export function nextSyncChange(facts: SyncFacts): SyncChange | null {
  const { leader, required, members } = facts;
  if (required === 0) return null;
  if (!members.includes(leader)) return { type: "enter", nodeId: leader };
  const others = members.filter((nodeId) => nodeId !== leader);
  const durable = new Map(facts.followers.map(({ nodeId, durableSeq }) => [nodeId, durableSeq]));
  const away = others.filter((nodeId) => !durable.has(nodeId)).sort();
  if (others.length > required) {
    // Each answer waits for all of them: rather without one that is away, then without the one that is last.
    const last = others.toSorted((a, b) => (durable.get(a) ?? 0) - (durable.get(b) ?? 0) || (a < b ? 1 : -1));
    return { type: "leave", nodeId: away[0] ?? last[0] as NodeId };
  }
  if (others.length - away.length >= required) return null;
  const next = facts.followers
    .filter(({ nodeId, durableSeq }) => !members.includes(nodeId) && durableSeq >= facts.answeredSeq)
    .toSorted((a, b) => b.durableSeq - a.durableSeq || (a.nodeId < b.nodeId ? -1 : 1))[0];
  return next === undefined ? null : { type: "enter", nodeId: next.nodeId };
}
