import assert from "node:assert/strict";
import { DfdbError } from "../../src/base/errors.ts";
import { epochOf, nodeIdOf, runIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import type { LogFields } from "../../src/base/logger.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { activateReplication } from "../../src/engine/activate_bundle.ts";
import { engine } from "../../src/engine/engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { httpApp } from "../../src/http/app.ts";
import { Feeds } from "../../src/http/feeds.ts";
import type { Masters } from "../../src/http/master_types.ts";
import type { HttpDependencies, HttpRequestLimits, NodeControl } from "../../src/http/types.ts";
import { admin } from "../../src/node/admin.ts";
import { liveConfig } from "../../src/node/live_config.ts";
import { defaultSettings } from "../../src/node/settings.ts";
import { nodeQueries } from "../../src/node/node_queries.ts";
import { ttlSweeper } from "../../src/node/ttl_sweeper.ts";
import { verify } from "../../src/node/verify.ts";
import { violations } from "../../src/node/violations.ts";
import type { HttpHandler } from "../../src/runtime/http_host.ts";
import type { LeaderFollowing } from "../../src/replication/types.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { openStorage } from "../../src/storage/sqlite/open_storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { inFolder, testOptions } from "./storage_fixture.ts";

export const testNodeId = "e".repeat(32);

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodyInit;
}

/** What a node is told to be; may change while it runs. */
export interface NodeState {
  role: "none" | "leader" | "follower";
  readOnly: boolean;
  leaderHttpUrl: string | null;
  notReady: string | null;
}

/** A node with storage on disk whose HTTP API can be asked. */
export interface TestNode {
  readonly state: NodeState;
  readonly storage: Storage;
  readonly engine: Engine;
  readonly clock: Runtime["clock"];
  readonly logged: { readonly message: string; readonly fields: LogFields }[];
  request(method: string, path: string, options?: RequestOptions): Promise<Response>;
  /** Where requests go. */
  readonly url: string;
}

export interface NodeOptions {
  /** With the replication bundle: what other masters send is written by `version_writes.ts`. */
  readonly bundle?: boolean;
  readonly apiKey?: string;
  readonly limits?: Partial<HttpRequestLimits>;
  /** Address of whoever asks, where requests do not go over a port. */
  readonly peer?: string;
  /** Whom this node follows, where `/verify` holds it back. */
  readonly following?: () => Pick<LeaderFollowing, "holdAfter"> | null;
  /** Stands between the API and the real parts. */
  readonly around?: (dependencies: HttpDependencies) => HttpDependencies;
}

/** How requests reach the handler. */
export interface Transport {
  readonly name: string;
  /** Serves `handler` while `run` runs. */
  serve(
    handler: HttpHandler,
    run: (request: TestNode["request"], url: string) => Promise<void>,
  ): Promise<void>;
}

/** Defines one test. */
export type It = (what: string, run: (node: TestNode) => Promise<void>, options?: NodeOptions) => void;

const directUrl = "http://127.0.0.1:5000";

/** Calls the handler itself. */
export function directTransport(peer = "127.0.0.1"): Transport {
  return {
    name: "direct",
    serve: (handler, run) =>
      run(async (method, path, { headers = {}, body } = {}) => {
        const init = { method, headers, ...(body === undefined ? {} : { body, duplex: "half" }) };
        return await handler(new Request(`${directUrl}${path}`, init), { hostname: peer });
      }, directUrl),
  };
}

/** Goes over a real port of this machine. */
export function portTransport(runtime: Runtime): Transport {
  return {
    name: `port of ${runtime.name}`,
    async serve(handler, run) {
      const limits = {
        bodyBytesMax: 0,
        headersMs: 10_000,
        requestMs: 60_000,
        keepAliveMs: 10_000,
        idleMs: 0,
      };
      const server = await runtime.http.serve({ hostname: "127.0.0.1", port: 0, tls: null, handler, limits });
      try {
        const url = `http://127.0.0.1:${server.port}`;
        await run((method, path, { headers = {}, body } = {}) => {
          const init = { method, headers, ...(body === undefined ? {} : { body, duplex: "half" }) };
          return runtime.fetch(`${url}${path}`, init);
        }, url);
      } finally {
        await server.close(0);
      }
    },
  };
}

/** Runs `run` with a node of its own; everything is closed and removed afterwards. */
export function withNode(
  runtime: Runtime,
  transport: Transport,
  options: NodeOptions,
  run: (node: TestNode) => Promise<void>,
): Promise<void> {
  return inFolder(async (folder) => {
    const storage = await openStorage(testOptions(`${folder}/data.dfdb`));
    const { handler, closing, ...node } = makeNode(runtime, storage, options);
    if (options.bundle === true) await node.engine.submit(activateReplication(false));
    const reach = options.peer === undefined ? transport : directTransport(options.peer);
    try {
      await reach.serve(handler, (request, url) => run({ ...node, request, url }));
    } finally {
      await closing();
      await node.engine.close();
      storage.close();
    }
  });
}

