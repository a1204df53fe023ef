/** The leader's side of a handover, carried out: one at a time. */
import { hex } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { Epoch, NodeId } from "../base/ids.ts";
import { epochOf } from "../base/ids.ts";
import type { Claim } from "../cluster/claim.ts";
import type { Handover } from "../cluster/handover.ts";
import { handover } from "../cluster/handover.ts";
import type { HandoverEffect, HandoverInput, HandoverProgress } from "../cluster/handover_events.ts";
import { Driver } from "../base/driver.ts";
import type { PeerClaim } from "../replication/types.ts";
import type { TermRecord } from "../storage/log.ts";
import type { Abort, Commit, Declined, KnownNode, Prepare, Prepared, Promoted } from "../wire/message.ts";
import { knownNodesMax } from "../wire/message.ts";
import type { Peers } from "./peers.ts";
import type { ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";

export interface Given {
  readonly finalSeq: number;
  readonly epoch: Epoch;
  readonly newLeader: KnownNode;
  readonly pausedMs: number;
}

export interface GivingOptions {
  readonly parts: ReplicationParts;
  readonly stand: Stand;
  readonly peers: Peers;
  /** Resolves when everything that was queued is answered. */
  readonly drained: () => Promise<void>;
  /** The target does not lead, as is known now: this node may, if nobody else says otherwise. */
  readonly takenBack: () => void;
  /** Another node leads: to be followed. */
  readonly stepDown: (leader: KnownNode, term: TermRecord) => void;
}

interface Waiting {
  readonly target: KnownNode;
  readonly resolve: (given: Given) => void;
  readonly reject: (error: DfdbError) => void;
}

export class Giving {
  readonly #options: GivingOptions;
  readonly #machine: Handover;
  readonly #driver: Driver<HandoverInput, HandoverEffect>;
  #waiting: Waiting | null = null;
  /** Why the doubt could not be made durable. */
  #unkept: DfdbError | null = null;
  /** Another node is to be followed; that ends the doubt, durably, and nothing before it does. */
  #yields = false;
  /** Acknowledgements of the target are told to the machine. */
  #unsubscribe = (): void => {};

  constructor(options: GivingOptions) {
    const { parts: { nodeStore, runtime } } = options;
    this.#options = options;
    this.#machine = handover({
      nodeId: nodeStore.nodeId,
      epoch: () => this.#epoch,
      given: () => this.#given,
    });
    this.#driver = new Driver(this.#machine, runtime.clock, (effect) => this.#perform(effect));
  }

  get progress(): HandoverProgress | null {
    return this.#machine.progress;
  }

  get inDoubt(): boolean {
    return this.#machine.inDoubt;
  }

  /** Rejects with why it did not come about; `outcome_unknown`: it may have. */
  start(target: KnownNode, timeoutMs: number, id?: string): Promise<Given> {
    const { parts: { runtime }, stand } = this.#options;
    if (this.#machine.progress !== null) {
      return Promise.reject(new DfdbError("conflict", "Another handover is under way"));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Given>();
    this.#waiting = { target, resolve, reject };
    this.#unsubscribe = stand.server?.onAcknowledged(() => this.#acknowledged()) ?? (() => {});
    this.#driver.feed({ type: "start", id: id ?? hex(runtime.random.bytes(16)), target, timeoutMs });
    this.#acknowledged();
    return promise;
  }

  /** After a restart: the commit was sent, and nothing is known since. */
  resume(id: string, target: KnownNode): void {
    this.#driver.feed({ type: "resumed", id, target });
  }

  received(nodeId: NodeId, message: Prepared | Promoted | Declined): void {
    if (this.#machine.progress?.target.nodeId === nodeId) this.#driver.feed({ type: "received", message });
  }

  left(nodeId: NodeId): void {
    if (this.#machine.progress?.target.nodeId === nodeId) this.#driver.feed({ type: "left" });
  }

  /** `asFollower`: the peer says hello to follow this node. What it answers to a question says nothing of what it is about to do. */
  met(claim: PeerClaim, asFollower: boolean): void {
    const { progress } = this.#machine, own = this.#epoch;
    if (progress === null) return;
    this.#driver.feed({ type: "met", claim });
    const plain = asFollower && claim.leads === null && (claim.newest?.epoch ?? 0) <= own;
    if (plain && claim.peer.nodeId === progress.target.nodeId && this.#machine.inDoubt) {
      this.#driver.feed({ type: "returned" });
    }
  }

  /** Rejects with `conflict` when there is nothing to cancel any more. */
  cancel(): void {
    if (this.#machine.progress === null) throw new DfdbError("conflict", "No handover is under way");
    if (this.#machine.inDoubt) {
      throw new DfdbError("conflict", "The target was told to lead; that cannot be taken back");
    }
    this.#driver.feed({ type: "cancel" });
  }

  /** An operator knows that the target does not lead; a higher epoch has begun here. */
  forced(): void {
    this.#driver.feed({ type: "forced" });
  }

  stop(): void {
    this.#driver.feed({ type: "stop" });
  }

  /** Under which this node has written: nobody knows of an epoch without an entry, and the target may begin the same one. */
  get #epoch(): Epoch {
    const { role: { leadership }, storage: { log: { last } } } = this.#options.parts;
    return leadership === null ? epochOf(0) : leadership.run === last.run ? leadership.epoch : last.epoch;
  }

  /** `silence` gives no epochs. */
  get #given(): Epoch | null {
    const { role: { leadership }, authority } = this.#options.parts;
    return leadership === null || authority.kind === "silence" || authority.check() !== null
      ? null
      : leadership.epoch;
  }

  #acknowledged(): void {
    const target = this.#machine.progress?.target.nodeId;
    const held = this.#options.stand.server?.durable().find(({ nodeId }) => nodeId === target);
    if (held !== undefined) this.#driver.feed({ type: "holds", seq: held.seq });
  }

  #perform(effect: HandoverEffect): void {
    const { parts: { role, kept, logger } } = this.#options;
    switch (effect.type) {
      case "close":
        return role.setReadOnly("handover", true);
      case "open":
        return role.setReadOnly("handover", false);
      case "drain":
        return void this.#drain();
      case "send":
        return this.#send(effect.message);
      case "store":
        return this.#store(effect.id, effect.target);
      case "clear":
        if (this.#yields) return void (this.#yields = false);
        this.#options.takenBack();
        role.setReadOnly("in_doubt", false);
        return this.#keep(() => kept.save({ handover: null }));
      case "ask":
        return void this.#ask(effect.target, effect.id);
      case "follow":
        this.#yields = true;
        return this.#options.stepDown(effect.target, effect.term);
      case "done":
        logger.info("the role was handed over", {
          to: this.#waiting?.target.nodeName ?? "",
          epoch: effect.epoch,
        });
        return this.#answer(({ target, resolve }) => resolve({ ...effect, newLeader: target }));
      case "fail":
        logger.warn("the handover failed", { code: effect.error.code, reason: effect.error.message });
        return this.#answer(({ reject }) => reject(effect.error));
    }
  }

  #send(message: Prepare | Commit | Abort): void {
    const target = this.#machine.progress?.target ?? this.#waiting?.target,
      { id } = message,
      error = this.#unkept;
    if (message.type === "commit" && error !== null) {
      // It was never sent, so it is certain that the target does not take over.
      this.#unkept = null;
      const declined = { type: "declined", id, code: error.code, message: error.message } as const;
      return this.#driver.feed({ type: "received", message: declined });
    }
    const told = target !== undefined && message.type === "prepare"
      ? { ...message, ...this.#candidates(target.nodeId), ...this.#place() }
      : message;
    const sent = target !== undefined && this.#options.stand.server?.send(target.nodeId, told) === true;
    if (!sent) this.#driver.feed({ type: "left" });
  }

  /** Who may take over from this node, and may do so when the target leads: it did not hear of it. Elsewhere an authority sees to that. */
  #candidates(target: NodeId): Pick<Prepare, "candidates"> {
    const { known, authority } = this.#options.parts;
    const others = known.candidates().filter(({ nodeId }) => nodeId !== target);
    if (authority.kind !== "silence" || others.length === 0) return {};
    const candidates = others.slice(0, knownNodesMax).map((
      { nodeId, nodeName, httpUrl, wireAddress, silenceMs },
    ) => ({ nodeId, nodeName, httpUrl, wireAddress, silenceMs }));
    return { candidates };
  }

  /** The epoch of what the target takes: its log says another one where nothing was written in this leadership. */
  #place(): Pick<Prepare, "epoch"> {
    const epoch = this.#given;
    return epoch === null ? {} : { epoch };
  }

  /** The doubt is durable before the target is told to lead. */
  #store(id: string, target: KnownNode): void {
    const { parts: { role, kept, runtime } } = this.#options;
    role.setReadOnly("in_doubt", true);
    try {
      kept.save({ handover: { id, target } });
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      this.#unkept = error;
    }
    runtime.crashPoint("handover:stored");
  }

  #keep(save: () => void): void {
    try {
      save();
    } catch (error) {
      this.#options.parts.logger.error("the handover's end could not be kept", { error: messageOf(error) });
    }
  }

  async #drain(): Promise<void> {
    const { parts: { storage }, drained } = this.#options;
    try {
      await drained();
      this.#driver.feed({ type: "quiet", position: storage.log.last });
    } catch (error) {
      const failed = error instanceof DfdbError ? error : new DfdbError("internal", messageOf(error));
      this.#driver.feed({ type: "quietFailed", error: failed });
    }
  }

  async #ask(target: KnownNode, id: string): Promise<void> {
    const answer = await this.#options.peers.ask(target, { handover: id }).catch(() => null);
    const outcome = answer?.state.handover?.id === id ? answer.state.handover.outcome : null;
    this.#driver.feed({ type: "asked", claim: answer as Claim | null, outcome });
  }

  #answer(answer: (waiting: Waiting) => void): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#unsubscribe();
    if (waiting !== null) answer(waiting);
  }
}
