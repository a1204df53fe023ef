/** The composition root of `dfdb serve`: the databases of this node, and HTTP in front of them. */
import type { DfdbError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Role } from "../cluster/role.ts";
import type { Resolve } from "../document/judge.ts";
import type { Engine } from "../engine/engine.ts";
import { severalDatabases } from "../http/databases.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Storage } from "../storage/storage.ts";
import { Databases } from "./databases.ts";
import type { Replication } from "./replication_control.ts";
import { serveHttp } from "./serve_http.ts";
import type { Settings } from "./settings.ts";
import type { Undo } from "./undo.ts";
import { unwind } from "./undo.ts";

/** A running node. */
export interface RunningNode {
  readonly httpUrl: string;
  readonly httpPort: number;
  /** Port of the replication wire when this node leads with one, else null. */
  readonly replicationPort: number | null;
  readonly dataDir: string;
  readonly nodeId: NodeId;
  /** Why the role is not the configured one, for people; null when it is. */
  readonly roleNote: string | null;
  readonly storage: Storage;
  readonly engine: Engine;
  readonly role: Role;
  readonly replication: Replication;
  /** All of them; the fields above are those of `default`. */
  readonly databases: Databases;
  /** Resolves with why the node cannot go on (the disk failed in a commit of any database). Never resolves otherwise. */
  readonly failed: Promise<DfdbError>;
  /** Graceful: finishes what runs, tells followers, flushes, closes. Idempotent. */
  stop(): Promise<void>;
  /** After `failed`: answers what runs, for at most `limits.lastAnswersMs`, and ends HTTP. Writes nothing. */
  hangUp(): Promise<void>;
}

/** What no setting says. */
export interface NodeOptions {
  /** Settles conflicts between masters in all databases, instead of the document `Raven/Replication/Config` of each: see `MasterOptions`. */
  readonly resolve?: Resolve;
}

/** Throws DfdbError: `data_locked`, `data_corrupt`, `port_in_use`, ...; nothing stays open then. */
export async function startNode(
  runtime: Runtime,
  settings: Settings,
  logger: Logger,
  { resolve }: NodeOptions = {},
): Promise<RunningNode> {
  const { files, clock } = runtime;
  const startedAt = clock.monotonic();
  const dataDir = files.absolute(settings.dataDir);
  const httpUrl = baseUrl(runtime, settings);
  const databases = await Databases.open({ runtime, settings, logger, dataDir, httpUrl, startedAt, resolve });
  const undo: Undo[] = [() => databases.close()];
  try {
    const { database, dependencies } = databases.main;
    const handler = severalDatabases({ databases, dependencies });
    const http = await serveHttp(database, { handler, endFeeds: () => databases.endFeeds() });
    undo.push(() => http.close(limits.shutdownMs / 2));
    databases.served();
    let stopping: Promise<void> | null = null;
    const { storage, engine, role, replication } = database;
    return {
      httpUrl,
      httpPort: http.port,
      get replicationPort() {
        return replication.server?.port ?? null;
      },
      dataDir,
      nodeId: database.nodeStore.nodeId,
      roleNote: database.start.note,
      storage,
      engine,
      role,
      replication,
      failed: databases.failed,
      databases,
      stop: () => (stopping ??= unwind(undo)),
      hangUp: () => http.close(limits.lastAnswersMs),
    };
  } catch (error) {
    await unwind(undo).catch(() => {}); // why it could not start is what counts
    throw error;
  }
}

function baseUrl({ process }: Runtime, settings: Settings): string {
  if (settings.publicBaseUrl !== null) return settings.publicBaseUrl.replace(/\/+$/, "");
  const scheme = settings.tlsCertPath === null ? "http" : "https";
  return `${scheme}://${settings.bindAll ? process.hostname : "localhost"}:${settings.port}`;
}
