/**
 * A leader that may lack entries that it once sent does not write (decision of the operator, or of a follower that
 * connects): it starts read-only when its sidecar is ahead of its database, and becomes so when a follower that holds
 * more comes before the first write of this run. After that write a new epoch is the only way: it is shown, no more.
 */
import type { NodeId } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { ReadOnlyCause, Role } from "../cluster/role.ts";
import type { DurableFollower, RefusedFollower } from "../replication/types.ts";
import type { LogReader } from "../storage/log.ts";
import type { KeptState } from "./kept_state.ts";

export interface BehindFollowers {
  /** The sidecar was ahead when this process started, and no peer has said yet what there was. */
  readonly suspicious: boolean;
  /** The data file is older than its sidecar. */
  mirrorAhead(): void;
  /** This node begins to serve followers. */
  leads(): void;
  onAhead(follower: RefusedFollower): void;
  onFound(follower: DurableFollower): void;
  /** A new epoch has begun: what was missing is given up. */
  forget(): void;
}

export interface BehindFollowersOptions {
  readonly role: Role;
  readonly kept: KeptState;
  readonly log: LogReader;
  readonly logger: Logger;
}

export function behindFollowers({ role, kept, log, logger }: BehindFollowersOptions): BehindFollowers {
  let suspicious = false;
  const ahead = new Set<NodeId>();
  const set = (cause: ReadOnlyCause, on: boolean): void => {
    if (role.readOnlyCauses.has(cause) === on) return;
    role.setReadOnly(cause, on);
    kept.save();
    logger.warn(on ? "read-only: this node may lack entries" : "a follower holds no more than this node", {
      cause,
      readOnly: role.readOnly.on,
    });
  };
  const wroteNothing = (): boolean => role.leadership !== null && log.last.run !== role.leadership.run;
  const suspect = (): void => {
    if (suspicious && role.kind === "leader" && wroteNothing()) set("mirror_ahead", true);
  };
  return {
    get suspicious() {
      return suspicious;
    },
    mirrorAhead() {
      suspicious = true;
      suspect();
    },
    leads: suspect,
    onAhead(follower) {
      ahead.add(follower.nodeId);
      if (wroteNothing()) set("follower_ahead", true);
    },
    onFound({ nodeId, seq }) {
      if (ahead.delete(nodeId) && ahead.size === 0) set("follower_ahead", false);
      if (seq === 0) return; // an empty follower knows nothing of what there was
      suspicious = false;
      set("mirror_ahead", false);
    },
    forget() {
      suspicious = false;
      ahead.clear();
    },
  };
}
