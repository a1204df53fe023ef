/** Wires the replication shells to the rest of the node: what follows me, and whom I follow. */
import type { Logger } from "../base/logger.ts";
import { limits } from "../base/limits.ts";
import type { Role } from "../cluster/role.ts";
import type { Engine } from "../engine/engine.ts";
import { followLeader } from "../replication/follow_leader.ts";
import { serveFollowers } from "../replication/serve_followers.ts";
import type { SyncAcks, SyncSettings } from "../replication/sync_acks.ts";
import { syncAcks } from "../replication/sync_acks.ts";
import type {
  FollowerServer,
  Identity,
  LeaderFollowing,
  Resync,
  SnapshotSource,
  StreamTuning,
} from "../replication/types.ts";
import type { TlsClient, TlsServer } from "../runtime/net.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeStore, Storage } from "../storage/storage.ts";
import type { BehindFollowers } from "./behind_followers.ts";
import type { KeptState } from "./kept_state.ts";
import { epochNote } from "./kept_state.ts";
import type { Settings } from "./settings.ts";

export interface ReplicationParts {
  readonly runtime: Runtime;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly storage: Storage;
  readonly nodeStore: NodeStore;
  readonly engine: Engine;
  readonly role: Role;
  readonly kept: KeptState;
  readonly behind: BehindFollowers;
  readonly snapshots: SnapshotSource;
  readonly resync: Resync;
  /** Base URL of this node's HTTP API, null when it has none. */
  readonly httpUrl: string | null;
  readonly tls: { readonly server: TlsServer | null; readonly client: TlsClient | null };
  readonly sync: SyncNumbers;
}

/** Semi-synchronous replication; may change while the node runs. */
export interface SyncNumbers {
  required: number;
  timeoutMs: number;
}

/** Where a leader listens. */
export interface ListenFor {
  /** 0 picks a free one. */
  readonly port: number;
  /** Default: the setting, else all interfaces with a secret, loopback without. */
  readonly hostname?: string;
  /** Default: the setting. */
  readonly secret?: string | null;
}

/** Which leader to follow. */
export interface LeaderAt {
  readonly hostname: string;
  readonly port: number;
  /** Default: the setting. */
  readonly secret?: string | null;
}

/** What the answers to writes wait for while this node serves followers. */
export function waitsFor({ runtime, settings, sync }: ReplicationParts): SyncAcks {
  const candidates = settings.syncCandidates as SyncSettings["candidates"];
  return syncAcks({ clock: runtime.clock, settings: () => ({ ...sync, candidates }) });
}

/** Throws `port_in_use` when the port is taken. */
export function serve(parts: ReplicationParts, listen: ListenFor, acks: SyncAcks): Promise<FollowerServer> {
  const { runtime, settings, logger, storage, engine, role, kept, behind, snapshots, tls } = parts;
  const secret = listen.secret ?? settings.replicationSecret;
  const hostname = listen.hostname ?? settings.replicationBind ?? (secret === null ? "127.0.0.1" : "0.0.0.0");
  return serveFollowers({
    runtime,
    logger,
    identity: identity(parts),
    databaseId: storage.databaseId,
    secret,
    log: storage.log,
    committed: engine.committed,
    readOnly: () => role.readOnly.on,
    tuning: tuning(settings),
    listen: { hostname, port: listen.port },
    snapshots,
    onAhead: (follower) => behind.onAhead(follower),
    onFound(follower) {
      behind.onFound(follower);
      acks.found(follower);
    },
    onEpoch: epochNote(kept, logger),
    tls: tls.server,
  });
}

export function follow(parts: ReplicationParts, leader: LeaderAt): LeaderFollowing {
  const { runtime, settings, logger, storage, kept, engine, role, resync, tls } = parts;
  return followLeader({
    runtime,
    logger,
    identity: identity(parts),
    databaseId: () => storage.databaseId,
    adoptDatabaseId: (id) => {
      kept.adopt(id);
      storage.adoptDatabaseId(id);
    },
    secret: leader.secret ?? settings.replicationSecret,
    leader,
    log: storage.log,
    apply: (entries) => engine.apply(entries),
    resync,
    tls: tls.client,
    onLeaderHint: ({ httpUrl }) => role.setLeaderHttpUrl(httpUrl),
    onEpoch: epochNote(kept, logger),
    tuning: tuning(settings),
  });
}

function identity({ settings, nodeStore, httpUrl }: ReplicationParts): Identity {
  return {
    nodeId: nodeStore.nodeId,
    nodeName: settings.nodeName,
    database: "default",
    httpUrl,
    wireAddress: null,
    autoFailover: false,
  };
}

function tuning(settings: Settings): StreamTuning {
  const { heartbeatMs, followersMax, snapshotAboveEntries, snapshotBytesPerSecond } = settings;
  return {
    heartbeatMs,
    contactLostMs: Math.max(limits.contactLostMs, heartbeatMs * 5),
    handshakeMs: limits.handshakeMs,
    connectMs: limits.connectMs,
    reconnectMinMs: limits.reconnectMinMs,
    reconnectMaxMs: limits.reconnectMaxMs,
    appendBytes: limits.appendBytes,
    appendEntriesMax: limits.appendEntriesMax,
    windowBytes: limits.windowBytes,
    followersMax,
    handshakesMax: limits.handshakesMax,
    snapshotAboveEntries,
    snapshotBytesPerSecond,
    snapshotBusyBytesPerSecond: limits.snapshotBusyBytesPerSecond,
  };
}
