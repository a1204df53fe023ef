import type { DfdbError } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs } from "../base/ids.ts";
import type { Machine, Tick } from "../base/machine.ts";
import type { LogEntry, Position } from "../storage/log.ts";
import type { Message } from "../wire/message.ts";
import type { FollowerTail } from "./follower_tail.ts";
import type { LeaderView } from "./leader_view.ts";
import type { FollowingState } from "./types.ts";

/** What happens to a follower. */
export type FollowerInput =
  | Tick
  | { readonly type: "start" }
  | { readonly type: "connected" }
  /** Bytes moved. */
  | { readonly type: "contact" }
  | { readonly type: "message"; readonly message: Message }
  /** The connection could not be made, ended by itself or brought nonsense. */
  | { readonly type: "ended"; readonly error: DfdbError }
  /** The macrotask that `applySoon` asked for has come. */
  | { readonly type: "applyNow" }
  | { readonly type: "applied"; readonly position: Position }
  | { readonly type: "applyFailed"; readonly error: DfdbError }
  | { readonly type: "stop" };

/** What a follower wants done. */
export type FollowerEffect =
  | { readonly type: "connect" }
  | { readonly type: "send"; readonly message: Message }
  /** The leader was found to be the right one: an empty database takes over its id. */
  | { readonly type: "adopt"; readonly databaseId: DatabaseId }
  /** The handshake is complete: from now on larger bodies may come. */
  | { readonly type: "established" }
  | { readonly type: "hint"; readonly httpUrl: string | null }
  /** Wants `applyNow` in a later macrotask: what has arrived meanwhile goes into the same transaction. */
  | { readonly type: "applySoon" }
  /** To be answered at once with `applied` or `applyFailed`. */
  | { readonly type: "apply"; readonly entries: readonly LogEntry[] }
  /** Ends the connection or the attempt. The leader is sent `last` before; null: the connection is cut at once. */
  | { readonly type: "disconnect"; readonly error: DfdbError; readonly last: Message | null };

/** Follows one leader for ever: connects, proves, applies, acknowledges, and begins again. */
export interface FollowerSession extends Machine<FollowerInput, FollowerEffect> {
  readonly state: FollowingState;
  readonly leader: LeaderView;
  readonly tail: FollowerTail;
  readonly heardAt: number | null;
  /** As much waits to be applied as may wait: nothing more should be read from the connection. */
  readonly congested: boolean;
  readonly opsApplied: number;
  readonly gapsDetected: number;
  /** Completed handshakes. */
  readonly connects: number;
  readonly lastError: { readonly error: DfdbError; readonly at: MonotonicMs } | null;
  /** The entry that was applied last, by this session. */
  readonly lastApplied: LogEntry | null;
}
