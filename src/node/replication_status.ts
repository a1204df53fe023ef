/** The answer of `GET /replication/status`: the reference's fields, and what dfdb adds. */
import type { Role } from "../cluster/role.ts";
import type {
  ConnectedFollower,
  FollowerServer,
  FollowingStatus,
  LeaderFollowing,
  RefusedFollower,
} from "../replication/types.ts";
import { aheadAdvice } from "../replication/ahead.ts";
import type { Position } from "../storage/log.ts";
import { positionText } from "../storage/position_text.ts";
import type { NodeId, WallMs } from "../base/ids.ts";
import type { Storage } from "../storage/storage.ts";
import type { SyncState } from "../replication/sync_acks.ts";
import type { LeadershipSources } from "./leadership_status.ts";
import { leadershipBlocks } from "./leadership_status.ts";
import type { NodeDatabase } from "./database.ts";
import type { SnapshotsStatus } from "./snapshots.ts";

export interface StatusSources {
  readonly leadership: LeadershipSources;
  readonly nodeName: string;
  readonly nodeId: NodeId;
  readonly httpUrl: string | null;
  readonly role: Role;
  readonly storage: Storage;
  readonly server: FollowerServer | null;
  readonly following: LeaderFollowing | null;
  readonly snapshots: SnapshotsStatus;
  readonly stall: { readonly longestMs: number; readonly over: number };
  /** The data file is older than its sidecar, and no handshake has decided yet. */
  readonly mirrorAhead: boolean;
  readonly minSyncReplicas: number;
  readonly sync: SyncState | null;
  readonly wallMs: WallMs;
  /** What the log is kept to. */
  readonly logBytesMax: number;
  readonly logAgeMs: number;
  /** Null: the database has not the bundle. */
  readonly masters: Readonly<Record<string, unknown>> | null;
}

/** The status of a node as it is now. */
export function statusOf(database: NodeDatabase): Record<string, unknown> {
  const { settings, nodeStore, httpUrl, role, storage, replication, snapshots, stalls, behind } = database;
  const { kept, known, authority, start, embedded, runtime: { clock } } = database;
  const { longestMs, over } = stalls.look();
  return replicationStatus({
    leadership: {
      configured: embedded ? null : settings.replicationRole,
      origin: kept.state?.origin ?? "settings",
      note: role.kind === start.kind ? start.note : null,
      promoted: replication.wasAutoFailoverPromoted,
      handover: replication.handoverProgress,
      autoFailover: replication.autoFailover,
      nodes: known.all(),
      authority: { kind: authority.kind, holds: role.leadership !== null && authority.check() === null },
      now: clock.monotonic(),
    },
    nodeName: settings.nodeName,
    nodeId: nodeStore.nodeId,
    httpUrl,
    role,
    storage,
    server: replication.server,
    following: replication.following,
    snapshots: snapshots.describe(),
    stall: { longestMs, over },
    mirrorAhead: behind.suspicious,
    minSyncReplicas: database.sync.required,
    sync: replication.acks?.state() ?? null,
    wallMs: clock.wall(),
    logBytesMax: settings.logBytesMax,
    logAgeMs: settings.logAgeMs,
    masters: database.masters.status(),
  });
}

export function replicationStatus(sources: StatusSources): Record<string, unknown> {
  const { role, storage } = sources;
  const { last, terms } = storage.log;
  return {
    node: sources.nodeName,
    nodeId: sources.nodeId,
    databaseId: storage.databaseId,
    role: role.kind,
    readOnly: role.readOnly.on,
    readOnlyReason: role.readOnly.reason,
    httpEndpoint: sources.httpUrl,
    position: positionText(last, last.seq),
    term: role.leadership === null
      ? { epoch: last.epoch, run: last.run }
      : { epoch: role.leadership.epoch, run: role.leadership.run },
    terms: terms.map(({ epoch, run, nodeId, firstSeq }) => ({ epoch, run, nodeId, firstSeq })),
    configuredRole: sources.leadership.configured,
    roleOrigin: sources.leadership.origin,
    roleNote: sources.leadership.note,
    leader: leaderBlock(sources),
    follower: followerBlock(sources),
    ...leadershipBlocks(sources.leadership),
    log: logBlock(sources),
    masters: sources.masters,
    stall: sources.stall,
  };
}