function makeNode(
  runtime: Runtime,
  storage: Storage,
  options: NodeOptions,
): Omit<TestNode, "request" | "url"> & {
  readonly handler: HttpHandler;
  readonly closing: () => Promise<void>;
} {
  const { clock, random } = runtime;
  const state: NodeState = { role: "none", readOnly: false, leaderHttpUrl: null, notReady: null };
  const leadership = { epoch: epochOf(1), run: runIdOf("ab".repeat(16)), nodeId: nodeIdOf(testNodeId) };
  const logged: TestNode["logged"] = [];
  const writer = engine({
    storage,
    clock,
    gate: () => {
      if (state.role === "follower") throw new DfdbError("not_leader", "This node follows");
      if (state.readOnly) throw new DfdbError("read_only", "Database is in read-only mode: test");
      return leadership;
    },
    onFatal: (error) => assert.fail(error),
    onDiskFull: () => {},
  });
  const verifying = verify({
    storage,
    workers: runtime.workers,
    clock,
    committed: writer.committed,
    following: options.following ?? (() => null),
  });
  const counts = violations({ storage, workers: runtime.workers, clock });
  const { path: dataPath } = storage.stats(), dataDir = runtime.files.directory(dataPath);
  const feeds = new Feeds({ storage, committed: writer.committed, clock });
  const administration = admin({
    runtime,
    storage,
    engine: writer,
    dataPath,
    folder: `${dataDir}/snapshots`,
    config: liveConfig({
      settings: { ...defaultSettings(), nodeName: "test-node", apiKey: options.apiKey ?? null },
      dataDir,
      httpUrl: "http://127.0.0.1:5000",
      crypto: runtime.crypto,
      storage,
      sync: { required: 0, timeoutMs: 5_000 },
      onSync: () => {},
    }),
    logger: silentLogger,
  });
  const role = {
    get leadership() {
      return state.role === "follower" ? null : leadership;
    },
    get readOnly() {
      return { on: state.readOnly };
    },
  };
  const ttl = ttlSweeper({ storage, engine: writer, clock, logger: silentLogger, role });
  const querying = nodeQueries({
    runtime,
    settings: defaultSettings(),
    storage,
    engine: writer,
    dataPath,
    logger: silentLogger,
  });
  const dependencies: HttpDependencies = {
    storage,
    engine: writer,
    clock,
    random,
    crypto: runtime.crypto,
    logger: { ...silentLogger, error: (message, fields = {}) => void logged.push({ message, fields }) },
    node: {
      nodeId: testNodeId,
      nodeName: "test-node",
      version: "1.2.3",
      httpUrl: "http://127.0.0.1:5000",
      role: () => state.role,
      readOnly: () => ({ on: state.readOnly, reason: null }),
      uptimeMs: () => 1234,
      leaderHttpUrl: () => state.leaderHttpUrl,
      replicationStatus: () => ({ node: "test-node", role: state.role }),
      notReady: () => state.notReady,
      stalls: () => ({ longestMs: 12, recentMs: 3, over: 0 }),
    },
    control: unusedControl,
    verify: verifying,
    violations: counts,
    queries: querying,
    ttl,
    admin: administration,
    masters: noMasters,
    feeds,
    security: { apiKey: options.apiKey ?? null },
    fetch: () => assert.fail("fetch"),
    forwardWrites: false,
    limits: {
      bodyBytesMax: 64 * 1024 * 1024,
      documentBytesMax: 16 * 1024 * 1024,
      nestingMax: 100,
      bulkDocumentsMax: 100_000,
      syncTimeoutMs: 5_000,
      ...options.limits,
    },
  };
  const around = options.around ?? ((given) => given);
  const closing = async (): Promise<void> => {
    feeds.close();
    await Promise.all(
      [querying, verifying, counts, administration, ttl].map((part) => part.close()),
    );
  };
  return { handler: httpApp(around(dependencies)), closing, state, storage, engine: writer, clock, logged };
}

/** Without the bundle; with it: http_masters_suite.ts. */
const noMasters: Masters = {
  active: false,
  lastEtag: () => assert.fail("lastEtag"),
  replicate: () => assert.fail("replicate"),
  putCursor: () => assert.fail("putCursor"),
  heartbeat: () => assert.fail("heartbeat"),
  info: () => assert.fail("info"),
  failure: () => null,
  resolve: () => assert.fail("resolve"),
  purgeTombstones: () => assert.fail("purge-tombstones"),
  forgetPeer: () => assert.fail("peers"),
};

/** Changes of the role are tested with http_control_suite.ts, and with a whole node: http_replication_suite.ts. */
export const unusedControl: NodeControl = {
  startLeader: () => assert.fail("start-leader"),
  startFollower: () => assert.fail("start-follower"),
  setReadOnly: () => assert.fail("read-only"),
  acceptLoss: () => assert.fail("accept-loss"),
  resync: () => assert.fail("resync"),
  promote: () => assert.fail("promote"),
  handover: () => assert.fail("handover"),
  abortHandover: () => assert.fail("abort handover"),
  enableAutoFailover: () => assert.fail("enable auto-failover"),
  disableAutoFailover: () => assert.fail("disable auto-failover"),
  forgetNode: () => assert.fail("forget a node"),
};

/** Status and body of an answer that must be JSON. */
export async function told(answer: Response | Promise<Response>): Promise<{ status: number; body: Body }> {
  const response = await answer;
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  return { status: response.status, body: await response.json() as Body };
}

// deno-lint-ignore no-explicit-any -- tests look into answers of every shape
export type Body = Record<string, any>;

/** Asserts that an answer is an error as the contract wants it, and returns its body. */
export async function refused(
  answer: Response | Promise<Response>,
  status: number,
  code: string,
): Promise<Body> {
  const { status: got, body } = await told(answer);
  assert.deepEqual([got, body["code"]], [status, code], JSON.stringify(body));
  assert.equal(typeof body["error"], "string");
  assert.doesNotMatch(body["error"], /node_modules|\.ts\b|^\s+at /m, "no stack and no path");
  return body;
}

/** A node that waits for so long where it waits for a position. */
export function waitingForPositions(waitMs: number): NodeOptions {
  return {
    around: (given) => {
      const { clock } = given;
      return {
        ...given,
        clock: {
          monotonic: () => clock.monotonic(),
          wall: () => clock.wall(),
          macrotask: (run) => clock.macrotask(run),
          timer: (ms, run) => clock.timer(ms === limits.minPositionMs ? waitMs : ms, run),
        },
      };
    },
  };
}
