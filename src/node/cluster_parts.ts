/** Puts together what decides who leads, and connects it with the wire. */
import { DfdbError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { epochOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Claim } from "../cluster/claim.ts";
import { defaultDatabase } from "../http/needed_scope.ts";
import type { PeerClaim, StateFields, Welcomed } from "../replication/types.ts";
import type { Term, TermRecord } from "../storage/log.ts";
import type { KnownNode, TakeOver } from "../wire/message.ts";
import { type Announcer, announcer } from "./announcer.ts";
import { AutoFailover } from "./auto_failover.ts";
import { Fence } from "./fence.ts";
import { nodeOf } from "./find_follower.ts";
import { Giving } from "./giving.ts";
import { Lease } from "./lease.ts";
import { Peers } from "./peers.ts";
import type { LeaderAt, ReplicationParts } from "./replication.ts";
import { leadPortOf } from "./settings.ts";
import { type Doors, Stand } from "./stand.ts";
import { syncUpkeep } from "./sync_upkeep.ts";
import { Taking } from "./taking.ts";
import { Transitions } from "./transitions.ts";

export interface ClusterHooks {
  /** Runs after the changes before it. */
  change<Value>(run: () => Promise<Value>): Promise<Value>;
  /** Resolves when everything that was queued is answered. */
  drained(): Promise<void>;
  /** The leader is silent. Rejects when this node does not lead. */
  promoteSilently(port: number | null): Promise<void>;
}

export class Cluster {
  readonly stand: Stand;
  readonly transitions: Transitions;
  readonly fence: Fence;
  readonly failover: AutoFailover;
  readonly giving: Giving;
  readonly taking: Taking;
  readonly announcer: Announcer;
  readonly #parts: ReplicationParts;
  readonly #hooks: ClusterHooks;
  readonly #peers: Peers;
  readonly #lease: Lease;
  readonly #unsubscribe: () => void;
  /** The fence knows of the leadership. */
  #judges = false;

  constructor(parts: ReplicationParts, hooks: ClusterHooks) {
    const { runtime: { clock, random }, engine } = parts;
    this.#parts = parts;
    this.#hooks = hooks;
    const stand = this.stand = new Stand(parts, this.#doors());
    const peers = this.#peers = new Peers(parts, stand, () => ({
      leads: stand.standingBy ? null : this.fence.leads,
      silenceMs: this.failover.silenceMs,
      leadPort: this.#leadPort(),
    }));
    this.transitions = new Transitions(parts, stand, peers, {
      onLead: (term) => this.#onLead(term),
      onFollow: () => this.#onFollow(),
    });
    this.fence = new Fence(parts, stand, peers, {
      stepDown: (leader) => this.#stepDown(leader),
      raise: (above) => this.#raise(above),
      confirmed: () => this.#confirmed(),
    });
    this.failover = new AutoFailover({
      parts,
      stand,
      peers,
      inHandover: () => this.taking.underway,
      promote: (port) => hooks.promoteSilently(port),
    });
    this.giving = new Giving({
      parts,
      stand,
      peers,
      drained: () => hooks.drained(),
      // The target may have been given this node's place: with a new lease a late one is refused.
      takenBack: () => this.#lease.begin(),
      stepDown: (leader, term) =>
        this.#change(() => this.transitions.stepDown({ leader, term, origin: "handover" })),
    });
    this.taking = new Taking({
      parts,
      stand,
      peers,
      listen: () => ({ port: this.#leadPort() }),
      promote: (from) =>
        hooks.change(() =>
          this.transitions.promote({ origin: "handover", listen: null, ...(from === null ? {} : { from }) })
        ),
    });
    this.#lease = new Lease({
      parts,
      stand,
      peers,
      transitions: this.transitions,
      change: (run) => this.#change(run),
      leadPort: () => this.#leadPort(),
    });
    this.announcer = announcer({
      clock,
      random,
      peers: () => this.#toTell(),
      tell: (peer) => peers.ask(peer).then((claim) => this.#heard(claim), () => {}),
    });
    const stopUpkeep = syncUpkeep(parts, stand),
      unsubscribe = engine.committed.subscribe(() => {
        this.fence.committed();
        this.taking.holds();
      });
    this.#unsubscribe = () => {
      stopUpkeep();
      unsubscribe();
    };
  }

  /** What the role at the start asks for. Rejects with `port_in_use`. */
  async begin(): Promise<void> {
    const { role, settings, start, kept, embedded } = this.#parts;
    if (role.kind === "follower") {
      if (embedded) return;
      const at = this.#configured() ?? this.transitions.whereToFollow(kept.state?.leaderAddress ?? null);
      if (at !== null) this.stand.follow(at);
      this.#lease.resume();
      return this.watch();
    }
    const { leadership } = role, { handover } = kept.state ?? { handover: null };
    if (leadership === null) return;
    // A program's database has a listener only when it is told so, and led with one before.
    if (role.kind === "leader" || embedded) this.#judge(leadership);
    if (role.kind === "leader") {
      await this.stand.listen({ port: start.leadPort ?? leadPortOf(settings, null) });
      this.stand.leads();
      this.announcer.start();
    }
    if (handover !== null) this.giving.resume(handover.id, handover.target);
    this.#lease.begin();
    this.finishIfDue();
  }

  /** This leader has a listener from now on. */
  serves(): void {
    const { leadership } = this.#parts.role;
    if (leadership !== null && !this.#judges) this.#judge(leadership);
    this.announcer.start();
  }

  /** Claims of others count from now on, and who may have taken over is asked first. */
  #judge(leadership: Term): void {
    const { role, settings, start, kept, nodeStore, storage, known } = this.#parts;
    const before = storage.log.terms.at(-1)?.nodeId, own = leadership.epoch;
    const old = start.unfinished && before !== nodeStore.nodeId
      ? known.all().filter(({ nodeId }) => nodeId === before)
      : [];
    // Fenced by an equal epoch, it goes above that one.
    const heard = Math.max(kept.highestEpoch, role.readOnlyCauses.has("fenced") ? own + 1 : 0);
    this.#judges = true;
    this.fence.lead({
      term: leadership,
      ask: [...old, ...known.candidates().filter(({ nodeId }) => nodeId !== before || old.length === 0)],
      waitMs: settings.leaderStartMs,
      knowsHigher: heard > own ? epochOf(heard) : null,
      unfinished: old.length > 0,
    });
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    this.announcer.stop();
    this.#lease.stop();
    this.giving.stop();
    this.taking.stop();
    this.failover.disable();
    this.fence.follow();
    await this.stand.unfollow();
    await this.stand.unlisten();
    await this.#parts.authority.release();
    await this.#parts.authority.close();
  }

  #doors(): Doors {
    return {
      onSign: (nodeId) => this.fence.sign(nodeId),
      listener: {
        identity: () => this.#peers.identity(),
        standing: () => this.#peers.standing(),
        statement: (handover) => this.#statement(handover),
        onClaim: (claim) => this.#met(claim),
        onHarmless: () => this.finishIfDue(),
        handover: {
          received: (nodeId, message) =>
            message.type === "takeOver"
              ? this.#onWish(nodeId, message)
              : this.giving.received(nodeId, message),
          left: (nodeId) => this.giving.left(nodeId),
        },
      },
      follower: {
        identity: () => this.#peers.identity(),
        lastLeader: () => this.stand.leader,
        onContact: () => this.failover.heard(),
        onWelcome: (welcomed) => this.#onWelcome(welcomed),
        onLine: (up) => void (up || this.taking.left()),
        handover: { received: (message) => this.taking.received(message) },
      },
    };
  }

  async #statement(handover: string | null): Promise<StateFields> {
    if (handover === null && this.transitions.promoting) {
      throw new DfdbError("busy", "This node is about to lead; ask again in a moment");
    }
    if (handover === null) return this.#peers.statement(null);
    const outcome = await this.taking.asked(handover);
    return this.#peers.statement({ id: handover, outcome });
  }

  #met(claim: PeerClaim): void {
    this.#peers.met(claim);
    this.#heard(claim, claim.follows);
  }

  /** `asFollower`: with a hello that asks for the log. */
  #heard(claim: Claim, asFollower = false): void {
    const { inDoubt } = this.giving;
    this.giving.met(claim, asFollower);
    // What the other side of a handover in doubt says is for the handover to judge.
    if (!inDoubt) this.fence.met(claim);
    if (claim.leads !== null) this.#outdo(claim.leads);
  }

  /** A leader below this one ends when it is told of this epoch: that has to have an entry, also when nobody writes here. */
  #outdo({ epoch }: TermRecord): void {
    const { role: { leadership, readOnly }, storage: { log: { last } } } = this.#parts;
    if (leadership === null || readOnly.on || this.transitions.promoting) return;
    if (epoch < leadership.epoch && last.epoch < leadership.epoch) this.transitions.finish();
  }

  #onWelcome(welcomed: Welcomed): void {
    const { known, kept, logger } = this.#parts;
    this.stand.welcomed = welcomed;
    // What came before was not yet known to come from a leader.
    this.failover.heard();
    known.met(welcomed.leader);
    known.heardOf(welcomed.knownNodes);
    try {
      kept.save({ leaderAddress: welcomed.endpoint });
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      logger.warn("the leader's address could not be kept", { error: error.message });
    }
  }

  /** A follower's operator wants it to lead. */
  #onWish(nodeId: NodeId, { id }: TakeOver): void {
    const { role } = this.#parts, { server } = this.stand;
    const decline = (error: DfdbError): void => {
      const message = error.message.slice(0, 1_000);
      server?.send(nodeId, { type: "declined", id, code: error.code, message });
    };
    if (role.readOnly.reason !== "operator") {
      const why = role.readOnly.on ? `is read-only (${role.readOnly.reason})` : "takes writes";
      return decline(
        new DfdbError("leader_active", `The leader ${why}; make it read-only first, or hand over from it`),
      );
    }
    const follower = server?.followers().find((each) => each.nodeId === nodeId);
    if (follower === undefined) return;
    this.giving.start(nodeOf(follower, this.#parts.known), limits.promoteMs, id).then(() => {}, decline);
  }

  #onLead(term: Term): void {
    this.failover.pause();
    this.#judges = true;
    this.fence.lead({ term, ask: [], waitMs: 0, knowsHigher: null });
    this.announcer.start();
  }

  #onFollow(): void {
    this.announcer.stop();
    this.giving.stop();
    this.#judges = false;
    this.fence.follow();
    this.#lease.resume();
    this.watch();
  }

  /** Takes no writes until the authority has given this leader its place anew. */
  askToLead(): void {
    this.#lease.begin();
  }

  /** This follower follows somebody: auto-failover is on again, as it was or as the settings say. */
  watch(): void {
    const { autoFailoverMs, autoFailoverNewPort } = this.#parts.settings;
    if (this.failover.resume()) return;
    if (autoFailoverMs !== null && autoFailoverMs > 0) {
      this.failover.enable(autoFailoverMs, autoFailoverNewPort);
    }
  }

  #confirmed(): void {
    this.finishIfDue();
  }

  /**
   * When this leader may write again. Where an epoch was begun before, or left out, others may hold entries: they follow once they are
   * told of this one, also when nobody writes.
   */
  finishIfDue(): void {
    const { role: { leadership, readOnly }, storage: { log: { last } }, start } = this.#parts;
    if (leadership === null || readOnly.on || last.run === leadership.run) return;
    if (start.unfinished || leadership.epoch > last.epoch + 1) this.transitions.finish();
  }

  #stepDown(leader: KnownNode | null): void {
    this.#change(async () => {
      await this.transitions.stepDown({ leader, term: null, origin: "fenced" });
      if (leader === null) this.#lease.resume();
    });
  }

  #raise(above: Term["epoch"]): void {
    this.#change(async () => {
      const { role, settings } = this.#parts, { leadership } = role;
      if (leadership === null) return this.fence.follow();
      const waitMs = Math.min(settings.leaderStartMs, limits.claimAskMs);
      const knowsHigher = epochOf(Math.max(above, leadership.epoch + 1));
      // While the target may lead, an epoch above its own would only keep this node from hearing that it does.
      if (this.giving.inDoubt) return this.fence.lead({ term: leadership, ask: [], waitMs, knowsHigher });
      try {
        this.transitions.raise(above, ["fenced", "unconfirmed"]);
      } catch (error) {
        if (!(error instanceof DfdbError)) throw error;
        // It is tried again: until then this node takes no writes.
        this.fence.lead({ term: leadership, ask: [], waitMs, knowsHigher });
      }
    });
  }

  /** What goes wrong in it has been told. */
  #change(run: () => Promise<void>): void {
    this.#hooks.change(run).catch((error: unknown) => {
      if (!(error instanceof DfdbError)) throw error;
    });
  }

  /** Known nodes that do not follow this one. */
  #toTell(): readonly KnownNode[] {
    const { role, known } = this.#parts;
    if (role.kind !== "leader") return [];
    const connected = new Set(this.stand.server?.followers().map(({ nodeId }) => nodeId));
    return known.all().filter(({ nodeId, wireAddress }) => wireAddress !== null && !connected.has(nodeId));
  }

  /** The command line is about the database `default`; another one may follow somebody else. */
  #configured(): LeaderAt | null {
    const { name, settings: { leaderHost: hostname, leaderPort: port } } = this.#parts;
    return name !== defaultDatabase || hostname === null || port === null ? null : { hostname, port };
  }

  #leadPort(): number {
    return this.failover.port ?? leadPortOf(this.#parts.settings, this.stand.leaderPort);
  }
}
