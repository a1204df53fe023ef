/** What the HTTP API needs of the node: declared here, implemented by `node/`. */
import type { KnownKey } from "../engine/api_keys.ts";
import type { Engine } from "../engine/engine.ts";
import type { Queries } from "../engine/query_types.ts";
import type { Ttl } from "../engine/ttl.ts";
import type { Logger } from "../base/logger.ts";
import type { Clock, Crypto, Random } from "../runtime/runtime.ts";
import type { Term } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import type { Admin } from "./admin_types.ts";
import type { Feeds } from "./feeds.ts";
import type { Masters } from "./master_types.ts";
import type { Verify } from "./verify_types.ts";
import type { Violations } from "./violation_types.ts";

/** The scoped keys that count. */
export interface KnownKeys {
  /** Whether there is any. */
  any(): boolean;
  /** The key with this secret, or null. */
  find(secret: string): KnownKey | null;
}

/** A Runtime's fetch. */
export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

export interface HttpDependencies {
  readonly storage: Storage;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly logger: Logger;
  readonly node: NodeView;
  readonly control: NodeControl;
  readonly verify: Verify;
  readonly violations: Violations;
  readonly queries: Pick<Queries, "run">;
  readonly ttl: Ttl;
  readonly admin: Admin;
  readonly masters: Masters;
  readonly feeds: Feeds;
  readonly security: HttpSecurity;
  readonly limits: HttpRequestLimits;
  readonly fetch: Fetch;
  /** A follower passes writes on to its leader. */
  readonly forwardWrites: boolean;
  /** Where it is one of the databases of a node; absent: the only one. */
  readonly place?: DatabasePlace;
}

/** A database among those of its node. */
export interface DatabasePlace {
  readonly name: string;
  /** The scoped keys that count here: those of the database `default`, for all databases of the node. */
  readonly keys: KnownKeys;
  /** Another one. Throws `not_found`, `database_unavailable`. */
  other(name: string): { readonly name: string; readonly storage: Storage };
}

export interface HttpSecurity {
  /** Bearer token that every request but `/health` must carry; null: none is asked for. */
  readonly apiKey: string | null;
}

/** From the settings. */
export interface HttpRequestLimits {
  readonly bodyBytesMax: number;
  readonly documentBytesMax: number;
  readonly nestingMax: number;
  readonly bulkDocumentsMax: number;
  /** How long a write at the leader may wait for followers, as far as this node knows. */
  readonly syncTimeoutMs: number;
}

/** A read-only view of the node and its role, for status answers and the leader gate. */
export interface NodeView {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly version: string;
  readonly httpUrl: string;
  role(): "none" | "leader" | "follower";
  readOnly(): { readonly on: boolean; readonly reason: string | null };
  /** Milliseconds since this node started. */
  uptimeMs(): number;
  /** Where writes go when this node does not take them: the leader's HTTP URL, null when not known (yet). */
  leaderHttpUrl(): string | null;
  /** The answer of `GET /replication/status`, complete. */
  replicationStatus(): Readonly<Record<string, unknown>>;
  /** Null when ready, else why not (a sentence). */
  notReady(bounds: LagBounds): string | null;
  /** How long the main thread was held, ms; `recentMs` since this was last asked. */
  stalls(): { readonly longestMs: number; readonly recentMs: number; readonly over: number };
}

/** How far behind a follower may be and still be ready; nothing given: it must have caught up. */
export interface LagBounds {
  readonly maxLagSeq?: number | undefined;
  readonly maxLagMs?: number | undefined;
}

/** Changes of the node's role. Each rejects with a DfdbError that is the client's answer when the node does not take it now. */
export interface NodeControl {
  /** `secret` undefined: the configured one. */
  startLeader(port: number, secret: string | undefined, force: boolean): Promise<void>;
  startFollower(hostname: string, port: number, secret: string | undefined): Promise<void>;
  /** `force`, only where it is switched off: also where a higher term is known, or a handover is in doubt. */
  setReadOnly(on: boolean, force?: boolean): Promise<void>;
  /** The term that began. */
  acceptLoss(): Promise<Term>;
  resync(): Promise<void>;
  /** `port` undefined: where the node would lead by its settings. `force` goes round the guards. */
  promote(port: number | undefined, force: boolean): Promise<Promotion>;
  /** `to`: node id, unique name or URL of a connected follower. Once called it goes on, whoever asked is there or not. */
  handover(to: string, timeoutMs: number): Promise<HandoverResult>;
  /** Rejects with `conflict` when there is none, or when it cannot be stopped any more. */
  abortHandover(): Promise<void>;
  enableAutoFailover(silenceMs: number, newLeaderPort: number | undefined): Promise<AutoFailover>;
  disableAutoFailover(): Promise<void>;
  /** Rejects with `not_found`. */
  forgetNode(nodeId: string): Promise<void>;
}

export interface Promotion {
  /** Where followers connect to now. */
  readonly port: number;
  readonly term: Term;
}

export interface HandoverResult {
  /** Last entry of the leadership that ended. */
  readonly finalSeq: number;
  readonly epoch: number;
  readonly newLeader: NewLeader;
  /** How long nobody took writes. */
  readonly pausedMs: number;
}

export interface NewLeader {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly httpUrl: string | null;
  readonly wireAddress: string | null;
}

export interface AutoFailover {
  readonly silenceMs: number;
  /** Null while it is not known yet: the leader's. */
  readonly newLeaderPort: number | null;
}
