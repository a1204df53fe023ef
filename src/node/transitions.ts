/**
 * The changes of who leads: this node begins to lead, stops, or leads on in a higher epoch. Run one at a time. Each makes durable in `node.dfdb`
 * what it is about to be before it is that, so that a crash in between leaves nothing that a restart would take for something else.
 */
import { hex } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import { epochOf, runIdOf } from "../base/ids.ts";
import type { ReadOnlyCause } from "../cluster/role.ts";
import type { Plan } from "../engine/plan.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import type { Term, TermRecord } from "../storage/log.ts";
import type { RoleOrigin } from "../storage/storage.ts";
import type { KnownNode } from "../wire/message.ts";
import { epochAfter } from "./kept_state.ts";
import type { Peers } from "./peers.ts";
import type { LeaderAt, ListenFor, ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";

/** Makes the run's term entry durable though nothing else is written. */
const beginRun: Plan<null> = { bytes: 0, beginsRun: true, run: () => null };

export interface TransitionEvents {
  /** A leadership has begun, under `term`; its first entry comes next. */
  onLead(term: Term): void;
  /** The leadership is over. */
  onFollow(): void;
}

export interface Promoting {
  readonly origin: RoleOrigin;
  /** Null: it listens already. */
  readonly listen: ListenFor | null;
  /** Whose place is taken by agreement, and the epoch of that leadership. */
  readonly from?: KnownNode & { readonly epoch: Epoch };
}

export interface SteppingDown {
  /** Who leads now; null: not known. */
  readonly leader: KnownNode | null;
  readonly term: TermRecord | null;
  readonly origin: RoleOrigin;
  /** Where to look for a leader first; default: where the leader is, or known nodes are. */
  readonly at?: LeaderAt;
}

export class Transitions {
  readonly #parts: ReplicationParts;
  readonly #stand: Stand;
  readonly #peers: Peers;
  readonly #events: TransitionEvents;
  /** This node is about to lead, and nothing that it says of who leads would hold. */
  promoting = false;

  constructor(parts: ReplicationParts, stand: Stand, peers: Peers, events: TransitionEvents) {
    this.#parts = parts;
    this.#stand = stand;
    this.#peers = peers;
    this.#events = events;
  }

  /**
   * A follower leads: its term is durable, and others may follow, when this resolves. Rejects with `port_in_use`, `no_lease`, `disk_full`, ...:
   * this node follows as before, and nobody was told otherwise.
   */
  async promote({ origin, listen, from }: Promoting): Promise<TermRecord> {
    const { storage, role, runtime, logger } = this.#parts, { at } = this.#stand;
    const causes = [...role.readOnlyCauses];
    this.promoting = true;
    if (listen === null) this.#stand.following?.holdAfter(storage.log.last.seq);
    else await this.#stand.unfollow();
    let term: Term;
    try {
      const { port } = listen === null ? this.#bound() : await this.#stand.listen(listen);
      runtime.crashPoint("promote:listening");
      term = await this.#newTerm(from);
      this.#parts.kept.save({ role: "leader", origin, leadPort: port, term, handover: null, causes: none });
      runtime.crashPoint("promote:kept");
      for (const cause of role.readOnlyCauses) role.setReadOnly(cause, false);
      this.#stand.counts();
      role.lead("leader", term);
      this.#events.onLead(term);
      await this.#beginRun(term);
      runtime.crashPoint("promote:begun");
    } catch (error) {
      // The term may be on the disk: what is kept says that this node goes on with it at its next start.
      if (error instanceof DfdbError && error.code === "outcome_unknown") throw error;
      await this.#unpromote(at, listen === null, causes);
      throw error;
    } finally {
      this.promoting = false;
    }
    this.#stand.leads();
    this.#stand.welcomed = null;
    const record = storage.log.terms.at(-1) as TermRecord;
    logger.warn("this node leads", { origin, epoch: term.epoch, port: this.#stand.server?.port ?? 0 });
    return record;
  }

  /** The leadership ends at once; then this node follows `leader`, or whoever it finds. */
  async stepDown({ leader, term, origin, at }: SteppingDown): Promise<void> {
    const { role, kept, behind, authority, logger } = this.#parts;
    if (role.leadership === null) {
      const there = leader?.wireAddress ?? null;
      if (there === null) return;
      if (this.#stand.following !== null) return this.#stand.following.tryFirst(there);
      const where = this.whereToFollow(there);
      if (where !== null) this.#stand.follow(where);
      return;
    }
    role.follow();
    role.setLeaderHttpUrl(leader?.httpUrl ?? null);
    for (const cause of role.readOnlyCauses) if (cause !== "operator") role.setReadOnly(cause, false);
    behind.follows();
    const leaderAddress = at === undefined ? leader?.wireAddress ?? kept.state?.leaderAddress ?? null : null;
    // Before anything that takes time: whoever starts from it does not lead again.
    this.#keep({
      role: "follower",
      origin,
      leaderAddress,
      leadPort: null,
      term: null,
      handover: null,
      epoch: term?.epoch ?? 0,
    });
    this.#events.onFollow();
    logger.warn("this node stops leading", { origin, leader: leader?.nodeName ?? "unknown" });
    const lost = new DfdbError("outcome_unknown", "This node stopped leading before followers confirmed");
    await this.#stand.unlisten({ lost, successor: { leader, term } });
    await authority.release();
    const where = at ?? this.whereToFollow(leaderAddress);
    if (where !== null) this.#stand.follow(where);
  }

  /** This node leads on, in an epoch above `above` and all that it has seen, or the one that was given to it. Throws when that cannot be kept: nothing has changed then. */
  raise(above: Epoch, lift: readonly ReadOnlyCause[] = [], given?: Epoch): Term {
    const { role, kept, storage, engine, logger } = this.#parts;
    const own = role.leadership?.epoch ?? epochOf(0);
    const term = this.#drawn(given ?? epochOf(epochAfter(kept, above, storage.log.last.epoch, own)));
    const causes = new Set([...role.readOnlyCauses].filter((cause) => !lift.includes(cause)));
    kept.save({ epoch: term.epoch, causes, ...(lift.includes("in_doubt") ? { handover: null } : {}) });
    for (const cause of lift) role.setReadOnly(cause, false);
    role.lead(role.kind === "leader" ? "leader" : "none", term);
    this.#events.onLead(term);
    logger.warn("this node leads on in a higher epoch", { epoch: term.epoch });
    // Read-only for another reason: the first write begins it.
    if (!role.readOnly.on) this.begin(engine.submit(beginRun));
    return term;
  }

  /** Gives up what followers hold more: durable when it resolves. */
  async acceptLoss(): Promise<Term> {
    const { role, kept, behind, storage, engine, logger, authority, sync } = this.#parts;
    this.#mustBeCertain();
    const kind = role.kind === "leader" ? "leader" : "none";
    const next = (): Epoch =>
      epochOf(epochAfter(kept, storage.log.last.epoch, role.leadership?.epoch ?? epochOf(0)));
    const claim = { node: this.#peers.contact(), above: epochOf(next() - 1), syncRequired: sync.required };
    const given = await authority.take(claim);
    this.#mustBeCertain();
    const term = this.#drawn(given ?? next());
    const causes = [...role.readOnlyCauses];
    // Until the run has begun nothing is accepted yet: after a crash here it has to be asked for again.
    kept.save({ causes: new Set([...causes, "follower_ahead"]), epoch: term.epoch });
    await behind.giveUp(async () => {
      for (const cause of causes) role.setReadOnly(cause, false);
      role.lead(kind, term);
      this.#events.onLead(term);
      logger.warn("what followers hold more is given up: a new epoch begins", { epoch: term.epoch });
      try {
        await engine.submit(beginRun);
      } catch (error) {
        if (storage.log.last.run !== term.run) {
          for (const cause of causes) role.setReadOnly(cause, true);
        }
        throw error;
      } finally {
        kept.save();
      }
    });
    return term;
  }

  /** Throws `conflict` when another node may have to do with it whether this one leads. */
  #mustBeCertain(): void {
    const { leadership, readOnlyCauses } = this.#parts.role;
    const open = whoLeads.find((cause) => readOnlyCauses.has(cause));
    if (leadership !== null && open === undefined) return;
    throw new DfdbError("conflict", `It is not certain that this node leads (${open ?? "it follows"})`);
  }

  /** An entry that is here counts, though the right to write was lost meanwhile: whoever took it finds that out. */
  async #beginRun({ run }: Term): Promise<void> {
    const { engine, storage } = this.#parts;
    try {
      await engine.submit(beginRun);
    } catch (error) {
      if (storage.log.last.run !== run) throw error;
    }
  }

  /** Writes the term entry of a leadership that may write now, when nobody else does. */
  finish(): void {
    this.begin(this.#parts.engine.submit(beginRun));
  }

  /** A term entry that could not be written comes with the first write. */
  begin(writing: Promise<unknown>): void {
    writing.catch((error: unknown) =>
      this.#parts.logger.warn("the epoch begins with the first write", { error: messageOf(error) })
    );
  }

  async #newTerm(from: Promoting["from"]): Promise<Term> {
    const { authority, kept, storage, sync } = this.#parts;
    const next = (): Epoch => epochOf(epochAfter(kept, storage.log.last.epoch));
    const claim = { node: this.#peers.contact(), above: epochOf(next() - 1), syncRequired: sync.required };
    const given = await authority.take(from === undefined ? claim : { ...claim, from });
    // Of a higher one it may have heard meanwhile.
    return this.#drawn(given ?? next());
  }

  #drawn(epoch: Epoch): Term {
    return { epoch, run: runIdOf(hex(this.#parts.runtime.random.bytes(16))) };
  }

  #bound(): { readonly port: number } {
    if (this.#stand.server !== null) return this.#stand.server;
    throw new DfdbError("conflict", "This node does not listen any more");
  }

  /**
   * As if nothing had been: nobody was told of the term yet. Throws `outcome_unknown` where the disk goes on saying that this node leads: it will
   * at its next start, and whoever gave it the role must not take that back. It follows nobody then, since a hello would say that it does not lead.
   */
  async #unpromote(
    at: LeaderAt | null,
    heldBack: boolean,
    causes: readonly ReadOnlyCause[],
  ): Promise<void> {
    const { role, authority } = this.#parts;
    const led = role.leadership !== null;
    if (led) {
      role.follow();
      this.#events.onFollow();
    }
    for (const cause of causes) role.setReadOnly(cause, true);
    const kept = !led || this.#keep({ role: "follower", leadPort: null, term: null });
    if (!kept) await this.#stand.unfollow();
    await this.#stand.unlisten();
    await authority.release();
    if (!kept) {
      throw new DfdbError(
        "outcome_unknown",
        "This node could not keep that it does not lead: it may at its next start",
      );
    }
    if (heldBack && this.#stand.following !== null) this.#stand.following.holdAfter(null);
    else if (at !== null) this.#stand.follow(at);
  }

  /** `address`, else a known node's, else the configured one; null: nobody is known. */
  whereToFollow(address: string | null): LeaderAt | null {
    const { settings, known } = this.#parts, { leaderHost, leaderPort } = settings;
    const addresses = [address, ...known.addresses()].map((text) =>
      text === null ? null : parseWireAddress(text)
    );
    const found = addresses.find((each) => each !== null && each.hostname !== "") ?? null;
    if (found !== null) return found;
    return leaderHost === null || leaderPort === null ? null : { hostname: leaderHost, port: leaderPort };
  }

  /** False: the old state is on the disk, with which a restarted node asks before it writes. */
  #keep(state: Parameters<ReplicationParts["kept"]["save"]>[0]): boolean {
    try {
      this.#parts.kept.save(state);
      return true;
    } catch (error) {
      this.#parts.logger.error("the role could not be kept", { error: messageOf(error) });
      return false;
    }
  }
}

const none: ReadonlySet<ReadOnlyCause> = new Set();

/** What another node may have to do with. */
const whoLeads: readonly ReadOnlyCause[] = ["unconfirmed", "fenced", "in_doubt", "handover", "no_lease"];
