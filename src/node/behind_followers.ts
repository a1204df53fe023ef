/**
 * A leader that may lack entries that it once sent does not write (decision of the operator, or of a follower that
 * connects): it starts read-only when its sidecar is ahead of its database, and becomes so when a follower that holds
 * more comes before the first write of this run. After that write a new epoch is the only way: it is shown, no more.
 *
 * Whoever got its history from this node after it lost a part cannot tell what there was: a follower that came empty, or
 * from another history, and comes back with the copy that it was given, proves nothing.
 */
import { messageOf } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { ReadOnlyCause, Role } from "../cluster/role.ts";
import type { DurableFollower, RefusedFollower } from "../replication/types.ts";
import type { LogReader } from "../storage/log.ts";
import type { KeptState } from "./kept_state.ts";
import type { MirrorPosition } from "./mirrors.ts";

export interface BehindFollowers {
  /**
   * The sidecar is ahead of the data file, and nothing has shown yet what there was: neither a follower that was found, nor a
   * leader that this node has caught up with, nor `giveUp`; and nothing was written under this node's own run.
   */
  readonly suspicious: boolean;
  /** The data file is older than its sidecar, which says `mirror`. */
  mirrorAhead(mirror: MirrorPosition): void;
  /** This node begins to serve followers. */
  leads(): void;
  onAhead(follower: RefusedFollower): void;
  onFound(follower: DurableFollower): void;
  /** A follower was admitted whose position is not in this history: it takes a copy. */
  onStranger(nodeId: NodeId): void;
  /** This node begins to follow: its leader judges what the followers it had hold. */
  follows(): void;
  /**
   * What is missing is given up with the run that `begin` begins. Until it has settled nobody's being ahead counts: a follower
   * may be judged by the old run's end until the new one's first entry is there.
   */
  giveUp(begin: () => Promise<unknown>): Promise<void>;
}

export interface BehindFollowersOptions {
  readonly role: Role;
  readonly kept: KeptState;
  readonly log: LogReader;
  readonly logger: Logger;
  /** This node follows, and a leader in whose history it is has nothing that is not here. */
  readonly upToDate: () => boolean;
}

export function behindFollowers(
  { role, kept, log, logger, upToDate }: BehindFollowersOptions,
): BehindFollowers {
  /** What the sidecar said that was ahead. */
  let mirror: MirrorPosition | null = null;
  let givingUp = false;
  /** Since this process began; what earlier ones gave ends where the log ended, since nothing was written. */
  const strangers = new Set<NodeId>();
  const again = kept.readOnlyCauses.includes("mirror_ahead");
  const knowsNothing = (nodeId: NodeId, seq: number): boolean =>
    seq === 0 || strangers.has(nodeId) || (again && seq === log.last.seq && wroteNothing());
  const ahead = new Set<NodeId>();
  const set = (cause: ReadOnlyCause, on: boolean): void => {
    if (role.readOnlyCauses.has(cause) === on) return;
    role.setReadOnly(cause, on);
    try {
      kept.save();
    } catch (error) {
      // What is kept is found out anew after a restart: by the sidecar, and by the follower that comes again.
      logger.error("why this node is read-only could not be kept", { error: messageOf(error) });
    }
    logger.warn(on ? "read-only: this node may lack entries" : "a follower holds no more than this node", {
      cause,
      readOnly: role.readOnly.on,
    });
  };
  const wroteNothing = (): boolean => role.leadership !== null && log.last.run !== role.leadership.run;
  const suspicious = (): boolean => {
    if (mirror === null) return false;
    const { epoch, seq } = log.last;
    const reached = epoch > mirror.epoch || (epoch === mirror.epoch && seq >= mirror.seq);
    if (role.leadership === null ? reached || upToDate() : !wroteNothing()) mirror = null;
    return mirror !== null;
  };
  const suspect = (): void => {
    if (suspicious() && role.kind === "leader") set("mirror_ahead", true);
  };
  return {
    get suspicious() {
      return suspicious();
    },
    mirrorAhead(position) {
      mirror = position;
      suspect();
    },
    leads: suspect,
    onAhead(follower) {
      if (givingUp) return;
      ahead.add(follower.nodeId);
      if (wroteNothing()) set("follower_ahead", true);
    },
    onFound({ nodeId, seq }) {
      if (ahead.delete(nodeId) && ahead.size === 0) set("follower_ahead", false);
      if (seq === 0) strangers.add(nodeId);
      if (knowsNothing(nodeId, seq)) return;
      mirror = null;
      set("mirror_ahead", false);
    },
    onStranger: (nodeId) => void strangers.add(nodeId),
    follows() {
      ahead.clear();
    },
    async giveUp(begin) {
      givingUp = true;
      try {
        await begin();
      } finally {
        givingUp = false;
        if (!wroteNothing()) ahead.clear();
      }
    },
  };
}
