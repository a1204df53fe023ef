/**
 * Everything of a node but HTTP: opens the data, takes the role, tidies, replicates, and stops all of it in the
 * opposite order. The same code runs on Deno, Bun, Node and in the simulator, served or embedded.
 */
import { hex } from "../base/bytes.ts";
import type { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import { epochOf, runIdOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Logger } from "../base/logger.ts";
import type { Role, RoleKind } from "../cluster/role.ts";
import { nextTerm, role as makeRole } from "../cluster/role.ts";
import type { Authority } from "../cluster/authority.ts";
import { silence } from "../cluster/authority.ts";
import { etcdAuthority } from "../cluster/authority/etcd.ts";
import { parseAuthority } from "../cluster/authority/setting.ts";
import type { Resolve } from "../document/judge.ts";
import type { Engine } from "../engine/engine.ts";
import type { QueryRoom } from "../engine/query_room.ts";
import type { Queries } from "../engine/query_types.ts";
import { engine as makeEngine } from "../engine/engine.ts";
import { defaultDatabase } from "../http/needed_scope.ts";
import type { Net } from "../runtime/net.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { NodeState, NodeStore, Storage } from "../storage/storage.ts";
import { openNodeStore } from "../storage/sqlite/open_node_store.ts";
import { openStorage } from "../storage/sqlite/open_storage.ts";
import { behindFollowers } from "./behind_followers.ts";
import type { KeptState } from "./kept_state.ts";
import { epochAfter, epochNote, keptState } from "./kept_state.ts";
import { knownNodes } from "./known_nodes.ts";
import { maintenance } from "./maintenance.ts";
import type { NodeMasters } from "./masters.ts";
import { nodeMasters } from "./masters.ts";
import { mirrors } from "./mirrors.ts";
import { nodeQueries } from "./node_queries.ts";
import { rememberedSweeper } from "./remembered_sweeper.ts";
import type { ReplicationParts } from "./replication.ts";
import type { Replication } from "./replication_control.ts";
import { startReplication } from "./replication_control.ts";
import type { ResyncOptions } from "./resync.ts";
import { resync as makeResync } from "./resync.ts";
import type { Settings } from "./settings.ts";
import type { Snapshots } from "./snapshots.ts";
import { snapshotSource } from "./snapshots.ts";
import type { StartRole } from "./start_role.ts";
import { startRole } from "./start_role.ts";
import type { StallMonitor } from "./stall_monitor.ts";
import { stallMonitor } from "./stall_monitor.ts";
import { tlsOf } from "./tls_settings.ts";
import type { TtlSweeper } from "./ttl_sweeper.ts";
import { ttlSweeper } from "./ttl_sweeper.ts";
import type { Undo } from "./undo.ts";
import { unwind } from "./undo.ts";
import { runTask } from "./tasks.ts";

export interface DatabaseOptions {
  readonly runtime: Runtime;
  readonly settings: Settings;
  readonly logger: Logger;
  readonly paths: DatabasePaths;
  /** Base URL of the HTTP API that will serve it, null when none will. */
  readonly httpUrl: string | null;
  /** `kept`: the role of the last run, a follower first follows nobody; `none` at first. A function is asked with what is kept. */
  readonly role: RoleKind | "kept" | ((kept: NodeState | null) => RoleKind);
  /** A program's own; default: as the settings say. */
  readonly authority?: Authority;
  /** A program's own policy for conflicts between masters; default: the one of the database. */
  readonly resolve?: Resolve | undefined;
  /** As the nodes that share it call it. Default: `default`. */
  readonly name?: string;
  /** Absent: it is the only one of its node. */
  readonly among?: AmongOthers;
}

/** What a database has in common with the others of its node. */
export interface AmongOthers {
  /** Where its listener shares the port. */
  readonly net: Net;
  readonly room: QueryRoom;
  /** Throws `same_database` when another one has this id. */
  readonly admit: (id: DatabaseId) => void;
  /** Whose `node.dfdb` and look at the thread it uses; null: it has its own. */
  readonly main: Pick<NodeDatabase, "nodeStore" | "stalls"> | null;
}

/** Absolute. */
export interface DatabasePaths {
  readonly data: string;
  /** `node.dfdb`. */
  readonly node: string;
  /** Folders, made when they are needed. */
  readonly snapshots: string;
  readonly rescued: string;
}

/** An open database of this node. */
export interface NodeDatabase extends Omit<ReplicationParts, "resync"> {
  readonly snapshots: Snapshots;
  readonly replication: Replication;
  readonly stalls: StallMonitor;
  readonly ttl: TtlSweeper;
  readonly masters: NodeMasters;
  readonly queries: Queries;
  readonly paths: DatabasePaths;
  /** Resolves with why the node cannot go on (the disk failed in a commit). Never resolves otherwise. */
  readonly failed: Promise<DfdbError>;
  /** Tells followers, finishes what is queued, flushes, closes. Idempotent. */
  close(): Promise<void>;
}

/** Throws DfdbError: `data_locked`, `data_corrupt`, `port_in_use`, ...; nothing stays open then. */
export async function openNodeDatabase(options: DatabaseOptions): Promise<NodeDatabase> {
  const undo: Undo[] = [];
  try {
    return await open(options, undo);
  } catch (error) {
    await unwind(undo).catch(() => {}); // why it could not start is what counts
    throw error;
  }
}

async function open(options: DatabaseOptions, undo: Undo[]): Promise<NodeDatabase> {
  const { runtime, settings, logger, paths, httpUrl } = options;
  const { clock, files } = runtime;
  const tls = await tlsOf(settings, runtime);
  for (const warning of tls.warnings) logger.warn(warning);
  const { name = defaultDatabase, among } = options;
  const { nodeStore, storage } = await openFiles(options, undo);
  among?.admit(storage.databaseId);
  const { role, kept, start } = takeRole(options, nodeStore, storage);
  const known = knownNodes({ databaseId: () => storage.databaseId, store: nodeStore, clock, logger });
  const authority = options.authority ?? authorityOf(options, nodeStore, storage);
  const { failed, fail } = failure();
  const sync = { required: settings.minSyncReplicas, timeoutMs: settings.syncTimeoutMs };
  let replication: Replication | null = null;
  const stalls = among?.main?.stalls ?? stallMonitor({ clock, logger });
  undo.push(stalls.onStandstill((ms) => replication?.stoodStill(ms)));
  const standstill = (): void => {
    const ms = stalls.standstillMs();
    if (ms > limits.stallMs) replication?.stoodStill(ms);
  };
  const engine = makeEngine({
    storage,
    clock,
    gate: () => {
      // What waited in the queue comes before the timer that would tell.
      standstill();
      if (role.leadership !== null && authority.check() !== null) role.setReadOnly("no_lease", true);
      const leadership = role.gate();
      kept.saw(leadership.epoch); // before anything is written under it
      return leadership;
    },
    replicated: (position) => replication?.acks?.wait(position) ?? null,
    stillLeads() {
      standstill();
      return replication?.stillLeads() ?? null;
    },
    onFatal: fail,
    onDiskFull: (error) =>
      logger.error("the disk is full: writes are refused until space is free again", {
        error: error.message,
      }),
  });
  const { committed } = engine, note = epochNote(kept, logger);
  undo.push(committed.subscribe(({ epoch }) => note(epoch)));
  undo.push(() => role.close());
  if (stalls !== among?.main?.stalls) undo.push(() => stalls.stop());
  const snapshots = await snapshotSource({
    runtime,
    storage,
    dataPath: paths.data,
    folder: paths.snapshots,
    logger,
  });
  undo.push(() => snapshots.close());
  const { logBytesMax, logAgeMs } = settings;
  undo.push(
    maintenance({
      storage,
      clock,
      committed,
      logger,
      logBytesMax,
      logAgeMs,
      hold: () => snapshots.hold(),
      checkpoint: () => runTask(runtime.workers, "sqlite.checkpoint", { path: paths.data }),
      onFatal: fail,
    }),
  );
  const ttl = ttlSweeper({ storage, engine, clock, logger, role });
  undo.push(() => ttl.close());
  undo.push(rememberedSweeper({ storage, engine, clock, logger, role }));
  const behind = behindFollowers({
    role,
    kept,
    log: storage.log,
    logger,
    upToDate: () => replication?.following?.status().state === "streaming",
  });
  const mirror = await mirrors({
    dataPath: paths.data,
    files,
    clock,
    logger,
    committed,
    onAhead(position) {
      logger.warn("the data file is older than its sidecar", {
        missingEntries: Math.max(0, position.seq - committed.value.seq),
      });
      behind.mirrorAhead(position);
    },
    hold: () => behind.suspicious,
  });
  undo.push(() => mirror.close());
  const resync = await makeResync({
    runtime,
    storage: followable(storage, engine),
    dataPath: paths.data,
    rescuedFolder: paths.rescued,
    nodeId: nodeStore.nodeId,
    logger,
    committed,
    adopt: (id) => kept.adopt(id),
  });
  undo.push(() => resync.close());
  const parts = {
    name,
    net: among?.net ?? runtime.net,
    runtime,
    settings,
    logger,
    storage,
    nodeStore,
    engine,
    role,
    kept,
    known,
    behind,
    authority,
    start,
    embedded: options.role === "kept",
    snapshots,
    resync,
    httpUrl,
    tls,
    sync,
  };
  const replicating = await startReplication(parts);
  replication = replicating;
  undo.push(() => replicating.close());
  const masters = nodeMasters({ ...parts, resolve: options.resolve ?? null });
  undo.push(() => masters.close());
  // First: what is queued is written, streamed and acknowledged.
  undo.push(async () => {
    const timer = clock.timer(limits.shutdownMs / 4, () => replicating.acks?.close());
    await engine.close().finally(() => timer.cancel());
  });
  const queries = nodeQueries({
    runtime,
    settings,
    storage,
    engine,
    dataPath: paths.data,
    logger,
    room: among?.room,
  });
  undo.push(() => queries.close());
  let closing: Promise<void> | null = null;
  return {
    ...parts,
    replication: replicating,
    stalls,
    ttl,
    masters,
    queries,
    paths,
    failed,
    close: () => (closing ??= unwind(undo)),
  };
}

async function openFiles(
  { runtime, paths, among }: DatabaseOptions,
  undo: Undo[],
): Promise<{ nodeStore: NodeStore; storage: Storage }> {
  const { files, clock, random, process, crashPoint } = runtime;
  await files.makeDirectory(files.directory(paths.data));
  const common = {
    random,
    files,
    crashPoint,
    wall: () => clock.wall(),
    pid: process.pid,
    hostname: process.hostname,
  };
  const shared = among?.main?.nodeStore ?? null;
  const nodeStore = shared ?? await openNodeStore({ ...common, path: paths.node });
  if (shared === null) undo.push(() => nodeStore.close());
  const storage = await openStorage({
    ...common,
    path: paths.data,
    known: (id) => nodeStore.state(id) !== null,
  });
  undo.push(() => storage.close());
  return { nodeStore, storage };
}

/** The storage as a follower's re-sync needs it: what is installed is told like a commit. */
function followable(storage: Storage, engine: Engine): ResyncOptions["storage"] {
  return {
    get databaseId() {
      return storage.databaseId;
    },
    log: storage.log,
    read: (run) => storage.read(run),
    stats: () => storage.stats(),
    exchange: (run) => engine.exchange(run),
  };
}

/** The role, under a term of its own when this node is to write; read-only when it was so before. */
function takeRole(
  { runtime, settings, role: asked, among }: DatabaseOptions,
  nodeStore: NodeStore,
  storage: Storage,
): { role: Role; kept: KeptState; start: StartRole } {
  const role = makeRole(nodeStore.nodeId);
  const kept = keptState(nodeStore, storage, role, among?.admit), { nodeId } = nodeStore;
  const lastTerm = storage.log.terms.at(-1),
    configured = typeof asked === "function" ? asked(kept.state) : asked;
  const start = startRole({ configured, kept: kept.state, force: settings.forceRole, lastTerm });
  for (const cause of kept.readOnlyCauses) role.setReadOnly(cause, true);
  if (start.kind === "follower") {
    for (const cause of ["in_doubt", "fenced"] as const) role.setReadOnly(cause, false);
    role.follow();
  } else {
    const run = runIdOf(hex(runtime.random.bytes(16)));
    role.lead(
      start.kind,
      start.newEpoch
        ? { epoch: epochOf(epochAfter(kept, lastTerm?.epoch ?? epochOf(0))), run }
        : nextTerm(lastTerm, nodeId, kept.highestEpoch, run),
    );
  }
  const { origin, leadPort } = start,
    handover = start.kind === "follower" ? null : kept.state?.handover ?? null;
  const term = start.unfinished ? kept.state?.term ?? null : null;
  kept.save({ origin, leadPort, term, handover, epoch: lastTerm?.epoch ?? 0 });
  return { role, kept, start };
}

function authorityOf(
  { runtime, settings, logger }: DatabaseOptions,
  { nodeId }: NodeStore,
  storage: Storage,
): Authority {
  const setting = parseAuthority(settings.failoverAuthority);
  if (setting.kind === "silence") return silence;
  const silenceMs = settings.autoFailoverMs ?? leaseMsDefault;
  const { endpoints } = setting, databaseId = (): DatabaseId => storage.databaseId;
  return etcdAuthority({ runtime, logger, nodeId, databaseId, endpoints, silenceMs });
}

/** Time of the lease where no silence is set, ms. */
const leaseMsDefault = 10_000;

function failure(): { failed: Promise<DfdbError>; fail: (error: DfdbError) => void } {
  const { promise, resolve } = Promise.withResolvers<DfdbError>();
  return { failed: promise, fail: resolve };
}
