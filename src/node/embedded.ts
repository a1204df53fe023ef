/** The object that `openDatabase` gives: documents, and replication under the reference's names. */
import { DfdbError } from "../base/errors.ts";
import type { ConnectedFollower } from "../replication/types.ts";
import type { Term } from "../storage/log.ts";
import { parsePosition, positionText, termAt } from "../storage/position_text.ts";
import type { NodeDatabase } from "./database.ts";
import { Documents } from "./embedded_documents.ts";
import { statusOf } from "./replication_status.ts";

/** Where a leader listens. */
export interface ReplicationServerOptions {
  /** 0 picks a free one. */
  readonly port: number;
  /** Address to listen on; default: all interfaces with a secret, loopback without. */
  readonly host?: string;
  /** Followers must prove it; default: the setting `replicationSecret`. */
  readonly sharedSecret?: string;
}

/** An open database inside this process. Close it before the process ends. */
export class EmbeddedDatabase extends Documents {
  readonly #database: NodeDatabase;

  constructor(database: NodeDatabase) {
    super(database);
    this.#database = database;
  }

  /** Serves followers from now on. Rejects with `port_in_use`; `bad_request` when it already does; `leader_active` on a follower. */
  async startLogicalReplicationServer(
    { port, host, sharedSecret }: ReplicationServerOptions,
  ): Promise<{ readonly host: string; readonly port: number }> {
    const server = await this.#database.replication.startLeader({
      port,
      ...(host === undefined ? {} : { hostname: host }),
      ...(sharedSecret === undefined ? {} : { secret: sharedSecret }),
    });
    return { host: server.hostname, port: server.port };
  }

  /**
   * Follows the leader at `host:port` and takes no writes any more; resolves before there is a connection, and connects
   * for ever. Rejects with `leader_active` when this database took writes: make it read-only first.
   */
  startLogicalReplicationFollower(
    host: string,
    port: number,
    { sharedSecret }: { readonly sharedSecret?: string } = {},
  ): Promise<void> {
    const secret = sharedSecret === undefined ? {} : { secret: sharedSecret };
    return this.#database.replication.startFollower({ hostname: host, port, ...secret });
  }

  /** Stops serving followers or following. A leader goes on to take writes, a follower does not. */
  stopReplication(): Promise<void> {
    return this.#database.replication.stop();
  }

  get logicalReplicationRole(): "none" | "leader" | "follower" {
    return this.#database.role.kind;
  }

  get isLogicalLeader(): boolean {
    return this.#database.replication.server !== null;
  }

  get isLogicalFollower(): boolean {
    return this.#database.role.kind === "follower";
  }

  /** The port that followers connect to, null when none is served. */
  get logicalLeaderPort(): number | null {
    return this.#database.replication.server?.port ?? null;
  }

  /** `host:port` of the leader, null when none is followed. */
  get logicalFollowerLeaderEndpoint(): string | null {
    return this.#database.replication.following?.status().endpoint ?? null;
  }

  /** Last entry of this node's log while it leads, 0 on a follower. */
  get leaderCurrentSeq(): number {
    return this.isLogicalFollower ? 0 : this.#database.storage.log.last.seq;
  }

  get logicalFollowerCount(): number {
    return this.logicalFollowers().length;
  }

  logicalFollowers(): readonly ConnectedFollower[] {
    return this.#database.replication.server?.followers() ?? [];
  }

  /** Last entry applied on a follower, 0 on a leader. */
  get followerLastSeq(): number {
    return this.isLogicalFollower ? this.#database.storage.log.last.seq : 0;
  }

  /** Entries applied from the leader that is followed. */
  get logicallyReplicatedOps(): number {
    return this.#database.replication.following?.status().opsApplied ?? 0;
  }

  get gapsDetected(): number {
    return this.#database.replication.following?.status().gapsDetected ?? 0;
  }

  /** Always false: this version has no automatic failover. */
  get wasAutoFailoverPromoted(): boolean {
    return false;
  }

  /** Followers that must hold a write before it resolves, 0 to 64; counts while this node serves followers. */
  get minSyncReplicas(): number {
    return this.#database.sync.required;
  }

  set minSyncReplicas(required: number) {
    if (!Number.isInteger(required) || required < 0 || required > 64) {
      throw new DfdbError("setting_invalid", "minSyncReplicas: expected a whole number from 0 to 64");
    }
    this.#database.sync.required = required;
    this.#database.replication.acks?.recheck();
  }

  /** Term of the leadership, or of the last entry on a follower. */
  get leaderTerm(): Term {
    const { role, storage } = this.#database, { epoch, run } = role.leadership ?? storage.log.last;
    return { epoch, run };
  }

  get isReadOnly(): boolean {
    return this.#database.role.readOnly.on;
  }

  /** On: resolves when no write is in progress any more. Kept over a restart. Off rejects as `POST /replication/read-write`. */
  setReadOnly(on: boolean): Promise<void> {
    return this.#database.replication.setReadOnly(on);
  }

  /** Gives up what followers hold more than this node; see `POST /replication/accept-loss`. */
  acceptLoss(): Promise<Term> {
    return this.#database.replication.acceptLoss();
  }

  /** Follower: takes a whole new copy from its leader; what is here is kept in `<path>.rescued`. */
  resync(): Promise<void> {
    return this.#database.replication.resync();
  }

  /** As `GET /replication/status`. */
  replicationStatus(): Readonly<Record<string, unknown>> {
    return statusOf(this.#database);
  }

  /**
   * Resolves when this database holds the entry at `position` (a leader's). Rejects with `position_lost` when its
   * history went another way, `not_caught_up` after `timeoutMs`.
   */
  reached(position: string, timeoutMs = 5_000): Promise<void> {
    const { storage, engine, runtime } = this.#database, at = parsePosition(position);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (storage.log.last.seq < at.seq) return;
      if (positionText(termAt(storage.log.terms, at.seq), at.seq) === position) return resolve();
      reject(new DfdbError("position_lost", `${position} is not in the history of this database`));
    };
    const timer = runtime.clock.timer(
      timeoutMs,
      () => reject(new DfdbError("not_caught_up", `${position} was not reached within ${timeoutMs} ms`)),
    );
    const unsubscribe = engine.committed.subscribe(look);
    look();
    return promise.finally(() => {
      timer.cancel();
      unsubscribe();
    });
  }

  /** Resolves with why the database cannot go on (the disk failed in a commit): end the process then. */
  get failed(): Promise<DfdbError> {
    return this.#database.failed;
  }

  /** Answers what is queued, tells peers, flushes, closes. Idempotent. */
  close(): Promise<void> {
    return this.#database.close();
  }
}
