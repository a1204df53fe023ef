/** Serves the HTTP API of this node: what the API needs of the other parts, and the limits of the server. */
import type { MonotonicMs } from "../base/ids.ts";
import { httpApp } from "../http/app.ts";
import type { NodeView } from "../http/types.ts";
import type { HttpLimits, HttpServer } from "../runtime/http_host.ts";
import type { Replication, ReplicationParts } from "./replication.ts";
import { replicationStatus } from "./replication_status.ts";
import type { Settings } from "./settings.ts";
import { version } from "./version.ts";

export interface HttpParts extends ReplicationParts {
  readonly replication: Replication;
  readonly startedAt: MonotonicMs;
}

/** Throws `port_in_use` when the HTTP port is taken. */
export function serveHttp(parts: HttpParts): Promise<HttpServer> {
  const { runtime, settings, logger, storage, engine } = parts;
  const handler = httpApp({
    storage,
    engine,
    clock: runtime.clock,
    random: runtime.random,
    logger,
    node: nodeView(parts),
    security: { apiKey: settings.apiKey },
    limits: settings,
  });
  const hostname = settings.bindAll ? "0.0.0.0" : "127.0.0.1";
  return runtime.http.serve({
    hostname,
    port: settings.port,
    tls: null,
    handler,
    limits: serverLimits(settings),
  });
}

function nodeView(
  { settings, nodeStore, storage, role, replication, httpUrl, runtime, startedAt }: HttpParts,
): NodeView {
  return {
    nodeName: settings.nodeName,
    version,
    httpUrl,
    role: () => role.kind,
    readOnly: () => role.readOnly,
    uptimeMs: () => runtime.clock.monotonic() - startedAt,
    leaderHttpUrl: () => role.leaderHttpUrl,
    replicationStatus: () =>
      replicationStatus({
        nodeName: settings.nodeName,
        nodeId: nodeStore.nodeId,
        httpUrl,
        role,
        storage,
        server: replication.server,
        following: replication.following,
        wallMs: runtime.clock.wall(),
        logBytesMax: settings.logBytesMax,
        logAgeMs: settings.logAgeMs,
      }),
    notReady: () => replication.notReady(),
  };
}

function serverLimits({ bodyBytesMax }: Settings): HttpLimits {
  return { bodyBytesMax, headersMs: 15_000, requestMs: 300_000, keepAliveMs: 75_000, idleMs: 120_000 };
}
