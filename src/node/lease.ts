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
   * This node follows. If it led last by all that it has, and lost its place before it was started again, it may be that nobody else can lead:
   * it goes on trying to get the place back.
   */
  resume(): void {
    const { authority, kept, storage, nodeStore } = this.#options.parts;
    const { origin } = kept.state ?? { origin: "settings" };
    const ledLast = storage.log.terms.at(-1)?.nodeId === nodeStore.nodeId && byItself.has(origin);
    if (authority.kind !== "silence" && ledLast) this.#again(() => this.#regain());
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
      if (holder != null && (holder.epoch > role.leadership.epoch || await this.#leads(holder))) {
        logger.warn("another node leads", { leader: holder.node.nodeName, epoch: holder.epoch });
        await transitions.stepDown({ leader: holder.node, term: null, origin: "fenced" });
        // It may be gone, and have the lease until its time is over.
        return this.#again(() => this.#regain());
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
      this.#again(() => this.#regain());
    });
  }

  /** Who has this node's place is followed; while nobody has it, this node tries to get it back. */
  async #regain(): Promise<void> {
    const { parts: { role, behind }, stand, transitions, leadPort } = this.#options;
    if (this.#stopped || role.leadership !== null) return;
    const state = stand.following?.status().state;
    if (state === "streaming" || state === "catching_up") return;
    const holder = await this.#otherHolder();
    try {
      if (holder != null) await transitions.stepDown({ leader: holder.node, term: null, origin: "fenced" });
      // Older than what it once had, it leads by an operator's word only.
      else if (holder === null && !behind.suspicious) {
        await transitions.promote({ origin: "failover", listen: { port: leadPort() } });
        return;
      }
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
    }
    this.#again(() => this.#regain());
  }

  /** It says so itself. One that is gone has the lease until its time is over. */
  async #leads({ node, epoch }: Holder): Promise<boolean> {
    const answer = await this.#options.peers.ask(node).catch(() => null);
    return answer?.leads?.epoch === epoch;
  }

  /** Null: nobody else has it; undefined: nobody knows. */
  async #otherHolder(): Promise<Holder | null | undefined> {
    const { authority, nodeStore } = this.#options.parts;
    const holder = await authority.holder().catch(() => undefined);
    return holder?.node.nodeId === nodeStore.nodeId ? null : holder;
  }

  #again(run: () => Promise<void>): void {
    const { parts: { runtime: { clock } }, change } = this.#options;
    this.#timer?.cancel();
    if (!this.#stopped) this.#timer = clock.timer(retryMs, () => change(run));
  }
}
