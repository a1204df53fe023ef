/** Leaders and followers on one memory net and one manual clock. */
import { createHash, createHmac } from "node:crypto";
import { DfdbError } from "../../src/base/errors.ts";
import type { DatabaseId, NodeId } from "../../src/base/ids.ts";
import { databaseIdOf, nodeIdOf } from "../../src/base/ids.ts";
import { limits } from "../../src/base/limits.ts";
import { type LogFields, type Logger, silentLogger } from "../../src/base/logger.ts";
import { type Prng, prng } from "../../src/base/prng.ts";
import { followLeader } from "../../src/replication/follow_leader.ts";
import { serveFollowers } from "../../src/replication/serve_followers.ts";
import type {
  DurableFollower,
  FollowerHandoverDoor,
  FollowerServer,
  Identity,
  LeaderFollowing,
  PeerClaim,
  RefusedFollower,
  ReplicationRuntime,
  ServeFollowersOptions,
  StateFields,
  StreamTuning,
  Welcomed,
} from "../../src/replication/types.ts";
import type { Crypto } from "../../src/runtime/runtime.ts";
import type { LogEntry, Position } from "../../src/storage/log.ts";
import type { KnownNode } from "../../src/wire/message.ts";
import { FakeDatabase, runOf } from "./fake_database.ts";
import { FakeResync } from "./fake_resync.ts";
import { FakeSnapshots } from "./fake_snapshots.ts";
import { ManualClock } from "./manual_clock.ts";
import { MemoryNet } from "./memory_net.ts";

export const tuning: StreamTuning = {
  heartbeatMs: limits.heartbeatMs,
  contactLostMs: limits.contactLostMs,
  handshakeMs: limits.handshakeMs,
  connectMs: limits.connectMs,
  reconnectMinMs: limits.reconnectMinMs,
  reconnectMaxMs: limits.reconnectMaxMs,
  appendBytes: limits.appendBytes,
  appendEntriesMax: limits.appendEntriesMax,
  windowBytes: limits.windowBytes,
  followersMax: 8,
  handshakesMax: 16,
  snapshotAboveEntries: limits.snapshotAboveEntries,
  snapshotBytesPerSecond: 512 * 1024 * 1024,
  snapshotBusyBytesPerSecond: 64 * 1024 * 1024,
};

export const testCrypto: Crypto = {
  sha256: (bytes) => new Uint8Array(createHash("sha256").update(bytes).digest()),
  hmacSha256: (key, bytes) => new Uint8Array(createHmac("sha256", key).update(bytes).digest()),
};

/** Node ids are the digit of a node, 32 times. */
export function identityOf(digit: string, changes: Partial<Identity> = {}): Identity {
  return {
    nodeId: nodeIdOf(digit.repeat(32)),
    nodeName: `node-${digit}`,
    database: "default",
    httpUrl: `http://node-${digit}:5000`,
    wireAddress: `node-${digit}:5500`,
    autoFailover: false,
    silenceMs: null,
    ...changes,
  };
}

export const theDatabase: DatabaseId = databaseIdOf("d".repeat(32));
export const leaderPort = 5500;

/** What a leader of the rig (node a) says of itself. */
export function stateOf(database: FakeDatabase): StateFields {
  const { nodeName, httpUrl, wireAddress } = identityOf("a");
  return {
    nodeName,
    role: "leader",
    leads: database.terms.at(-1) ?? null,
    terms: database.terms,
    position: database.last,
    readOnly: false,
    reason: null,
    leader: null,
    httpUrl,
    wireAddress,
    silenceMs: null,
    knownNodes: [],
    handover: null,
  };
}

export interface PartOptions {
  readonly identity?: Partial<Identity>;
  readonly databaseId?: DatabaseId;
  readonly secret?: string;
  readonly tuning?: Partial<StreamTuning>;
  readonly port?: number;
  readonly snapshots?: FakeSnapshots;
  readonly runtime?: ReplicationRuntime;
  /** The leader's: it listens and does not lead. */
  readonly standing?: ServeFollowersOptions["standing"];
  readonly statement?: ServeFollowersOptions["statement"];
  readonly knownNodes?: ServeFollowersOptions["knownNodes"];
  /** The follower's: see `FollowLeaderOptions`. */
  readonly lastAddress?: string;
  readonly others?: readonly KnownNode[];
  /** The follower's; by default one that fails everything. */
  readonly resync?: FakeResync;
  readonly apply?: (entries: readonly LogEntry[]) => Position | Promise<Position>;
}

/** One node that follows. */
export interface TestFollower {
  readonly following: LeaderFollowing;
  readonly database: FakeDatabase;
  databaseId: DatabaseId;
  readonly hints: (string | null)[];
  /** What it says of itself from its next hello on. */
  identity: Partial<Identity>;
  /** What it was told of its leader and its connections. */
  readonly heard: {
    contacts: number;
    readonly welcomes: Welcomed[];
    readonly nodes: (readonly KnownNode[])[];
    readonly line: string[];
    readonly handover: Parameters<FollowerHandoverDoor["received"]>[0][];
  };
}

