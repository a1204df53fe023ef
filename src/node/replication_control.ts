/** Changes of the role while the node runs: one at a time, each checked against the table of `cluster/`. */
import { DfdbError } from "../base/errors.ts";
import type { NodeId, Seq } from "../base/ids.ts";
import { epochOf, isHexId, nodeIdOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { HandoverProgress } from "../cluster/handover_events.ts";
import { noLeaseFor, refusalToPromote } from "../cluster/promotion.ts";
import type { RoleFacts, RoleRequest } from "../cluster/role_requests.ts";
import { refusalOf } from "../cluster/role_requests.ts";
import type { LostRight } from "../engine/plan.ts";
import type { SyncAcks } from "../replication/sync_acks.ts";
import type { FollowerServer, LeaderFollowing } from "../replication/types.ts";
import type { Term, TermRecord } from "../storage/log.ts";
import type { KnownNode } from "../wire/message.ts";
import type { AutoFailoverView } from "./auto_failover.ts";
import { Cluster } from "./cluster_parts.ts";
import type { Given } from "./giving.ts";
import { drained } from "./drained.ts";
import { findFollower } from "./find_follower.ts";
import type { LeaderAt, ListenFor, ReplicationParts } from "./replication.ts";
import type { FollowerLastSeqProbe } from "./planned_handover.ts";
import { plannedHandover } from "./planned_handover.ts";
import { mayGive, mayTake, mayWatch } from "./role_guards.ts";
import { leadPortOf } from "./settings.ts";

/** Rejections are those of `refusalOf`, `closing`, and what is said here. */
export interface Replication {
  readonly server: FollowerServer | null;
  readonly following: LeaderFollowing | null;
  /** What the answers to writes wait for; null: this node serves no followers, and nothing waits. */
  readonly acks: SyncAcks | null;
  readonly leader: KnownNode | null;
  /** The handover that this leader gives, null when there is none. */
  readonly handoverProgress: HandoverProgress | null;
  readonly autoFailover: AutoFailoverView | null;
  /** This node took the role of a silent leader, and has it still. */
  readonly wasAutoFailoverPromoted: boolean;
  /** Calls `listener` with the port when this node has taken the role of a silent leader. */
  onPromoted(listener: (port: number) => void): void;
  /** After a COMMIT: not null when this node had lost the right to write before, or does not know whether it had. */
  stillLeads(): LostRight | null;
  /** The thread, or the machine, stood still for so long. */
  stoodStill(ms: number): void;
  /** The leadership of this node goes on and gets a listener. Rejects with `port_in_use` when its port is taken. */
  startLeader(listen: ListenFor, force?: boolean): Promise<FollowerServer>;
  /** Ends the leadership, then follows; resolves before there is a connection. */
  startFollower(leader: LeaderAt): Promise<void>;
  /** Stops serving followers or following; a leader leads on without a listener, a follower takes no writes. */
  stop(): Promise<void>;
  /** On: resolves when no write is in progress any more, and none begins. Off with `force`: where a higher epoch is known, above it. */
  setReadOnly(on: boolean, force?: boolean): Promise<void>;
  /** Gives up what followers hold more: begins a new epoch, durable when it resolves, and is writable. */
  acceptLoss(): Promise<Term>;
  /** Rejects with `conflict` when this node follows nobody. */
  resync(): Promise<void>;
  /** This follower leads when it resolves. Rejects with `leader_active`, `behind_final_position`, `no_lease`, `port_in_use`, ... */
  promote(port: number | null, force: boolean): Promise<{ readonly port: number; readonly term: Term }>;
  /** Gives the role to a connected follower: node id, unique name or URL. */
  handover(to: string, timeoutMs: number): Promise<Given>;
  abortHandover(): Promise<void>;
  /** As {@linkcode plannedHandover}; rejects as `handover` where this node cannot give its role away. */
  beginPlannedHandover(probe: FollowerLastSeqProbe, timeoutMs: number): Promise<Seq>;
  enableAutoFailover(silenceMs: number, port: number | null): Promise<void>;
  disableAutoFailover(): Promise<void>;
  /** Rejects with `not_found`. */
  forgetNode(nodeId: string): Promise<void>;
  close(): Promise<void>;
}

/** Starts what the role asks for. Throws `port_in_use` when the replication port is taken. */
export async function startReplication(parts: ReplicationParts): Promise<Replication> {
  const control = new Control(parts);
  try {
    await control.begin();
  } catch (error) {
    await control.close().catch(() => {}); // why it could not start is what counts
    throw error;
  }
  return control;
}

class Control implements Replication {
  readonly #parts: ReplicationParts;
  readonly #cluster: Cluster;
  readonly #onPromoted: ((port: number) => void)[] = [];
  #changes: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | null = null;

  constructor(parts: ReplicationParts) {
    this.#parts = parts;
    this.#cluster = new Cluster(parts, {
      change: (run) => this.#change(null, run),
      drained: () => drained(this.#parts),
      promoteSilently: (port) => this.#takeOver(port),
    });
  }

  get server(): FollowerServer | null {
    return this.#cluster.stand.server;
  }

  get following(): LeaderFollowing | null {
    return this.#cluster.stand.following;
  }

  get acks(): SyncAcks | null {
    return this.#cluster.stand.acks;
  }

  get leader(): KnownNode | null {
    return this.#cluster.stand.leader;
  }

  get handoverProgress(): HandoverProgress | null {
    return this.#cluster.giving.progress;
  }

  get autoFailover(): AutoFailoverView | null {
    return this.#cluster.failover.view(this.#leadPort());
  }

  get wasAutoFailoverPromoted(): boolean {
    const { role, kept } = this.#parts;
    return role.leadership !== null && kept.state?.origin === "failover";
  }

  onPromoted(listener: (port: number) => void): void {
    this.#onPromoted.push(listener);
  }

  stillLeads(): LostRight | null {
    const { authority, role } = this.#parts, unknown = "outcome_unknown";
    const cause = authority.check();
    if (cause !== null) return { error: new DfdbError(unknown, cause.message, { cause }), quiet: true };
    if (!role.readOnlyCauses.has("unconfirmed")) return null;
    const sentence = "This node stood still while it wrote, and another one may lead by now";
    return { error: new DfdbError(unknown, sentence), quiet: false };
  }

  stoodStill(ms: number): void {
    this.#cluster.fence.late(ms);
  }

  begin(): Promise<void> {
    return this.#cluster.begin();
  }

  startLeader(listen: ListenFor, force = false): Promise<FollowerServer> {
    return this.#change("start-leader", async () => {
      const { role, kept, behind, settings: { replicationSecret } } = this.#parts;
      const { stand } = this.#cluster;
      const server = await stand.listen({ ...listen, secret: listen.secret ?? replicationSecret });
      try {
        kept.save({ role: "leader", origin: "operator", leadPort: server.port });
      } catch (error) {
        await stand.unlisten();
        throw error;
      }
      stand.leads();
      role.leadAs("leader");
      this.#cluster.serves();
      if (force) this.#force();
      behind.leads();
      return server;
    }, force);
  }

  startFollower(given: LeaderAt): Promise<void> {
    return this.#change("start-follower", async () => {
      const { role, kept, settings } = this.#parts, { stand, transitions, giving } = this.#cluster;
      const leader = { ...given, secret: given.secret ?? settings.replicationSecret };
      // Whom it follows now has what is missing; read-only for another reason it stays.
      if (role.readOnly.reason === "behind_followers") role.setReadOnly("operator", true);
      giving.stop();
      await stand.unfollow();
      await transitions.stepDown({ leader: null, term: null, origin: "operator", at: leader });
      if (stand.following !== null) return;
      kept.save({ origin: "operator", leaderAddress: null });
      stand.follow(leader);
      this.#cluster.watch();
    });
  }

  stop(): Promise<void> {
    return this.#change(null, async () => {
      const { role, kept } = this.#parts, { stand, giving, taking, announcer, failover } = this.#cluster;
      // A role that may have been given away stays in doubt, and its target is asked.
      if (!giving.inDoubt) giving.stop();
      taking.stop();
      announcer.stop();
      failover.disable();
      await stand.unfollow();
      stand.at = null;
      await stand.unlisten();
      if (role.kind === "leader") role.leadAs("none");
      kept.save({ origin: "operator", leadPort: null });
    });
  }

  setReadOnly(on: boolean, force = false): Promise<void> {
    return this.#change(on ? "read-only" : "read-write", async () => {
      const { role, kept } = this.#parts, { giving } = this.#cluster;
      if (!on && giving.progress !== null && !giving.inDoubt) giving.cancel();
      const before = role.readOnlyCauses.has("operator");
      role.setReadOnly("operator", on);
      try {
        kept.save();
      } catch (error) {
        role.setReadOnly("operator", before);
        throw error;
      }
      if (on) return await drained(this.#parts);
      if (force) this.#force();
      this.#cluster.finishIfDue();
    }, force);
  }

  acceptLoss(): Promise<Term> {
    return this.#change("accept-loss", () => this.#cluster.transitions.acceptLoss());
  }

  resync(): Promise<void> {
    return this.#change("resync", () => {
      this.following?.resync();
      return Promise.resolve();
    });
  }

  async promote(
    port: number | null,
    force: boolean,
  ): Promise<{ readonly port: number; readonly term: Term }> {
    const alone = await this.#change(
      "promote",
      async () => this.#needsAgreement(force) ? null : await this.#promoteAlone(port),
      force,
    );
    const term = alone ?? await this.#cluster.taking.wish(port, limits.promoteMs);
    return { port: this.server?.port ?? 0, term };
  }

  async handover(to: string, timeoutMs: number): Promise<Given> {
    const { settings, known } = this.#parts, { stand } = this.#cluster;
    const target = await this.#change("handover", async () => {
      const followers = this.server?.followers() ?? [], found = findFollower(followers, known, to);
      const follower = followers.find(({ nodeId }) => nodeId === found.nodeId);
      mayGive(settings, stand, follower?.endpoint ?? null);
      return found;
    });
    return await this.#cluster.giving.start(target, timeoutMs);
  }

  abortHandover(): Promise<void> {
    return this.#change(null, () => Promise.resolve(this.#cluster.giving.cancel()));
  }

  async beginPlannedHandover(probe: FollowerLastSeqProbe, timeoutMs: number): Promise<Seq> {
    const { role, logger, storage, runtime: { clock } } = this.#parts;
    await this.#change("handover", () => Promise.resolve());
    const close = (): Promise<void> => this.setReadOnly(true),
      open = (): Promise<void> => this.setReadOnly(false);
    const lastSeq = (): Seq => storage.log.last.seq;
    return await plannedHandover({ clock, logger, role, lastSeq, close, open }, probe, timeoutMs);
  }

  enableAutoFailover(silenceMs: number, port: number | null): Promise<void> {
    return this.#change("auto-failover/enable", async () => {
      mayWatch(this.#parts.settings, this.#cluster.stand, silenceMs);
      this.#cluster.failover.enable(silenceMs, port);
      this.following?.reconnect("auto-failover was switched on");
    });
  }

  disableAutoFailover(): Promise<void> {
    return this.#change("auto-failover/disable", () => {
      if (this.#cluster.failover.silenceMs === null) return Promise.resolve();
      this.#cluster.failover.disable();
      this.following?.reconnect("auto-failover was switched off");
      return Promise.resolve();
    });
  }

  forgetNode(nodeId: string): Promise<void> {
    return this.#change("forget", () => {
      const { known } = this.#parts;
      if (this.server?.followers().some((follower) => follower.nodeId === nodeId) === true) {
        const sentence = "This node follows now; switch its auto-failover off where it runs";
        return Promise.reject(new DfdbError("conflict", sentence));
      }
      if (!isHexId(nodeId) || !known.forget(nodeIdOf(nodeId))) {
        return Promise.reject(new DfdbError("not_found", `No node ${nodeId} is known here`));
      }
      this.acks?.forget(nodeIdOf(nodeId) as NodeId);
      return Promise.resolve();
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#changes.then(() => this.#cluster.close(), () => this.#cluster.close());
    return this.#closing;
  }

  /**
   * True: the leader is there and has to agree, which it does while it takes no writes; false: nobody can be asked. Throws when this node
   * must not lead.
   */
  #needsAgreement(force: boolean): boolean {
    const { storage, behind, settings, authority, kept } = this.#parts;
    const status = this.following?.status() ?? null;
    mayTake(settings, this.#cluster.stand);
    const heard = status?.state === "streaming" || status?.state === "catching_up";
    // What it told last may be older than its gate: it is asked.
    if (heard && !force) return true;
    const refusal = refusalToPromote({
      leaderHeard: heard,
      leaderReadOnly: status?.leaderReadOnly ?? null,
      seq: storage.log.last.seq,
      leaderSeq: status?.leaderSeq ?? null,
      mirrorAhead: behind.suspicious,
      noLease: noLeaseFor(authority.kind, kept.highestEpoch),
      force,
    });
    if (refusal !== null) throw refusal;
    return false;
  }

  /** Nobody agrees: the leader is gone, or an operator insists. */
  #promoteAlone(port: number | null): Promise<TermRecord> {
    return this.#cluster.transitions.promote({
      origin: "promoted",
      listen: { port: port ?? this.#leadPort() },
    });
  }

  /** The leader was silent for too long. */
  async #takeOver(port: number | null): Promise<void> {
    await this.#change(null, () => {
      const { role } = this.#parts, { transitions, failover, taking } = this.#cluster;
      // Whatever happened while this waited for its turn counts.
      if (role.leadership !== null || failover.silenceMs === null || taking.underway) {
        return Promise.reject(
          new DfdbError("conflict", "This node does not follow a silent leader any more"),
        );
      }
      return transitions.promote({ origin: "failover", listen: { port: port ?? this.#leadPort() } });
    });
    for (const listener of this.#onPromoted) listener(this.server?.port ?? 0);
  }

  /** An operator knows that nobody else leads. */
  #force(): void {
    const { kept, role, authority } = this.#parts, { transitions, giving } = this.#cluster;
    if (role.leadership === null) return;
    // An authority that counts knows better, and its epochs are its own; but the target of a handover in doubt is not to be waited for.
    if (authority.kind !== "silence" && !role.readOnlyCauses.has("in_doubt")) {
      return this.#cluster.askToLead();
    }
    // Above the epoch that the target of a handover in doubt takes, too, should it lead after all.
    const next = role.readOnlyCauses.has("in_doubt") ? role.leadership.epoch + 1 : 0;
    transitions.raise(epochOf(Math.max(kept.highestEpoch, next)), [
      "unconfirmed",
      "fenced",
      "in_doubt",
      "handover",
    ]);
    giving.forced();
  }

  #leadPort(): number {
    return leadPortOf(this.#parts.settings, this.#cluster.stand.leaderPort);
  }

  /** Runs `run` after the changes before it, unless the table refuses it then. */
  #change<Value>(request: RoleRequest | null, run: () => Promise<Value>, force = false): Promise<Value> {
    if (this.#closing !== null) return Promise.reject(new DfdbError("closing", "This node is stopping"));
    const change = this.#changes.then(() => {
      const refusal = request === null ? null : refusalOf(request, this.#facts(), force);
      if (refusal !== null) throw refusal;
      return run();
    });
    this.#changes = change.catch(() => {});
    return change;
  }

  #facts(): RoleFacts {
    const { role, kept, storage } = this.#parts, { giving, taking, failover } = this.#cluster;
    const refused = this.server?.refused() ?? [];
    const own = role.leadership?.epoch ?? 0, heard = kept.highestEpoch;
    return {
      kind: role.kind,
      readOnlyReason: role.readOnly.reason,
      following: this.following?.status().endpoint ?? null,
      wrote: role.leadership !== null && storage.log.last.run === role.leadership.run,
      higherEpoch: heard > own ? heard : null,
      followerAhead: refused.some(({ code }) => code === "ahead"),
      handover: giving.inDoubt ? "in_doubt" : giving.progress !== null || taking.underway ? "underway" : null,
      autoFailover: failover.silenceMs !== null,
    };
  }
}
