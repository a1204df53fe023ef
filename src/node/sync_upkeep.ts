/** Keeps the authority's list of who may lead next: followers that hold every answered write, as many as answers wait for. */
import type { Authority } from "../cluster/authority.ts";
import { nextSyncChange } from "../cluster/authority/sync_change.ts";
import type { Timer } from "../runtime/runtime.ts";
import type { ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";

/** How often somebody looks whether a change is due. */
const lookMs = 250;

/** Runs until it is stopped; does nothing while this node does not lead, or where the authority keeps no list. */
export function syncUpkeep(parts: ReplicationParts, stand: Stand): () => void {
  const { runtime: { clock }, authority: { syncSet } } = parts;
  if (syncSet === null) return () => {};
  let timer: Timer | null = null, stopped = false;
  const look = async (): Promise<void> => {
    await change(parts, stand, syncSet);
    if (!stopped) timer = clock.timer(lookMs, () => void look());
  };
  timer = clock.timer(lookMs, () => void look());
  return () => {
    stopped = true;
    timer?.cancel();
  };
}

async function change(
  { role, sync, nodeStore }: ReplicationParts,
  { server, acks }: Stand,
  syncSet: NonNullable<Authority["syncSet"]>,
): Promise<void> {
  if (role.leadership === null || server === null || acks === null || sync.required === 0) return;
  const members = syncSet.members();
  if (members === null || members.length === 0) return;
  const due = nextSyncChange({
    leader: nodeStore.nodeId,
    required: sync.required,
    members,
    answeredSeq: acks.answeredSeq,
    followers: server.durable().filter(({ candidate }) => candidate).map(({ nodeId, seq }) => ({
      nodeId,
      durableSeq: seq,
    })),
  });
  if (due === null) return;
  // Who enters counts from the call on, in this macrotask.
  const changing = due.type === "enter" ? syncSet.enter(due.nodeId) : syncSet.leave(due.nodeId);
  await changing;
  acks.recheck();
}
