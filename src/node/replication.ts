/** Wires the replication shells to the rest of the node: what follows me, and whom I follow. */
import type { Logger } from "../base/logger.ts";
import { limits } from "../base/limits.ts";
import type { Role } from "../cluster/role.ts";
import type { Engine } from "../engine/engine.ts";
import { followLeader } from "../replication/follow_leader.ts";
import { serveFollowers } from "../replication/serve_followers.ts";
import type { FollowerServer, Identity, LeaderFollowing, StreamTuning } from "../replication/types.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeStore, Storage } from "../storage/storage.ts";
import type { Settings } from "./settings.ts";

export interface Replication {
  readonly server: FollowerServer | null;
  readonly following: LeaderFollowing | null;
  /** Null when this node may serve reads that are fresh enough, else why not. */
  notReady(): string | null;
  close(): Promise<void>;
}

export interface ReplicationParts {
  readonly runtime: Runtime;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly storage: Storage;
  readonly nodeStore: NodeStore;
  readonly engine: Engine;
  readonly role: Role;
  readonly httpUrl: string;
}

/** Starts what the role asks for. Throws `port_in_use` when the replication port is taken. */
export async function startReplication(parts: ReplicationParts): Promise<Replication> {
  const server = parts.role.kind === "leader" ? await serve(parts) : null;
  const following = parts.role.kind === "follower" ? follow(parts) : null;
  return {
    server,
    following,
    notReady() {
      const status = following?.status();
      if (status === undefined || status.state === "streaming") return null;
      const error = status.lastError === null
        ? ""
        : ` (${status.lastError.code}: ${status.lastError.message})`;
      return `This follower is ${status.state.replace("_", " ")}${error}`;
    },
    async close() {
      await following?.close();
      await server?.close();
    },
  };
}

function serve(parts: ReplicationParts): Promise<FollowerServer> {
  const { runtime, settings, logger, storage, engine, role } = parts;
  const hostname = settings.replicationBind ??
    (settings.replicationSecret === null ? "127.0.0.1" : "0.0.0.0");
  return serveFollowers({
    runtime,
    logger,
    identity: identity(parts),
    databaseId: storage.databaseId,
    secret: settings.replicationSecret,
    log: storage.log,
    committed: engine.committed,
    readOnly: () => role.readOnly.on,
    tuning: tuning(settings),
    listen: { hostname, port: settings.replicationPort },
  });
}

function follow(parts: ReplicationParts): LeaderFollowing {
  const { runtime, settings, logger, storage, nodeStore, engine, role } = parts;
  return followLeader({
    runtime,
    logger,
    identity: identity(parts),
    databaseId: () => storage.databaseId,
    adoptDatabaseId: (id) => {
      // node.dfdb first: a data file that it does not know would be refused at the next start.
      const state = nodeStore.state(storage.databaseId);
      if (state !== null) nodeStore.setState(id, state);
      storage.adoptDatabaseId(id);
    },
    secret: settings.replicationSecret,
    leader: { hostname: settings.leaderHost as string, port: settings.leaderPort as number },
    log: storage.log,
    apply: (entries) => engine.apply(entries),
    onLeaderHint: ({ httpUrl }) => role.setLeaderHttpUrl(httpUrl),
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
  const { heartbeatMs, followersMax } = settings;
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
  };
}
