/** Prototypes of classes that are private to their modules, by an instance that their factory makes. */
import type { SilenceWatch } from "../../../src/cluster/silence.ts";
import { silenceWatch } from "../../../src/cluster/silence.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { engine } from "../../../src/engine/engine.ts";
import type { FollowerSession } from "../../../src/replication/follower_events.ts";
import type { LeaderSession } from "../../../src/replication/leader_events.ts";
import { SendWindow } from "../../../src/replication/send_window.ts";
import type { SyncAcks } from "../../../src/replication/sync_acks.ts";
import { syncAcks } from "../../../src/replication/sync_acks.ts";
import type { Position } from "../../../src/storage/log.ts";
import { origin } from "../../../src/storage/log.ts";
import { sessionPrototypes } from "../machine_trace.ts";

/** A window that begins elsewhere may be put in its place. */
type Leader = Omit<LeaderSession, "window"> & { window: SendWindow };

export const followerSessions: FollowerSession = sessionPrototypes().follower as unknown as FollowerSession;
export const leaderSessions: Leader = sessionPrototypes().leader as unknown as Leader;
export const engines: Engine = Object.getPrototypeOf(
  engine({ storage: { log: { last: origin } } } as never),
) as Engine;
export const silenceWatches: SilenceWatch = Object.getPrototypeOf(
  silenceWatch({ graceMs: 0, facts: () => null }),
) as SilenceWatch;
export const acks: SyncAcks = Object.getPrototypeOf(syncAcks({} as never)) as SyncAcks;

/** A window in which everything up to `position` is acknowledged. */
export function windowFrom(position: Position): SendWindow {
  return new SendWindow(position);
}
