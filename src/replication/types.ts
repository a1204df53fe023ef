import type { ErrorCode } from "../base/errors.ts";
import type { DatabaseId, Epoch, NodeId, Seq } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import type { TlsClient, TlsServer } from "../runtime/net.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { LogEntry, LogReader, Position, TermRecord, TimedLogReader } from "../storage/log.ts";
import type { SnapshotOffer } from "../wire/message.ts";

/** What replication needs of the runtime. */
export type ReplicationRuntime = Pick<Runtime, "clock" | "random" | "net" | "crypto">;

/** Who this node is, as it tells its peers. */
export interface Identity {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Name of the database on the wire; one wire port serves them all. */
  readonly database: string;
  /** Base URL of this node's HTTP API, null when it has none. */
  readonly httpUrl: string | null;
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
  /** An empty follower gets a snapshot instead of the log when the log would be so many entries. */
  readonly snapshotAboveEntries: number;
  /** Most bytes of a snapshot that are sent to one follower in a second. */
  readonly snapshotBytesPerSecond: number;
  /** The same while the leader takes writes: their clients come first. */
  readonly snapshotBusyBytesPerSecond: number;
}

/** Where a leader's snapshots come from (made off the main thread, shared by all followers that want one). */
export interface SnapshotSource {
  /**
   * The snapshot `resumeId` if it is still kept and the log still goes on from its position, else another kept one, else
   * a new one. None that ends before `notBefore` (or this log's end, if that is earlier): a follower refuses one that is older than
   * what it has, and would get the same again. Rejects with `disk_full`, `io_error`, or the reason of `signal`.
   */
  acquire(resumeId: string | null, signal: AbortSignal, notBefore?: Seq): Promise<SnapshotLease>;
}

/** One follower's use of a snapshot file; the file is kept, and the log after it is held back, until it is released. */
export interface SnapshotLease {
  /** 32 hex digits. */
  readonly id: string;
  readonly bytes: number;
  readonly position: Position;
  /** Rejects with `io_error`. Returns exactly `length` bytes. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /**
   * CRC-32 over the CRC-32s (4 bytes little-endian each) of all pieces of `snapshotPieceBytes`, the last one shorter. Known once
   * the whole file was read here at least once; computes in slices what is missing.
   */
  checksum(): Promise<number>;
  release(): void;
}

/** How a follower takes over a state that it cannot reach by the log. Its calls come one after the other. */
export interface Resync {
  /** What is here of a snapshot that was cut off, null when there is nothing to go on with. */
  resumable(): Promise<{ readonly id: string; readonly offset: number } | null>;
  /** Makes room for what follows from `offer.offset` on. Rejects with `disk_full`, `io_error`. */
  begin(offer: SnapshotOffer): Promise<void>;
  /** Bytes in order, without holes. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * Checks the whole (checksum, `quick_check`, database id, position) and installs it into the live database. When it
   * resolves, the log ends at the offered position. Rejects with `corrupt` (what was received is discarded), `disk_full`, `io_error`.
   */
  install(checksum: number): Promise<Position>;
  /**
   * Writes what this node has after `common` to a rescue file, durable when it resolves; nothing is discarded yet. Where the log no
   * longer reaches back to `common`, or with null, the whole database is kept. Done before for the same tail: does nothing.
   */
  rescue(common: Seq | null): Promise<void>;
}

/** A follower that holds an entry, as semi-synchronous replication counts it. */
export interface DurableFollower {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Durable there; in this leader's history. */
  readonly seq: Seq;
  /** Has auto-failover on. */
  readonly candidate: boolean;
}

/** A follower that was turned away, as the status shows it. */
export interface RefusedFollower {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  readonly code: ErrorCode;
  readonly message: string;
  /** Its last entry. */
  readonly position: Position;
  /** Wall time. */
  readonly atMs: number;
}

