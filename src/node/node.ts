/**
 * The composition root: opens the data, takes the role, serves HTTP and replication, and stops all of it in the
 * opposite order. The same code runs on Deno, Bun, Node and in the simulator.
 */
import { hex } from "../base/bytes.ts";
import type { DfdbError } from "../base/errors.ts";
import { runIdOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Role } from "../cluster/role.ts";
import { nextTerm, role as makeRole } from "../cluster/role.ts";
import type { Engine } from "../engine/engine.ts";
import { engine as makeEngine } from "../engine/engine.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeStore, Storage } from "../storage/storage.ts";
import { openNodeStore } from "../storage/sqlite/open_node_store.ts";
import { openStorage } from "../storage/sqlite/open_storage.ts";
import { maintenance } from "./maintenance.ts";
import { mirrors } from "./mirrors.ts";
import type { Replication } from "./replication.ts";
import { startReplication } from "./replication.ts";
import { serveHttp } from "./serve_http.ts";
import type { Settings } from "./settings.ts";

/** A running node. */
export interface RunningNode {
  readonly httpUrl: string;
  readonly httpPort: number;
  /** Port of the replication wire when this node leads with one, else null. */
  readonly replicationPort: number | null;
  readonly dataDir: string;
  readonly storage: Storage;
  readonly engine: Engine;
  readonly role: Role;
  readonly replication: Replication;
  /** Resolves with why the node cannot go on (the disk failed in a commit). Never resolves otherwise. */
  readonly failed: Promise<DfdbError>;
  /** Graceful: finishes what runs, tells followers, flushes, closes. Idempotent. */
  stop(): Promise<void>;
}

/** Things to undo, last first; each is awaited before the next. */
type Undo = () => void | Promise<void>;

/** Throws DfdbError: `data_locked`, `data_corrupt`, `port_in_use`, ...; nothing stays open then. */
export async function startNode(runtime: Runtime, settings: Settings, logger: Logger): Promise<RunningNode> {
  const undo: Undo[] = [];
  try {
    return await start(runtime, settings, logger, undo);
  } catch (error) {
    await unwind(undo).catch(() => {}); // why it could not start is what counts
    throw error;
  }
}

/** Runs every step, also after one that throws (the locks come last); then throws the first error. */
async function unwind(undo: Undo[]): Promise<void> {
  const errors: unknown[] = [];
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

async function start(
  runtime: Runtime,
  settings: Settings,
  logger: Logger,
  undo: Undo[],
): Promise<RunningNode> {
  const { clock, files } = runtime;
  const startedAt = clock.monotonic();
  const data = await openData(runtime, settings, undo);
  const { storage, nodeStore, dataPath } = data;
  const role = takeRole(runtime, settings, data);
  const { failed, fail } = failure();
  const onDiskFull = (error: DfdbError): void =>
    logger.error("the disk is full: writes are refused until space is free again", { error: error.message });
  const engine = makeEngine({ storage, clock, gate: () => role.gate(), onFatal: fail, onDiskFull });
  const { committed } = engine;
  undo.push(() => role.close());
  const { logBytesMax, logAgeMs } = settings;
  undo.push(maintenance({ storage, clock, committed, logger, logBytesMax, logAgeMs, onFatal: fail }));
  const mirror = await mirrors({ dataPath, files, clock, logger, committed });
  undo.push(() => mirror.close());
  undo.push(() => engine.close());
  if (mirror.aheadBy > 0) {
    logger.warn("the data file is older than its sidecar", { missingEntries: mirror.aheadBy });
  }
  const parts = {
    runtime,
    settings,
    logger,
    storage,
    nodeStore,
    engine,
    role,
    httpUrl: baseUrl(runtime, settings),
  };
  const replication = await startReplication(parts);
  undo.push(() => replication.close());
  const http = await serveHttp({ ...parts, replication, startedAt });
  undo.push(() => http.close(limits.shutdownMs / 2));
  let stopping: Promise<void> | null = null;
  return {
    httpUrl: parts.httpUrl,
    httpPort: http.port,
    replicationPort: replication.server?.port ?? null,
    dataDir: data.dataDir,
    storage,
    engine,
    role,
    replication,
    failed,
    stop: () => (stopping ??= unwind(undo)),
  };
}

interface Data {
  readonly dataDir: string;
  readonly dataPath: string;
  readonly nodeStore: NodeStore;
  readonly storage: Storage;
}

async function openData(runtime: Runtime, settings: Settings, undo: Undo[]): Promise<Data> {
  const { files, clock, random, process, crashPoint } = runtime;
  const dataDir = files.absolute(settings.dataDir);
  await files.makeDirectory(dataDir);
  const dataPath = files.join(dataDir, "data.dfdb");
  const common = {
    random,
    files,
    crashPoint,
    wall: () => clock.wall(),
    pid: process.pid,
    hostname: process.hostname,
  };
  const nodeStore = await openNodeStore({ ...common, path: files.join(dataDir, "node.dfdb") });
  undo.push(() => nodeStore.close());
  const storage = await openStorage({
    ...common,
    path: dataPath,
    known: (id) => nodeStore.state(id) !== null,
  });
  undo.push(() => storage.close());
  return { dataDir, dataPath, nodeStore, storage };
}

/** The configured role, under a term of its own when this node is to write. */
function takeRole(runtime: Runtime, settings: Settings, { nodeStore, storage }: Data): Role {
  const role = makeRole(nodeStore.nodeId);
  const kept = nodeStore.state(storage.databaseId);
  const kind = settings.replicationRole as "none" | "leader" | "follower";
  const lastTerm = storage.log.terms.at(-1);
  let highestEpoch = Math.max(kept?.highestEpoch ?? 0, lastTerm?.epoch ?? 0);
  if (kind === "follower") {
    role.follow();
  } else {
    const run = runIdOf(hex(runtime.random.bytes(16)));
    const term = nextTerm(lastTerm, nodeStore.nodeId, kept?.highestEpoch ?? 0, run);
    highestEpoch = Math.max(highestEpoch, term.epoch);
    role.lead(kind, term);
  }
  nodeStore.setState(storage.databaseId, { role: kind, highestEpoch, readOnly: false, readOnlyReason: null });
  return role;
}

function failure(): { failed: Promise<DfdbError>; fail: (error: DfdbError) => void } {
  let fail: (error: DfdbError) => void = () => {};
  const failed = new Promise<DfdbError>((resolve) => {
    fail = resolve;
  });
  return { failed, fail };
}

function baseUrl({ process }: Runtime, settings: Settings): string {
  if (settings.publicBaseUrl !== null) return settings.publicBaseUrl.replace(/\/+$/, "");
  return `http://${settings.bindAll ? process.hostname : "localhost"}:${settings.port}`;
}
