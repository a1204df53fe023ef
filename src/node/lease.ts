/** What an outside authority gives and takes: a leader that starts gets its place, or finds whom to follow; one that lost it stops. */
import { DfdbError } from "../base/errors.ts";
import { epochOf } from "../base/ids.ts";
import type { Holder } from "../cluster/authority.ts";
import type { Timer } from "../runtime/runtime.ts";
import type { RoleOrigin } from "../storage/storage.ts";
import { epochAfter } from "./kept_state.ts";
import type { Peers } from "./peers.ts";
import type { ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";
import type { Transitions } from "./transitions.ts";

const retryMs = 1_000;

/** So often in a row the place is found free before it is taken beside a leader that is there: that one may be about to take it. More after each attempt that failed. */
const looksMin = 3, looksMax = 60;

/** How a node became a follower that nobody told to follow: it lost its place, or its promotion failed. */
const byItself: ReadonlySet<RoleOrigin> = new Set<RoleOrigin>(["fenced", "failover", "promoted"]);

export interface LeaseOptions {
  readonly parts: ReplicationParts;
  readonly stand: Stand;
  readonly peers: Peers;
  readonly transitions: Transitions;
  readonly change: (run: () => Promise<void>) => void;
  readonly leadPort: () => number;
}

export class Lease {
  readonly #options: LeaseOptions;
  readonly #unsubscribe: () => void;
  #timer: Timer | null = null;
  #stopped = false;
  /** The same reason again is not news. */
  #told = "";
  /** How often in a row the place was found free, and how often it has to be. */
  #looks = 0;
  #patience = looksMin;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#unsubscribe = options.parts.authority.onLost((error) => this.#lost(error));
  }

  /** This node leads, and has to ask for the right to write. */
  begin(): void {
    const { parts: { authority, role }, change } = this.#options;
    if (authority.kind === "silence") return;
    role.setReadOnly("no_lease", true);
    change(() => this.#take());
  }

  /**
   * This node follows. If it led last by all that it has, it may be that nobody else can lead. Where it lost its place by itself it tries to
   * get that back; where it was told to follow, only beside a leader that is there and has no place.
   */
  resume(): void {
    const { authority, kept } = this.#options.parts;
    if (authority.kind === "silence" || !this.#ledLast) return;
    const itself = byItself.has(kept.state?.origin ?? "settings");
    this.#looks = 0;
    this.#patience = looksMin;
    this.#again(() => this.#regain(itself));
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#unsubscribe();
  }

  async #take(): Promise<void> {
    const { parts, peers, transitions } = this.#options;
    const { authority, kept, storage, sync, role, logger } = parts;
    if (this.#stopped || role.leadership === null) return;
    const above = epochOf(epochAfter(kept, storage.log.last.epoch, role.leadership.epoch) - 1);
    try {
      const given = await authority.take({ node: peers.contact(), above, syncRequired: sync.required });
      transitions.raise(above, ["no_lease", "fenced", "unconfirmed"], given ?? undefined);
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      const holder = await this.#otherHolder();
      if (holder != null && (holder.epoch > role.leadership.epoch || await this.#isThere(holder))) {
        logger.warn("another node leads", { leader: holder.node.nodeName, epoch: holder.epoch });
        await transitions.stepDown({ leader: holder.node, term: null, origin: "fenced" });
        // It may be gone, and have the lease until its time is over.
        return this.#again(() => this.#regain(true));
      }
      if (error.message !== this.#told) {
        logger.warn("this node may not lead yet", { reason: error.message });
      }
      this.#told = error.message;
      this.#again(() => this.#take());
    }
  }

  #lost(error: DfdbError): void {
    const { parts: { role, logger }, transitions, change } = this.#options;
    if (role.leadership === null) return;
    role.setReadOnly("no_lease", true);
    logger.error("the right to lead is lost", { reason: error.message });
    change(async () => {
      await transitions.stepDown({ leader: null, term: null, origin: "fenced" });
      this.#again(() => this.#regain(true));
    });
  }

  /** Who has this node's place is followed; while nobody has it, this node tries to get it back. */
  async #regain(itself: boolean): Promise<void> {
    const { parts: { role, behind, logger }, transitions, leadPort } = this.#options;
    if (this.#stopped || role.leadership !== null) return;
    const streams = this.#streams;
    if (streams && !this.#ledLast) return;
    const beside = streams || !itself;
    if (beside && !this.#leaderWaits) {
      this.#looks = 0;
      return this.#again(() => this.#regain(itself));
    }
    const holder = await this.#holder(), others = holder != null && !this.#isOwn(holder);
    // What an earlier run of this node took keeps the leader from it until its time is over.
    const free = beside ? holder === null : holder !== undefined && !others;
    this.#looks = free ? this.#looks + 1 : 0;
    try {
      if (others) await transitions.stepDown({ leader: holder.node, term: null, origin: "fenced" });
      // Older than what it once had, it leads by an operator's word only.
      else if (free && !behind.suspicious && (!beside || this.#looks >= this.#patience)) {
        if (beside) {
          logger.warn("nobody has the lease, nor the leader of this node: it tries to lead again");
          this.#patience = Math.min(2 * this.#patience, looksMax);
        }
        this.#looks = 0;
        await transitions.promote({ origin: "failover", listen: { port: leadPort() } });
        return;
      }
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
    }
    this.#again(() => this.#regain(itself));
  }

  /** By all that it has. */
  get #ledLast(): boolean {
    const { storage, nodeStore } = this.#options.parts;
    return storage.log.terms.at(-1)?.nodeId === nodeStore.nodeId;
  }

  get #streams(): boolean {
    const state = this.#options.stand.following?.status().state;
    return state === "streaming" || state === "catching_up";
  }

  /** The leader of this node is there and takes no writes, and nobody told this node to take none. It may have no place, and get none. */
  get #leaderWaits(): boolean {
    const { parts: { role }, stand } = this.#options, status = stand.following?.status();
    if (status === undefined || role.readOnlyCauses.has("operator")) return false;
    if (this.#streams) return status.leaderReadOnly === true;
    // It lacks what is here: this node led after all that it knows.
    return status.state === "refused" && status.lastError?.code === "stale_epoch";
  }

  /** It answers that it leads, or would if it knew what became of a handover. One that is gone has the lease until its time is over. */
  async #isThere({ node, epoch }: Holder): Promise<boolean> {
    const answer = await this.#options.peers.ask(node).catch(() => null);
    return answer !== null && (answer.leads?.epoch === epoch || answer.state.role === "leader");
  }

  /** Null: nobody else has it; undefined: nobody knows. */
  async #otherHolder(): Promise<Holder | null | undefined> {
    const holder = await this.#holder();
    return holder != null && this.#isOwn(holder) ? null : holder;
  }

  /** Undefined: nobody knows. */
  #holder(): Promise<Holder | null | undefined> {
    return this.#options.parts.authority.holder().catch(() => undefined);
  }

  #isOwn({ node }: Holder): boolean {
    return node.nodeId === this.#options.parts.nodeStore.nodeId;
  }

  #again(run: () => Promise<void>): void {
    const { parts: { runtime: { clock } }, change } = this.#options;
    this.#timer?.cancel();
    if (!this.#stopped) this.#timer = clock.timer(retryMs, () => change(run));
  }
}