export class Rig {
  readonly clock: ManualClock = new ManualClock();
  readonly net: MemoryNet = new MemoryNet();
  readonly lines: string[] = [];
  /** What the leaders of this rig were told of their followers' positions. */
  readonly ahead: RefusedFollower[] = [];
  readonly found: DurableFollower[] = [];
  readonly strangers: NodeId[] = [];
  /** Rising epochs that its followers heard, and that its leaders heard from peers beyond their own. */
  readonly epochs: number[] = [];
  /** What peers claimed, and what followers said of a handover. */
  readonly claims: PeerClaim[] = [];
  readonly handover: string[] = [];
  /** Nodes that a leader of this rig accepted as candidates. */
  readonly candidates: Map<NodeId, number | null> = new Map();
  /** Several may be accepted. */
  severalCandidates = false;
  readonly #prng: Prng = prng(1);
  readonly runtime: ReplicationRuntime = {
    clock: this.clock,
    net: this.net,
    crypto: testCrypto,
    random: { bytes: (length) => this.#prng.bytes(length), float: () => this.#prng.float() },
  };
  readonly #logger: Logger = { ...silentLogger, info: this.#line("info"), warn: this.#line("warn") };

  /** A database whose leader (node a) began epoch 1 and wrote `count` entries. */
  database(count = 0): FakeDatabase {
    const database = new FakeDatabase();
    database.lead(1, runOf("1"));
    if (count > 0) database.write(count);
    return database;
  }

  lead(database: FakeDatabase, options: PartOptions = {}): Promise<FollowerServer> {
    return serveFollowers({
      runtime: options.runtime ?? this.runtime,
      logger: this.#logger,
      identity: () => identityOf("a", options.identity),
      databaseId: () => options.databaseId ?? theDatabase,
      secret: options.secret ?? null,
      log: database,
      committed: database.committed,
      readOnly: () => false,
      epoch: () => database.last.epoch,
      tuning: { ...tuning, ...options.tuning },
      listen: { hostname: "localhost", port: options.port ?? leaderPort },
      snapshots: options.snapshots ?? new FakeSnapshots(database),
      standing: options.standing ?? (() => null),
      statement: options.statement ?? (() => stateOf(database)),
      onClaim: (claim) => this.#claimed(database, claim),
      candidates: {
        accept: (nodeId, _name, silenceMs) => this.#accept(nodeId, silenceMs),
        withdrew: (nodeId) => void this.candidates.delete(nodeId),
      },
      knownNodes: options.knownNodes ?? (() => []),
      handover: {
        received: (nodeId, { type, id }) => void this.handover.push(`${nodeId[0]} ${type} ${id[0]}`),
        left: (nodeId) => void this.handover.push(`${nodeId[0]} left`),
      },
      onAhead: (follower) => void this.ahead.push(follower),
      onFound: (follower) => void this.found.push(follower),
      onStranger: (nodeId) => void this.strangers.push(nodeId),
      tls: null,
    });
  }

  #claimed(database: FakeDatabase, claim: PeerClaim): void {
    this.claims.push(claim);
    const epoch = claim.newest?.epoch ?? 0;
    if (epoch > database.last.epoch) this.epochs.push(epoch);
  }

  #accept(nodeId: NodeId, silenceMs: number | null): DfdbError | null {
    const other = [...this.candidates.keys()].find((known) => known !== nodeId);
    if (other !== undefined && !this.severalCandidates) {
      return new DfdbError("second_candidate", `auto-failover is already on at "node-${other[0]}"`);
    }
    this.candidates.set(nodeId, silenceMs);
    return null;
  }

  follow(database: FakeDatabase, options: PartOptions = {}): TestFollower {
    const heard = { contacts: 0, welcomes: [], nodes: [], line: [], handover: [] } as TestFollower["heard"];
    const hints: (string | null)[] = [], identity: Partial<Identity> = {};
    const part = { database, hints, heard, identity, databaseId: options.databaseId ?? theDatabase };
    const following = followLeader({
      runtime: this.runtime,
      logger: this.#logger,
      identity: () => identityOf("b", { ...options.identity, ...part.identity }),
      databaseId: () => part.databaseId,
      adoptDatabaseId: (id) => void (part.databaseId = id),
      secret: options.secret ?? null,
      leader: { hostname: "leader", port: options.port ?? leaderPort },
      lastAddress: options.lastAddress ?? null,
      lastLeader: null,
      knownNodes: () => options.others ?? [],
      log: database,
      apply: options.apply ?? ((entries) => database.apply(entries)),
      resync: options.resync ?? new FakeResync(database, null),
      tls: null,
      onLeaderHint: ({ httpUrl }) => void hints.push(httpUrl),
      onEpoch: (epoch) => void (epoch > (this.epochs.at(-1) ?? 0) && this.epochs.push(epoch)),
      onContact: () => void heard.contacts++,
      onWelcome: (welcomed) => void heard.welcomes.push(welcomed),
      onKnownNodes: (nodes) => void heard.nodes.push(nodes),
      onLine: (up, error) => void heard.line.push(up ? "up" : error?.code ?? "down"),
      handover: { received: (message) => void heard.handover.push(message) },
      tuning: { ...tuning, ...options.tuning },
    });
    return Object.assign(part, { following });
  }

  /** Until the follower holds what the leader holds. */
  async caughtUp(leader: FakeDatabase, follower: TestFollower): Promise<void> {
    const same = (): boolean =>
      follower.database.last.chain === leader.last.chain && follower.database.last.seq > 0;
    await this.clock.until(same, "the follower has caught up");
  }

  /** Until the follower's last error has this code. */
  async failed(follower: TestFollower, code: string): Promise<string> {
    await this.clock.until(() => follower.following.status().lastError?.code === code, `lastError ${code}`);
    return follower.following.status().lastError?.message ?? "";
  }

  #line(level: string): (message: string, fields?: LogFields) => void {
    return (message, fields) => void this.lines.push(`${level} ${message} ${fields?.code ?? ""}`.trim());
  }
}
