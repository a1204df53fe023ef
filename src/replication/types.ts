import type { DfdbError, ErrorCode } from "../base/errors.ts";
import type { DatabaseId, Epoch, NodeId, Seq } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { Signal } from "../base/signal.ts";
import type { TlsClient, TlsServer } from "../runtime/net.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { LogEntry, LogReader, Position, TermRecord, TimedLogReader } from "../storage/log.ts";
import type { AheadOf } from "./ahead.ts";
import type {
  Abort,
  Commit,
  Declined,
  KnownNode,
  Prepare,
  Prepared,
  Promoted,
  SnapshotOffer,
  State,
  TakeOver,
} from "../wire/message.ts";

/** What replication needs of the runtime. */
export type ReplicationRuntime = Pick<Runtime, "clock" | "random" | "net" | "crypto">;

/** Who this node is, as it tells its peers. All but the node id may change while the node runs. */
export interface Identity {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Name of the database on the wire; one wire port serves them all. */
  readonly database: string;
  /** Base URL of this node's HTTP API, null when it has none. */
  readonly httpUrl: string | null;
  /** Where this node leads or would lead: `host:port`, or `:port` where others put in the host; null when nowhere. */
  readonly wireAddress: string | null;
  readonly autoFailover: boolean;
  /** Silence after which this node would promote itself, null without auto-failover. */
  readonly silenceMs: number | null;
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

/** What a peer that proved the secret says of leadership, in its hello. */
export interface PeerClaim {
  /** With the host of its wire filled in. */
  readonly peer: KnownNode;
  /** The term under which it leads now. */
  readonly leads: TermRecord | null;
  /** The last term of its log, null when that is empty. */
  readonly newest: TermRecord | null;
  /** Whom it follows, or followed last. */
  readonly leader: KnownNode | null;
  /** It came as a follower. */
  readonly follows: boolean;
}

/** Why a node that listens does not lead: it stands by. */
export interface StandingBy {
  readonly leader: KnownNode | null;
  readonly epoch: Epoch | null;
}

/** What this node is, as a control connection tells it; lists may be longer than fits. */
export interface StateFields extends Omit<State, "type" | "terms" | "knownNodes"> {
  readonly terms: readonly TermRecord[];
  readonly knownNodes: readonly KnownNode[];
}

/** What the node keeps of followers that may promote themselves. */
export interface Candidates {
  /** Null: accepted, and kept durably. Else `second_candidate`, with which the follower is refused. */
  accept(nodeId: NodeId, nodeName: string, silenceMs: number | null): DfdbError | null;
  /** A follower was admitted that has auto-failover off. */
  withdrew(nodeId: NodeId): void;
}

/** Where the messages of a handover come in; each only from a follower that streams. */
export interface HandoverDoor {
  received(nodeId: NodeId, message: Prepared | Promoted | Declined | TakeOver): void;
  /** Its connection ended: nothing more comes from it, nor reaches it. */
  left(nodeId: NodeId): void;
}

export interface ServeFollowersOptions {
  readonly runtime: ReplicationRuntime;
  readonly logger: Logger;
  readonly identity: () => Identity;
  readonly databaseId: () => DatabaseId;
  readonly secret: string | null;
  readonly log: TimedLogReader;
  /** Emits after every commit, with the log's last position. */
  readonly committed: Signal<Position>;
  readonly readOnly: () => boolean;
  readonly tuning: StreamTuning;
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly snapshots: SnapshotSource;
  /** Under which this node leads; 0 while it does not. */
  readonly epoch: () => Epoch;
  /** Null: this node leads. Else followers are refused with `not_leader`. Asked at each proof. */
  readonly standing: () => StandingBy | null;
  /** What a control connection is told. `handover`: the peer asks what became of it; a prepared one may be dropped first. */
  readonly statement: (handover: string | null) => StateFields | Promise<StateFields>;
  /** A peer of this database proved itself; called before its position is judged, and after its older connection was ended. */
  readonly onClaim: (claim: PeerClaim) => void;
  readonly candidates: Candidates;
  /** Other nodes that a follower may try when this one is gone, the most useful last. */
  readonly knownNodes: () => readonly KnownNode[];
  readonly handover: HandoverDoor;
  /** A follower, its proof checked, holds entries of this epoch that this leader does not have. */
  readonly onAhead: (follower: RefusedFollower) => void;
  /** A follower's position was found in this leader's history. */
  readonly onFound: (follower: DurableFollower) => void;
  /** A follower was admitted whose position is not in this leader's history. */
  readonly onStranger: (nodeId: NodeId) => void;
  /** TLS of the wire, null for plain TCP. */
  readonly tls: TlsServer | null;
}

/** Who leads after this node, told to its followers as it goes. */
export interface Successor {
  readonly leader: KnownNode | null;
  readonly term: TermRecord | null;
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
  /** False: this follower is not connected, or does not stream. */
  send(nodeId: NodeId, message: Prepare | Commit | Abort | Declined): boolean;
  /** Wants a sign of life from these followers, younger than this call; see {@linkcode onSign}. */
  ask(nodeIds: readonly NodeId[]): void;
  /** Calls `listener` when a follower answered the newest {@linkcode ask}, or joined in answers to messages sent after it. */
  onSign(listener: (nodeId: NodeId) => void): () => void;
  /** Tells followers `goingAway`, with who leads now if that is known; stops listening, ends the sessions. */
  close(successor?: Successor): Promise<void>;
}

/** A follower as its leader sees it. */
export interface ConnectedFollower {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Has auto-failover on, and was accepted as a candidate. */
  readonly candidate: boolean;
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
  readonly identity: () => Identity;
  /** May change once: an empty database takes over its leader's id. */
  readonly databaseId: () => DatabaseId;
  readonly adoptDatabaseId: (id: DatabaseId) => void;
  readonly secret: string | null;
  /** The configured leader: a first contact. */
  readonly leader: { readonly hostname: string; readonly port: number };
  /** `host:port` of the wire that last welcomed this node, tried before the configured one; null: none is known. */
  readonly lastAddress: string | null;
  /** Whom this node followed last, as it tells its peers until a leader welcomes it; null: nobody, or not known. */
  readonly lastLeader: KnownNode | null;
  /** Other nodes of this database, the most promising first: they are tried in this order, after the others. */
  readonly knownNodes: () => readonly KnownNode[];
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
  /** Where clients are to write (the hint in 421 answers): at each welcome, and when a proved peer names another leader. */
  readonly onLeaderHint: (hint: { readonly httpUrl: string | null }) => void;
  /** Called with the epoch of the leader's log as its welcome and heartbeats tell it, each time. */
  readonly onEpoch: (epoch: Epoch) => void;
  /**
   * The leader lives: called for every piece of bytes that came from it, also inside a message; for its challenge; for a refusal
   * at the address that last welcomed this node. Not for a connection that only opened, nor for what another node said.
   */
  readonly onContact: () => void;
  readonly onWelcome: (welcomed: Welcomed) => void;
  /** The leader, or who refused this node after its proof, told of these; hosts are filled in. */
  readonly onKnownNodes: (nodes: readonly KnownNode[]) => void;
  /** A leader has welcomed this node (after `onWelcome`); or that connection has ended, with the reason. */
  readonly onLine: (up: boolean, error: DfdbError | null) => void;
  readonly handover: FollowerHandoverDoor;
  readonly tuning: StreamTuning;
}

/** What a leader told when it welcomed this node. */
export interface Welcomed {
  /** With the host of its wire filled in. */
  readonly leader: KnownNode;
  /** `host:port` where it was reached. */
  readonly endpoint: string;
  readonly term: TermRecord | null;
  readonly knownNodes: readonly KnownNode[];
  /** This node is accepted as the one that may take its place. */
  readonly candidate: boolean;
  readonly heartbeatMs: number;
}

/** Where a leader's messages of a handover come in. */
export interface FollowerHandoverDoor {
  /** In order, when every entry that came before is applied; never after its connection has ended (`onLine`). */
  received(message: Prepare | Commit | Abort | Declined): void;
}

export interface LeaderFollowing {
  status(): FollowingStatus;
  /** Entries after `seq` wait until this is called again; null: all are applied as they come. */
  holdAfter(seq: Seq | null): void;
  /** Takes a whole new copy from the leader at the next attempt, which begins at once; the old database is kept in `rescued/`. */
  resync(): void;
  /** Hangs up and says hello anew at once: what it says of this node has changed. */
  reconnect(reason: string): void;
  /** The next attempt goes to this `host:port`: at once, but while a leader streams, when that has ended. */
  tryFirst(address: string): void;
  /** False: no leader streams to this node now. */
  send(message: Prepared | Promoted | Declined | TakeOver): boolean;
  /** Why this node must not lead in the place of its leader now; null: nothing in its following speaks against it. */
  unfit(): string | null;
  /** Calls nothing of its options any more from here on, but for what is being applied. Resolves when all has settled. */
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
  /** `host:port` where the leader is, or is looked for now. */
  readonly endpoint: string;
  readonly leaderHttpUrl: string | null;
  readonly leaderNodeId: NodeId | null;
  readonly leaderTerm: TermRecord | null;
  /** The leader's last position as last heard, null before. */
  readonly leaderSeq: Seq | null;
  readonly leaderReadOnly: boolean | null;
  /** The leader that welcomed this node last accepted it as the one that may take its place. */
  readonly candidateAccepted: boolean;
  /** Of that leader; null before. */
  readonly heartbeatMs: number | null;
  /** That leader has streamed to this node since it began to follow. */
  readonly streamed: boolean;
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
  /** In the state `ahead`: of whom. */
  readonly aheadOf: AheadOf | null;
}
