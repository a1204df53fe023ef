/** Whether a node may take the leader key, by what stands in etcd, and the transaction that takes it. */
import { DfdbError, type ErrorDetails } from "../../base/errors.ts";
import { type Epoch, epochOf, type NodeId } from "../../base/ids.ts";
import type { LeaderClaim } from "../authority.ts";
import type { Compare, KeysSeen, Put } from "./keys.ts";
import { epochOfText, leaderOf, leaderText, syncOf, type SyncRecord, syncText } from "./records.ts";

export type TakePlan =
  | { readonly step: "refused"; readonly error: DfdbError }
  /** The key is bound to this lease: an earlier transaction was carried out. */
  | { readonly step: "taken"; readonly epoch: Epoch; readonly sync: SyncRecord }
  | {
    readonly step: "transact";
    readonly epoch: Epoch;
    /** The set under which the node will lead. */
    readonly sync: SyncRecord;
    readonly compares: readonly Compare[];
    readonly puts: readonly Put[];
  };

/** Pure. `lease`: the id of the lease that was granted for this attempt, and for no other. */
export function planTake(seen: KeysSeen, claim: LeaderClaim, lease: string): TakePlan {
  const { node } = claim;
  const known = seen.epoch === null ? epochOf(0) : epochOfText(seen.epoch.text ?? "");
  const sync = seen.sync === null ? noSync : syncOf(seen.sync.text ?? "");
  if (known === null || sync === null) return refused("unreadable", "what stands in etcd is not ours");
  if (seen.leader?.lease === lease) {
    const own = leaderOf(seen.leader.text ?? "");
    if (own?.node.nodeId === node.nodeId) return { step: "taken", epoch: own.epoch, sync };
  }
  const way = wayIn(seen, claim);
  if ("error" in way) return { step: "refused", error: way.error };
  // Whom the leader hands over to holds all that was answered, by what both agreed on.
  if (sync.required > 0 && !way.handover && !sync.members.includes(node.nodeId)) {
    const members = sync.members.join(" ");
    return refused(
      "not_member",
      `this node may lack answered writes: it is not in the sync set, whose nodes may be promoted (${members})`,
      { members },
    );
  }
  const epoch = epochOf(Math.max(known, claim.above) + 1);
  const next = syncUnder(sync, claim), text = syncText(next);
  return {
    step: "transact",
    epoch,
    sync: next,
    compares: [
      { key: "leader", unchanged: seen.leader },
      { key: "epoch", unchanged: seen.epoch },
      { key: "sync", unchanged: seen.sync },
    ],
    puts: [
      { key: "leader", text: leaderText(node, epoch), lease },
      { key: "epoch", text: `${epoch}` },
      ...(text === (seen.sync?.text ?? syncText(noSync)) ? [] : [{ key: "sync" as const, text }]),
    ],
  };
}

const noSync: SyncRecord = { required: 0, members: [] };

/** Why the place is free for this node, or why it is not. */
function wayIn(
  seen: KeysSeen,
  { node, from }: LeaderClaim,
): { readonly handover: boolean } | { readonly error: DfdbError } {
  if (seen.leader === null) return { handover: false };
  const holder = leaderOf(seen.leader.text ?? "");
  if (holder === null) return refused("unreadable", "what stands in etcd is not ours");
  if (holder.node.nodeId === node.nodeId) return { handover: false };
  // A later leadership of the same node is not the one that was agreed to end: it may write.
  if (holder.node.nodeId === from?.nodeId && holder.epoch === from.epoch) return { handover: true };
  return refused("held", `${holder.node.nodeName} holds the lease, in epoch ${holder.epoch}`, {
    leaderNodeId: holder.node.nodeId,
    leaderName: holder.node.nodeName,
    leaderHttpUrl: holder.node.httpUrl,
    leaderWireAddress: holder.node.wireAddress,
    epoch: holder.epoch,
  });
}

/**
 * The set under which the node will lead. One that begins has the node alone: only it holds all that was answered so far. What
 * nobody kept (`required` 0) says nothing of anybody.
 */
function syncUnder(sync: SyncRecord, { node, syncRequired }: LeaderClaim): SyncRecord {
  if (syncRequired === 0) return noSync;
  const members: readonly NodeId[] = sync.required === 0 ? [] : sync.members;
  return {
    required: syncRequired,
    members: members.includes(node.nodeId) ? members : [...members, node.nodeId],
  };
}

function refused(
  reason: string,
  message: string,
  details: ErrorDetails = {},
): { readonly step: "refused"; readonly error: DfdbError } {
  return { step: "refused", error: noLease(reason, message, details) };
}

/** `no_lease`; `reason` is for programs: held, not_member, stranger, unreadable, raced, unreachable, not_held, closing. */
export function noLease(reason: string, message: string, details: ErrorDetails = {}): DfdbError {
  return new DfdbError("no_lease", `This node may not lead: ${message}`, { details: { reason, ...details } });
}
