/** The answer of `GET /replication/status`: the reference's fields, and what dfdb adds (replication contract, section 10). */
import type { Role } from "../cluster/role.ts";
import type { ConnectedFollower, FollowerServer, LeaderFollowing } from "../replication/types.ts";
import { positionText } from "../storage/position_text.ts";
import type { NodeId, WallMs } from "../base/ids.ts";
import type { Storage } from "../storage/storage.ts";

export interface StatusSources {
  readonly nodeName: string;
  readonly nodeId: NodeId;
  readonly httpUrl: string;
  readonly role: Role;
  readonly storage: Storage;
  readonly server: FollowerServer | null;
  readonly following: LeaderFollowing | null;
  readonly wallMs: WallMs;
  /** What the log is kept to. */
  readonly logBytesMax: number;
  readonly logAgeMs: number;
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
    leader: leaderBlock(sources),
    follower: followerBlock(sources),
    log: logBlock(sources),
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

function leaderBlock({ storage, server, role }: StatusSources): Record<string, unknown> {
  const followers = server?.followers() ?? [];
  const currentSeq = role.kind === "follower" ? 0 : storage.log.last.seq;
  return {
    currentSeq,
    port: server?.port ?? null,
    followerCount: followers.length,
    followers: followers.map((follower) => followerOf(follower, currentSeq)),
  };
}

function followerOf(follower: ConnectedFollower, currentSeq: number): Record<string, unknown> {
  return {
    endpoint: follower.endpoint,
    httpEndpoint: follower.httpUrl,
    connectedAt: new Date(follower.connectedAtMs).toISOString(),
    handshakeSeq: follower.handshakeSeq,
    worstCaseLagSeq: Math.max(0, currentSeq - follower.ackedSeq),
    nodeId: follower.nodeId,
    nodeName: follower.nodeName,
    sentSeq: follower.sentSeq,
    ackedSeq: follower.ackedSeq,
    lagSeq: follower.lagSeq,
    lagMs: Math.round(follower.lagMs),
    bytesInFlight: follower.bytesInFlight,
    state: follower.state,
    mode: follower.mode,
  };
}

function followerBlock({ storage, following }: StatusSources): Record<string, unknown> {
  const status = following?.status() ?? null;
  return {
    lastAppliedSeq: status === null ? 0 : storage.log.last.seq,
    opsApplied: status?.opsApplied ?? 0,
    gapsDetected: status?.gapsDetected ?? 0,
    autoFailoverPromoted: false,
    leader: status === null ? null : { endpoint: status.endpoint, httpEndpoint: status.leaderHttpUrl },
    state: status?.state ?? null,
    connects: status?.connects ?? 0,
    lastContactMs: rounded(status?.lastContactMs),
    lagSeq: status?.lagSeq ?? null,
    lagMs: rounded(status?.lagMs),
    leaderSeq: status?.leaderSeq ?? null,
    leaderReadOnly: status?.leaderReadOnly ?? null,
    leaderTerm: status?.leaderTerm ?? null,
    lastError: status?.lastError == null ? null : {
      code: status.lastError.code,
      message: status.lastError.message,
      at: new Date(status.lastError.atMs).toISOString(),
    },
  };
}

function rounded(ms: number | null | undefined): number | null {
  return ms === null || ms === undefined ? null : Math.round(ms);
}