export interface ServeFollowersOptions {
  readonly runtime: ReplicationRuntime;
  readonly logger: Logger;
  readonly identity: Identity;
  readonly databaseId: DatabaseId;
  readonly secret: string | null;
  readonly log: TimedLogReader;
  /** Emits after every commit, with the log's last position. */
  readonly committed: Signal<Position>;
  readonly readOnly: () => boolean;
  readonly tuning: StreamTuning;
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly snapshots: SnapshotSource;
  /** A follower, its proof checked, holds entries of this epoch that this leader does not have. */
  readonly onAhead: (follower: RefusedFollower) => void;
  /** A follower's position was found in this leader's history. */
  readonly onFound: (follower: DurableFollower) => void;
  /** A follower, its proof checked, has entries of a higher epoch than this leader's. */
  readonly onEpoch: (epoch: Epoch) => void;
  /** TLS of the wire, null for plain TCP. */
  readonly tls: TlsServer | null;
  /** Several followers may have auto-failover on (an outside authority chooses); default: one, `second_candidate`. */
  readonly severalCandidates?: boolean;
}

export interface FollowerServer {
  readonly hostname: string;
  readonly port: number;
  followers(): readonly ConnectedFollower[];
  /** What the followers that stream now hold durably: positions acknowledged in their sessions, found in this history. */
  durable(): readonly DurableFollower[];
  /** Calls `listener` after an acknowledgement moved, or a follower joined or left. Returns what stops it. */
  onAcknowledged(listener: () => void): () => void;
  /** Nodes whose last attempt was refused with `ahead`, `corrupt`, `stale_epoch` or `wrong_database`, latest last; bounded. */
  refused(): readonly RefusedFollower[];
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
  /** Payload bytes of the log after what it acknowledged. */
  readonly bytesBehind: number;
  /** `resync`: asks, rescues or waits for a snapshot; `snapshot`: receives one. */
  readonly state: "catching_up" | "streaming" | "resync" | "snapshot";
  /** Null when it receives none. */
  readonly snapshot: { readonly id: string; readonly bytes: number; readonly acked: number } | null;
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
   * Applies entries in one transaction, durable when it returns the new last position; a promise when one of them is
   * large and applied in slices. Throws or rejects with DfdbError (`gap`, `diverged`, `corrupt`, `version`,
   * `disk_full`): nothing was kept.
   */
  readonly apply: (entries: readonly LogEntry[]) => Position | Promise<Position>;
  readonly resync: Resync;
  /** TLS of the wire, null for plain TCP. */
  readonly tls: TlsClient | null;
  /** Called when what the leader says of itself changed (its HTTP URL is the hint in 421 answers). */
  readonly onLeaderHint: (hint: { readonly httpUrl: string | null }) => void;
  /** Called with the epoch of the leader's log as its welcome and heartbeats tell it, each time. */
  readonly onEpoch: (epoch: Epoch) => void;
  readonly tuning: StreamTuning;
}

export interface LeaderFollowing {
  status(): FollowingStatus;
  /** Entries after `seq` wait until this is called again; null: all are applied as they come. */
  holdAfter(seq: Seq | null): void;
  /** Takes a whole new copy from the leader at the next attempt, which begins at once; the old database is kept in `rescued/`. */
  resync(): void;
  close(): Promise<void>;
}

/**
 * `waiting`: between attempts, the line or the leader was down. `refused` (in the handshake) and `error` (in the stream): see
 * `lastError`; attempts go on, nothing is discarded, and the state is shown until a leader welcomes this node again. So are
 * `ahead` (the leader lacks entries of its own epoch that are here) and `corrupt` (one run, two contents). `diverged`: asks for the point
 * in common; `rescuing`: writes its own tail to `rescued/`; `snapshot`: waits for a snapshot or receives it; `installing`: checks and installs it.
 */
export type FollowingState =
  | "connecting"
  | "handshake"
  | "catching_up"
  | "streaming"
  | "waiting"
  | "refused"
  | "ahead"
  | "corrupt"
  | "error"
  | "diverged"
  | "rescuing"
  | "snapshot"
  | "installing"
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
  /** The snapshot that is being received or installed, null when there is none. */
  readonly snapshot: { readonly id: string; readonly bytes: number; readonly received: number } | null;
  /** Snapshots installed and tails rescued since this process started. */
  readonly snapshotsInstalled: number;
  readonly rescues: number;
  /** Handshakes that a leader completed with `welcome`. */
  readonly connects: number;
  /** Stays after recovery; `atMs` is wall time. */
  readonly lastError: { readonly code: ErrorCode; readonly message: string; readonly atMs: number } | null;
}
