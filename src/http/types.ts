/** What the HTTP API needs of the node: declared here, implemented by `node/`. */
import type { Engine } from "../engine/engine.ts";
import type { Logger } from "../base/logger.ts";
import type { Clock, Random } from "../runtime/runtime.ts";
import type { Term } from "../storage/log.ts";
import type { Storage } from "../storage/storage.ts";
import type { Verify } from "./verify_types.ts";

export interface HttpDependencies {
  readonly storage: Storage;
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly node: NodeView;
  readonly control: NodeControl;
  readonly verify: Verify;
  readonly security: HttpSecurity;
  readonly limits: HttpRequestLimits;
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
}

/** A read-only view of the node and its role, for status answers and the leader gate. */
export interface NodeView {
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
  startLeader(port: number, secret: string | undefined): Promise<void>;
  startFollower(hostname: string, port: number, secret: string | undefined): Promise<void>;
  setReadOnly(on: boolean): Promise<void>;
  /** The term that began. */
  acceptLoss(): Promise<Term>;
  resync(): Promise<void>;
}
