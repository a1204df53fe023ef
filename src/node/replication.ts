/** Wires the replication shells to the rest of the node: what follows me, and whom I follow. */
import type { NodeId } from "../base/ids.ts";
import { epochOf } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import { limits } from "../base/limits.ts";
import type { Authority } from "../cluster/authority.ts";
import type { Role } from "../cluster/role.ts";
import type { Engine } from "../engine/engine.ts";
import { followLeader } from "../replication/follow_leader.ts";
import { serveFollowers } from "../replication/serve_followers.ts";
import type { SyncAcks, SyncSettings } from "../replication/sync_acks.ts";
import { syncAcks } from "../replication/sync_acks.ts";
import type {
  FollowerHandoverDoor,
  FollowerServer,
  HandoverDoor,
  Identity,
  LeaderFollowing,
  PeerClaim,
  Resync,
  SnapshotSource,
  StandingBy,
  StateFields,
  StreamTuning,
  Welcomed,
} from "../replication/types.ts";
import type { Net, TlsClient, TlsServer } from "../runtime/net.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeStore, Storage } from "../storage/storage.ts";
import type { KnownNode } from "../wire/message.ts";
import type { BehindFollowers } from "./behind_followers.ts";
import type { KeptState } from "./kept_state.ts";
import { epochNote } from "./kept_state.ts";
import type { KnownNodes } from "./known_nodes.ts";
import type { Settings } from "./settings.ts";
import type { StartRole } from "./start_role.ts";

export interface ReplicationParts {
  /** Of the database, as the nodes that share it call it. */
  readonly name: string;
  /** Where it listens and connects. */
  readonly net: Net;
  readonly runtime: Runtime;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly storage: Storage;
  readonly nodeStore: NodeStore;
  readonly engine: Engine;
  readonly role: Role;
  readonly kept: KeptState;
  readonly known: KnownNodes;
  readonly behind: BehindFollowers;
  readonly snapshots: SnapshotSource;
  readonly resync: Resync;
  readonly authority: Authority;
  /** What this node was when it started. */
  readonly start: StartRole;
  /** A program says whom to follow; else a follower finds its leader by itself. */
  readonly embedded: boolean;
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
  /** Default: the one that was used last, at first the setting. */
  readonly secret?: string | null;
}

/** Which leader to follow. */
export interface LeaderAt {
  readonly hostname: string;
  readonly port: number;
  /** Default: the one that was used last, at first the setting. */
  readonly secret?: string | null;
}

/** What the wire asks of the node that listens, and tells it. */
export interface ListenerDoor {
  readonly identity: () => Identity;
  readonly standing: () => StandingBy | null;
  readonly statement: (handover: string | null) => StateFields | Promise<StateFields>;
  readonly onClaim: (claim: PeerClaim) => void;
  /** A follower was found that holds no more than this leader. */
  readonly onHarmless: () => void;
  readonly handover: HandoverDoor;
}

/** What the wire asks of the node that follows, and tells it. */
export interface FollowerDoor {
  readonly identity: () => Identity;
  readonly lastLeader: () => KnownNode | null;
  readonly onContact: () => void;
  readonly onWelcome: (welcomed: Welcomed) => void;
  readonly onLine: (up: boolean) => void;
  readonly handover: FollowerHandoverDoor;
}

/** What the answers to writes wait for while this node serves followers. */
export function waitsFor(parts: ReplicationParts): SyncAcks {
  const { runtime, settings, sync, known, storage, authority: { syncSet }, nodeStore } = parts;
  const candidates = settings.syncCandidates as SyncSettings["candidates"];
  const others = (): NodeId[] | null =>
    syncSet?.members()?.filter((nodeId) => nodeId !== nodeStore.nodeId) ?? null;
  const acks = syncAcks({
    clock: runtime.clock,
    settings: () => ({ ...sync, candidates }),
    members: syncSet === null ? null : others,
    from: storage.log.last.seq,
  });
  for (const { nodeId, nodeName } of known.candidates()) acks.remember(nodeId, nodeName);
  return acks;
}

/** Throws `port_in_use` when the port is taken. */
export function serve(
  parts: ReplicationParts,
  listen: ListenFor,
  door: ListenerDoor,
  acks: SyncAcks,
): Promise<FollowerServer> {
  const { runtime: { clock, random, crypto }, net, settings, logger, storage, engine } = parts;
  const { role, behind, snapshots, tls, known, authority } = parts;
  const secret = listen.secret ?? null;
  const hostname = listen.hostname ?? settings.replicationBind ?? (secret === null ? "127.0.0.1" : "0.0.0.0");
  return serveFollowers({
    ...door,
    runtime: { clock, random, crypto, net },
    logger,
    databaseId: () => storage.databaseId,
    secret,
    log: storage.log,
    committed: engine.committed,
    readOnly: () => role.readOnly.on,
    epoch: () => role.leadership?.epoch ?? epochOf(0),
    tuning: tuning(settings),
    listen: { hostname, port: listen.port },
    snapshots,
    onAhead: (follower) => behind.onAhead(follower),
    onFound(follower) {
      behind.onFound(follower);
      door.onHarmless();
      acks.found(follower);
    },
    onStranger: (nodeId) => behind.onStranger(nodeId),
    candidates: {
      accept(nodeId, nodeName, silenceMs) {
        const refused = known.accept(nodeId, nodeName, silenceMs, authority.kind !== "silence");
        if (refused === null) acks.remember(nodeId, nodeName);
        return refused;
      },
      withdrew(nodeId) {
        known.withdrew(nodeId);
        acks.forget(nodeId);
      },
    },
    knownNodes: () => known.told(null).toReversed(),
    tls: tls.server,
  });
}

export function follow(parts: ReplicationParts, leader: LeaderAt, door: FollowerDoor): LeaderFollowing {
  const { runtime, settings, logger, storage, kept, engine, role, resync, tls, known } = parts;
  return followLeader({
    runtime,
    logger,
    identity: door.identity,
    databaseId: () => storage.databaseId,
    adoptDatabaseId: (id) => {
      kept.adopt(id);
      storage.adoptDatabaseId(id);
    },
    secret: leader.secret ?? null,
    leader: { hostname: leader.hostname, port: leader.port },
    // Where settings or an operator say whom to follow, that comes first.
    lastAddress: null,
    lastLeader: door.lastLeader(),
    knownNodes: () => known.all(),
    log: storage.log,
    apply: (entries) => engine.apply(entries),
    resync,
    tls: tls.client,
    onLeaderHint: ({ httpUrl }) => role.setLeaderHttpUrl(httpUrl),
    onEpoch: epochNote(kept, logger),
    onContact: door.onContact,
    onWelcome: door.onWelcome,
    onKnownNodes: (nodes) => known.heardOf(nodes),
    onLine: (up) => door.onLine(up),
    handover: door.handover,
    tuning: tuning(settings),
  });
}

/** `host:port` under which others reach the port, as far as the settings tell; else `:port`, and they know the host. */
export function publicAddress({ settings }: ReplicationParts, port: number): string {
  const { publicReplicationAddress, publicBaseUrl } = settings;
  if (publicReplicationAddress !== null) return publicReplicationAddress;
  const host = publicBaseUrl !== null && URL.canParse(publicBaseUrl) ? new URL(publicBaseUrl).hostname : "";
  return `${host}:${port}`;
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
