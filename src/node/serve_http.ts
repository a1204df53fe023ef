/** Serves the HTTP API: what the API needs of the other parts, and the limits of the server. */
import type { MonotonicMs } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { httpApp } from "../http/app.ts";
import { Feeds } from "../http/feeds.ts";
import { defaultDatabase } from "../http/needed_scope.ts";
import type { DatabasePlace, HttpDependencies, NodeControl, NodeView } from "../http/types.ts";
import type { HttpHandler, HttpLimits, HttpServer } from "../runtime/http_host.ts";
import { admin } from "./admin.ts";
import type { NodeDatabase } from "./database.ts";
import { liveConfig } from "./live_config.ts";
import { readiness } from "./readiness.ts";
import { statusOf } from "./replication_status.ts";
import type { Settings } from "./settings.ts";
import { verify } from "./verify.ts";
import { version } from "./version.ts";
import { violations } from "./violations.ts";

/** What answers, and how it ends. */
export interface ServedApi {
  readonly handler: HttpHandler;
  /** First, or the clients of feeds are waited for. */
  endFeeds(): void;
}

/** Throws `port_in_use` when the HTTP port is taken. */
export async function serveHttp(
  { runtime, settings, tls }: Pick<NodeDatabase, "runtime" | "settings" | "tls">,
  { handler, endFeeds }: ServedApi,
): Promise<HttpServer> {
  const server = await runtime.http.serve({
    hostname: settings.bindAll ? "0.0.0.0" : "127.0.0.1",
    port: settings.port,
    tls: tls.server,
    handler,
    limits: serverLimits(settings),
  });
  return {
    hostname: server.hostname,
    port: server.port,
    async close(graceMs) {
      endFeeds();
      await server.close(graceMs);
    },
  };
}

/** The API of one database without a port. `close` before the database is closed. `place`: absent, it is the only one. */
export function httpHandler(
  database: NodeDatabase,
  startedAt: MonotonicMs,
  place?: DatabasePlace,
): ServedApi & { readonly dependencies: HttpDependencies; close(): Promise<void> } {
  const { runtime, settings, logger, storage, engine, replication, paths } = database;
  const { clock, random, workers } = runtime;
  const verifier = verify({
    storage,
    workers,
    clock,
    committed: engine.committed,
    following: () => replication.following,
  });
  const counts = violations({ storage, workers, clock });
  const feeds = new Feeds({ storage, committed: engine.committed, clock });
  const administration = admin({
    runtime,
    storage,
    engine,
    dataPath: paths.data,
    ownFolder: runtime.files.directory(paths.node),
    folder: paths.snapshots,
    config: liveConfig({
      settings,
      dataDir: runtime.files.directory(paths.data),
      httpUrl: database.httpUrl,
      crypto: runtime.crypto,
      storage,
      sync: database.sync,
      onSync: () => replication.acks?.recheck(),
    }),
    logger,
  });
  const dependencies: HttpDependencies = {
    storage,
    engine,
    clock,
    random,
    crypto: runtime.crypto,
    logger,
    node: nodeView(database, startedAt),
    control: nodeControl(database),
    verify: verifier,
    violations: counts,
    queries: database.queries,
    ttl: database.ttl,
    admin: administration,
    masters: database.masters,
    feeds,
    security: { apiKey: settings.apiKey },
    limits: settings,
    fetch: runtime.fetch,
    forwardWrites: settings.forwardWrites,
    ...(place === undefined ? {} : { place }),
  };
  return {
    handler: httpApp(dependencies),
    dependencies,
    endFeeds: () => feeds.close(),
    async close() {
      await Promise.all([verifier.close(), counts.close(), administration.close()]);
    },
  };
}

function nodeView(database: NodeDatabase, startedAt: MonotonicMs): NodeView {
  const { name, settings, role, httpUrl, runtime, stalls, nodeStore } = database;
  const named = name === defaultDatabase ? {} : { database: name };
  return {
    nodeId: nodeStore.nodeId,
    nodeName: settings.nodeName,
    version,
    httpUrl: httpUrl ?? "",
    role: () => role.kind,
    readOnly: () => role.readOnly,
    uptimeMs: () => runtime.clock.monotonic() - startedAt,
    leaderHttpUrl: () => role.leaderHttpUrl,
    replicationStatus: () => ({ ...named, ...statusOf(database) }),
    notReady: (bounds) => readiness(database, bounds),
    stalls: () => stalls.take(),
  };
}

function nodeControl({ replication }: NodeDatabase): NodeControl {
  return {
    async startLeader(port, secret, force) {
      await replication.startLeader({ port, ...(secret === undefined ? {} : { secret }) }, force);
    },
    startFollower: (hostname, port, secret) =>
      replication.startFollower({ hostname, port, ...(secret === undefined ? {} : { secret }) }),
    setReadOnly: (on, force) => replication.setReadOnly(on, force),
    acceptLoss: () => replication.acceptLoss(),
    resync: () => replication.resync(),
    promote: (port, force) => replication.promote(port ?? null, force),
    handover: (to, timeoutMs) => replication.handover(to, timeoutMs),
    abortHandover: () => replication.abortHandover(),
    async enableAutoFailover(silenceMs, newLeaderPort) {
      await replication.enableAutoFailover(silenceMs, newLeaderPort ?? null);
      return { silenceMs, newLeaderPort: replication.autoFailover?.newLeaderPort ?? null };
    },
    disableAutoFailover: () => replication.disableAutoFailover(),
    forgetNode: (nodeId) => replication.forgetNode(nodeId),
  };
}

function serverLimits({ bodyBytesMax }: Settings): HttpLimits {
  // Each route has its own maximum; a batch of another master's may be larger than what clients send.
  const largest = Math.max(bodyBytesMax, limits.masterBodyBytesMax);
  return {
    bodyBytesMax: largest,
    headersMs: 15_000,
    requestMs: 300_000,
    keepAliveMs: 75_000,
    idleMs: 120_000,
  };
}
