import type { DfdbError } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs, Seq } from "../base/ids.ts";
import type { Machine, Tick } from "../base/machine.ts";
import type { LogEntry, Position } from "../storage/log.ts";
import type {
  Abort,
  Commit,
  Declined,
  KnownNode,
  Message,
  Prepare,
  SnapshotOffer,
  Welcome,
} from "../wire/message.ts";
import type { AheadOf } from "./ahead.ts";
import type { FollowerTail } from "./follower_tail.ts";
import type { LeaderView } from "./leader_view.ts";
import type { FollowingState } from "./types.ts";
import type { WireAddress } from "./wire_address.ts";

/** What a leader says in a handover. */
export type HandoverFromLeader = Prepare | Commit | Abort | Declined;

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
  /** `slowly`: not in one go, so that the time until now does not tell what it cost. */
  | { readonly type: "applied"; readonly position: Position; readonly slowly?: boolean }
  | { readonly type: "applyFailed"; readonly error: DfdbError }
  /** Entries after `seq` wait from now on; null: none does. */
  | { readonly type: "hold"; readonly seq: Seq | null }
  /** Somebody wants a whole new copy of the leader's database here. */
  | { readonly type: "resync" }
  /** What a hello says has changed. */
  | { readonly type: "reconnect"; readonly reason: string }
  /** The leader may be there. */
  | { readonly type: "tryFirst"; readonly address: WireAddress }
  | ResyncInput
  | { readonly type: "stop" };

/** What came of the effect of the same kind; `resyncFailed` of any. */
export type ResyncInput =
  | { readonly type: "rescued" }
  | { readonly type: "resumable"; readonly resume: { readonly id: string; readonly offset: number } | null }
  | { readonly type: "begun" }
  | { readonly type: "written"; readonly bytes: number }
  | { readonly type: "installed"; readonly position: Position }
  | { readonly type: "resyncFailed"; readonly error: DfdbError };

/** What a follower wants done. */
export type FollowerEffect =
  | { readonly type: "connect"; readonly address: WireAddress }
  | { readonly type: "send"; readonly message: Message }
  /** The leader was found to be the right one: an empty database takes over its id. */
  | { readonly type: "adopt"; readonly databaseId: DatabaseId }
  /** The handshake is complete: from now on larger bodies may come. Addresses that were told have their hosts. */
  | {
    readonly type: "established";
    readonly leader: KnownNode;
    readonly welcome: Welcome;
    readonly knownNodes: readonly KnownNode[];
  }
  /** Whom clients are to write to. */
  | { readonly type: "hint"; readonly httpUrl: string | null }
  /** A proved peer told of these, with their hosts. */
  | { readonly type: "knownNodes"; readonly nodes: readonly KnownNode[] }
  /** All entries that came before it are applied. */
  | { readonly type: "handover"; readonly message: HandoverFromLeader }
  /** Wants `applyNow` in a later macrotask: what has arrived meanwhile goes into the same transaction. */
  | { readonly type: "applySoon" }
  /** To be answered with `applied` or `applyFailed`, at once or later; no other `apply` comes before. */
  | { readonly type: "apply"; readonly entries: readonly LogEntry[] }
  | ResyncEffect
  /** Ends the connection or the attempt. The leader is sent `last` before; null: the connection is cut at once. */
  | {
    readonly type: "disconnect";
    readonly error: DfdbError;
    readonly last: Message | null;
    /** False: a step on the way, nothing that somebody should look into. */
    readonly news: boolean;
  };

/** Calls of `Resync`: one after the other, in order, each answered; after one that failed the rest of a connection's fail, too. */
export type ResyncEffect =
  | { readonly type: "rescue"; readonly common: Seq | null }
  | { readonly type: "resumable" }
  | { readonly type: "begin"; readonly offer: SnapshotOffer }
  | { readonly type: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: "install"; readonly checksum: number };

/** The stream over all connections. */
export interface StreamProgress {
  readonly tail: FollowerTail;
  readonly opsApplied: number;
  readonly gapsDetected: number;
  /** The entry that was applied last, by this session. */
  readonly lastApplied: LogEntry | null;
}

/** Follows one leader for ever: connects, proves, applies, acknowledges, takes a snapshot if it must, and begins again. */
export interface FollowerSession extends Machine<FollowerInput, FollowerEffect> {
  readonly state: FollowingState;
  readonly leader: LeaderView;
  readonly stream: StreamProgress;
  readonly heardAt: number | null;
  /** The leader may send entries, and be sent what belongs to a handover. */
  readonly streaming: boolean;
  /** Who is at the other end: the leader that welcomed this node last, or another; unknown until it has said so. */
  readonly peer: "leader" | "other" | "unknown";
  /** Why this node must not lead in its leader's place now; null: nothing speaks against it. */
  readonly unfit: string | null;
  /** As much waits to be applied as may wait: nothing more should be read from the connection. */
  readonly congested: boolean;
  /** Completed handshakes. */
  readonly connects: number;
  readonly lastError: { readonly error: DfdbError; readonly at: MonotonicMs } | null;
  /** Who last said that it lacks what is here; of interest in the state `ahead`. */
  readonly aheadOf: AheadOf | null;
  /** What is being received or installed. */
  readonly snapshot: { readonly id: string; readonly bytes: number; readonly received: number } | null;
  readonly copies: { readonly installed: number; readonly rescues: number };
}