/** `window.seconds` is the age of the first entry kept. */
function logBlock({ storage, wallMs, logBytesMax, logAgeMs }: StatusSources): Record<string, unknown> {
  const { logEntries, logBytes, logFirstMs } = storage.stats();
  const seconds = logFirstMs === null ? null : Math.max(0, Math.floor((wallMs - logFirstMs) / 1000));
  return {
    firstSeq: storage.log.first,
    lastSeq: storage.log.last.seq,
    bytes: logBytes,
    window: { entries: logEntries, bytes: logBytes, seconds, bytesMax: logBytesMax, ageMsMax: logAgeMs },
  };
}

function leaderBlock(sources: StatusSources): Record<string, unknown> {
  const { storage, server, role, snapshots } = sources;
  const followers = server?.followers() ?? [];
  const currentSeq = role.kind === "follower" ? 0 : storage.log.last.seq;
  return {
    currentSeq,
    port: server?.port ?? null,
    followerCount: followers.length,
    followers: followers.map((follower) => followerOf(follower, currentSeq)),
    refused: (server?.refused() ?? []).map((each) => refusedOf(each, storage.log.last)),
    snapshots: {
      making: snapshots.making === null ? null : { since: iso(snapshots.making.sinceMs) },
      kept: snapshots.kept.map(({ id, bytes, seq, readers, madeMs }) => (
        { id, bytes, seq, readers, made: iso(madeMs) }
      )),
    },
    minSyncReplicas: sources.minSyncReplicas,
    sync: sources.sync,
  };
}

function refusedOf(refused: RefusedFollower, own: Position): Record<string, unknown> {
  const { nodeId, nodeName, code, message, position, atMs } = refused;
  return {
    ...{ nodeId, nodeName, code, message, position: positionText(position, position.seq), at: iso(atMs) },
    // The other side of it, as it is now.
    ...(code === "ahead" ? { leaderPosition: positionText(own, own.seq), advice: aheadAdvice } : {}),
  };
}

function followerOf(follower: ConnectedFollower, currentSeq: number): Record<string, unknown> {
  return {
    endpoint: follower.endpoint,
    httpEndpoint: follower.httpUrl,
    connectedAt: iso(follower.connectedAtMs),
    handshakeSeq: follower.handshakeSeq,
    worstCaseLagSeq: Math.max(0, currentSeq - follower.ackedSeq),
    nodeId: follower.nodeId,
    nodeName: follower.nodeName,
    sentSeq: follower.sentSeq,
    ackedSeq: follower.ackedSeq,
    lagSeq: follower.lagSeq,
    lagMs: Math.round(follower.lagMs),
    bytesInFlight: follower.bytesInFlight,
    bytesBehind: follower.bytesBehind,
    snapshot: follower.snapshot,
    state: follower.state,
    mode: follower.mode,
  };
}

function followerBlock(
  { storage, following, mirrorAhead, leadership }: StatusSources,
): Record<string, unknown> {
  const status = following?.status() ?? null;
  return {
    lastAppliedSeq: status === null ? 0 : storage.log.last.seq,
    opsApplied: status?.opsApplied ?? 0,
    gapsDetected: status?.gapsDetected ?? 0,
    autoFailoverPromoted: leadership.promoted,
    leader: status === null ? null : { endpoint: status.endpoint, httpEndpoint: status.leaderHttpUrl },
    state: status?.state ?? null,
    connects: status?.connects ?? 0,
    lastContactMs: rounded(status?.lastContactMs),
    lagSeq: status?.lagSeq ?? null,
    lagMs: rounded(status?.lagMs),
    leaderSeq: status?.leaderSeq ?? null,
    leaderReadOnly: status?.leaderReadOnly ?? null,
    leaderTerm: status?.leaderTerm ?? null,
    snapshot: status?.snapshot ?? null,
    snapshotsInstalled: status?.snapshotsInstalled ?? 0,
    rescues: status?.rescues ?? 0,
    ahead: aheadBlock(status, storage.log.last),
    lastError: lastErrorOf(status, mirrorAhead),
  };
}

/** Null: this node is not ahead of its leader. */
function aheadBlock(status: FollowingStatus | null, own: Position): Record<string, unknown> | null {
  const of = status?.aheadOf ?? null;
  if (of === null) return null;
  return { position: positionText(own, own.seq), leader: of, advice: aheadAdvice };
}

function lastErrorOf(status: FollowingStatus | null, mirrorAhead: boolean): Record<string, unknown> | null {
  const error = status?.lastError ?? null;
  if (error !== null) return { code: error.code, message: error.message, at: iso(error.atMs) };
  if (!mirrorAhead || status === null || status.connects > 0) return null;
  return { code: "unclean_copy", message: "the data file is older than its sidecar", at: null };
}

function iso(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

function rounded(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : Math.round(ms);
}
