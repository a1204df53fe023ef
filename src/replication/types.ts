import type { ErrorCode } from "../base/errors.ts";
import type { DatabaseId, NodeId, Seq } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { LogEntry, LogReader, Position, TermRecord } from "../storage/log.ts";

/** What replication needs of the runtime. */
export type ReplicationRuntime = Pick<Runtime, "clock" | "random" | "net" | "crypto">;

/** Who this node is, as it tells its peers. */
export interface Identity {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Name of the database on the wire; one wire port serves them all. */
  readonly database: string;
  /** Base URL of this node's HTTP API. */
  readonly httpUrl: string;
  /** `host:port` on which this node leads or would lead, null when it has none. */
  readonly wireAddress: string | null;
  readonly autoFailover: boolean;
}

/** Numbers of the stream, from the settings; all in ms or bytes. */
export interface StreamTuning {
  readonly heartbeatMs: number;
  /** Nothing heard for so long: the connection is given up. */
  readonly contactLostMs: number;
  readonly handshakeMs: number;
  readonly connectMs: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  readonly appendBytes: number;
  readonly appendEntriesMax: number;
  /** Bytes sent and not acknowledged, per follower. */
  readonly windowBytes: number;
  readonly followersMax: number;
  readonly handshakesMax: number;
}

export interface ServeFollowersOptions {
  readonly runtime: ReplicationRuntime;
  readonly logger: Logger;
  readonly identity: Identity;
  readonly databaseId: DatabaseId;
  readonly secret: string | null;
  readonly log: LogReader;
  /** Emits after every commit, with the log's last position. */
  readonly committed: Signal<Position>;
  readonly readOnly: () => boolean;
  readonly tuning: StreamTuning;
  readonly listen: { readonly hostname: string; readonly port: number };
  /** Several followers may have auto-failover on (an outside authority chooses); default: one, `second_candidate`. */
  readonly severalCandidates?: boolean;
}

export interface FollowerServer {
  readonly hostname: string;
  readonly port: number;
  followers(): readonly ConnectedFollower[];
  /** Tells followers `going_away`, stops listening, ends the sessions. */
  close(): Promise<void>;
}

/** A follower as its leader sees it. */
export interface ConnectedFollower {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** `host:port` of its socket. */
  readonly endpoint: string;
  readonly httpUrl: string | null;
  readonly connectedAtMs: number;
  readonly handshakeSeq: Seq;
  readonly sentSeq: Seq;
  /** Durable there. */
  readonly ackedSeq: Seq;
  readonly lagSeq: number;
  /** Age of the oldest entry that it has not acknowledged, 0 when it has all. */
  readonly lagMs: number;
  /** Sent and not acknowledged. */
  readonly bytesInFlight: number;
  readonly state: "catching_up" | "streaming";
  readonly mode: "logical";
}

export interface FollowLeaderOptions {
  readonly runtime: ReplicationRuntime;
  readonly logger: Logger;
  readonly identity: Identity;
  /** May change once: an empty database takes over its leader's id. */
  readonly databaseId: () => DatabaseId;
  readonly adoptDatabaseId: (id: DatabaseId) => void;
  readonly secret: string | null;
  readonly leader: { readonly hostname: string; readonly port: number };
  readonly log: LogReader;
  /**
   * Applies entries in one transaction, durable when it returns the new last position. Throws DfdbError
   * (`gap`, `diverged`, `corrupt`, `version`, `disk_full`): nothing was kept.
   */
  readonly apply: (entries: readonly LogEntry[]) => Position;
  /** Called when what the leader says of itself changed (its HTTP URL is the hint in 421 answers). */
  readonly onLeaderHint: (hint: { readonly httpUrl: string | null }) => void;
  readonly tuning: StreamTuning;
}

export interface LeaderFollowing {
  status(): FollowingStatus;
  close(): Promise<void>;
}

/**
 * `waiting`: between attempts, the line or the leader was down. `refused` (in the handshake) and `error` (in the stream): see
 * `lastError`; attempts go on, nothing is discarded, and the state is shown until a leader welcomes this node again.
 */
export type FollowingState =
  | "connecting"
  | "handshake"
  | "catching_up"
  | "streaming"
  | "waiting"
  | "refused"
  | "error"
  | "stopped";

export interface FollowingStatus {
  readonly state: FollowingState;
  /** `host:port` of the leader's wire. */
  readonly endpoint: string;
  readonly leaderHttpUrl: string | null;
  readonly leaderNodeId: NodeId | null;
  readonly leaderTerm: TermRecord | null;
  /** The leader's last position as last heard, null before. */
  readonly leaderSeq: Seq | null;
  readonly leaderReadOnly: boolean | null;
  /** Age of the last byte from the leader, null when never heard. */
  readonly lastContactMs: number | null;
  readonly lagSeq: number | null;
  /** How old the leader's last entry that is not applied here is; 0 when all is applied; null when never heard. */
  readonly lagMs: number | null;
  /** Entries applied from a leader since this process started. */
  readonly opsApplied: number;
  readonly gapsDetected: number;
  /** Handshakes that a leader completed with `welcome`. */
  readonly connects: number;
  /** Stays after recovery; `atMs` is wall time. */
  readonly lastError: { readonly code: ErrorCode; readonly message: string; readonly atMs: number } | null;
}
