/** The object that `openDatabase` gives: documents, and replication under the reference's names. */
import { DfdbError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { reached } from "../engine/reached.ts";
import type { ConnectedFollower } from "../replication/types.ts";
import type { Term } from "../storage/log.ts";
import { parsePosition } from "../storage/position_text.ts";
import type { NodeDatabase } from "./database.ts";
import { QueriedDocuments } from "./embedded_queries.ts";
import type { Given } from "./giving.ts";
import type { FollowerLastSeqProbe } from "./planned_handover.ts";
import { statusOf } from "./replication_status.ts";

/** Where a leader listens. */
export interface ReplicationServerOptions {
  /** 0 picks a free one. */
  readonly port: number;
  /** Address to listen on; default: all interfaces with a secret, loopback without. */
  readonly host?: string;
  /** Followers must prove it; default: the setting `replicationSecret`. It counts until the database is closed, also when the role changes. */
  readonly sharedSecret?: string;
}

/** When a follower takes the place of its leader. */
export interface AutoFailoverOptions {
  /** Port to lead on, 0 picks a free one; default: the leader's. */
  readonly newLeaderPort?: number;
  /** How long the leader must be silent, at least 2 heartbeats. With an authority of its own the authority says when. */
  readonly silenceTimeoutMs: number;
  /** Called with the port when this node has taken over, in a macrotask of its own. */
  readonly onPromoted?: (port: number) => void;
}

export interface PlannedHandoverOptions {
  /** `followerLastSeq` of the node that comes next, wherever it is. */
  readonly followerLastSeqProbe: FollowerLastSeqProbe;
  readonly timeoutMs: number;
}

/** A leadership that has begun. */
export interface Promoted {
  readonly port: number;
  readonly term: Term;
}

/** An open database inside this process. Close it before the process ends. */
export class EmbeddedDatabase extends QueriedDocuments {
  readonly #database: NodeDatabase;
  #onPromoted: ((port: number) => void) | null = null;

  constructor(database: NodeDatabase) {
    super(database);
    this.#database = database;
    const { replication, runtime: { clock } } = database;
    replication.onPromoted((port) => {
      const told = this.#onPromoted;
      // An error in it is the program's, not the failover's.
      if (told !== null) clock.macrotask(() => told(port));
    });
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

  /** This database took the role of a silent leader, and has it still. */
  get wasAutoFailoverPromoted(): boolean {
    return this.#database.replication.wasAutoFailoverPromoted;
  }

  /**
   * This follower takes over when its leader is silent for so long. Until the leader, which has to agree, has answered, it does not
   * (`replicationStatus().autoFailover`: `pending`). One follower of a leader may have it, unless an authority decides. Not
   * kept when the database is closed; the setting `autoFailoverMs` comes back. Rejects with `bad_request` when it is on already or this is no follower,
   * `conflict` when nobody is followed, `setting_invalid` for a time that is too short, or a leader on another machine without a secret.
   */
  async enableAutoFailover(
    { newLeaderPort, silenceTimeoutMs, onPromoted }: AutoFailoverOptions,
  ): Promise<void> {
    checkedPort("newLeaderPort", newLeaderPort);
    const silenceMs = checkedMs("silenceTimeoutMs", silenceTimeoutMs);
    await this.#database.replication.enableAutoFailover(silenceMs, newLeaderPort ?? null);
    this.#onPromoted = onPromoted ?? null;
  }

  /** Safe at any time. Once this database has taken over there is nothing to switch off: it leads. */
  async disableAutoFailover(): Promise<void> {
    await this.#database.replication.disableAutoFailover();
    this.#onPromoted = null;
  }

  /**
   * The first half of a handover in which the program tells the two nodes what to do: takes no more writes, waits until `followerLastSeqProbe`
   * answers with the last entry, and resolves with it; writes stay off. Then `promoteToLeader` on the other one; if that is connected, this
   * database follows it by itself. Where the other one is connected, `handover` does all of it.
   *
   * Rejects with `not_caught_up` when the probe fails or the time is over: writes are on again. With `conflict` where this
   * database does not lead, with no effect.
   */
  async beginPlannedHandover(
    { followerLastSeqProbe, timeoutMs }: PlannedHandoverOptions,
  ): Promise<number> {
    return await this.#database.replication.beginPlannedHandover(
      followerLastSeqProbe,
      checkedMs("timeoutMs", timeoutMs),
    );
  }

  /**
   * This follower leads on `port` when it resolves, its term is durable, and followers may connect. A leader that is connected must be read-only, and
   * gives its role; else it rejects with `leader_active`. Rejects with `behind_final_position` when the leader had more as it was heard last,
   * `no_lease`, `port_in_use`, ... `force` goes round the first two, and can lose writes that were answered: GUARANTEES.md. Nothing goes round `no_lease`.
   */
  async promoteToLeader(
    port: number | null = null,
    { force = false }: { readonly force?: boolean } = {},
  ): Promise<Promoted> {
    checkedPort("port", port ?? undefined);
    const { port: bound, term: { epoch, run } } = await this.#database.replication.promote(port, force);
    return { port: bound, term: { epoch, run } };
  }

  /**
   * Gives the role to a connected follower (node id, unique name or URL) and follows it; nothing is lost. Rejects with why it did not come about, and writes
   * are on again; with `outcome_unknown` when that is not known: this database takes no writes until it is.
   */
  async handover(to: string, timeoutMs: number = limits.promoteMs): Promise<Given> {
    return await this.#database.replication.handover(to, checkedMs("timeoutMs", timeoutMs));
  }

  /** Rejects with `conflict` when there is none, or the other node was told to lead. */
  abortHandover(): Promise<void> {
    return this.#database.replication.abortHandover();
  }

  /** This node will not come back: nobody waits for it any more. Rejects with `not_found`. */
  forgetNode(nodeId: string): Promise<void> {
    return this.#database.replication.forgetNode(nodeId);
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

  /**
   * On: resolves when no write is in progress any more. Kept over a restart. Off rejects as `POST /replication/read-write`; `force` says that no other
   * node leads, where this one does not know it, and begins a higher epoch.
   */
  setReadOnly(on: boolean, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    return this.#database.replication.setReadOnly(on, force && !on);
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
  async reached(position: string, timeoutMs: number = limits.minPositionMs): Promise<void> {
    const { storage: { log }, engine: { committed }, runtime: { clock } } = this.#database;
    await reached({ log, committed, clock }, parsePosition(position), timeoutMs);
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

function checkedPort(name: string, port: number | undefined): void {
  if (port === undefined || (Number.isInteger(port) && port >= 0 && port <= 65_535)) return;
  throw new DfdbError("setting_invalid", `${name}: expected a port, 0 to 65535`);
}

function checkedMs(name: string, ms: number): number {
  if (Number.isInteger(ms) && ms >= 1 && ms <= 86_400_000) return ms;
  throw new DfdbError("setting_invalid", `${name}: expected whole milliseconds, 1 to 86400000`);
}
