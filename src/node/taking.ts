/** The target's side of a handover, carried out; and an operator's wish to take the role of a leader that takes no writes. */
import { hex } from "../base/bytes.ts";
import { DfdbError, isErrorCode, messageOf } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import type { HandoverOutcome, TakeoverEffect, TakeoverInput } from "../cluster/handover_events.ts";
import type { Takeover } from "../cluster/takeover.ts";
import { takeover } from "../cluster/takeover.ts";
import { Driver } from "../base/driver.ts";
import type { Term, TermRecord } from "../storage/log.ts";
import type { Abort, Commit, Declined, KnownNode, Prepare } from "../wire/message.ts";
import type { Peers } from "./peers.ts";
import type { ListenFor, ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";

export interface TakingOptions {
  readonly parts: ReplicationParts;
  readonly stand: Stand;
  readonly peers: Peers;
  readonly listen: () => ListenFor;
  /** This node, which listens, leads: in the place of `from`. Rejects when it does not. */
  readonly promote: (from: (KnownNode & { readonly epoch: Epoch }) | null) => Promise<TermRecord>;
}

/** An operator's wish. */
interface Wish {
  readonly id: string;
  readonly port: number | null;
  readonly resolve: (term: Term) => void;
  readonly reject: (error: DfdbError) => void;
}

export class Taking {
  readonly #options: TakingOptions;
  readonly #machine: Takeover;
  readonly #driver: Driver<TakeoverInput, TakeoverEffect>;
  readonly #answers = new Map<string, (outcome: HandoverOutcome) => void>();
  #wish: Wish | null = null;
  /** The leader's, that may take over when this node leads. */
  #candidates: NonNullable<Prepare["candidates"]> = [];
  /** In which the authority lets the leader lead; null: it did not say. */
  #place: Epoch | null = null;

  constructor(options: TakingOptions) {
    const { parts: { role, runtime, authority } } = options;
    this.#options = options;
    // Without an authority's leave it has not taken over, and has to ask for the place like anybody else.
    this.#machine = takeover({ mayLead: () => role.leadership !== null && authority.check() === null });
    this.#driver = new Driver(this.#machine, runtime.clock, (effect) => this.#perform(effect));
  }

  /** From the leader's *prepare* on, until it is off or this node leads. */
  get underway(): boolean {
    const { state } = this.#machine;
    return state !== "idle" && state !== "promoted";
  }

  received(message: Prepare | Commit | Abort | Declined): void {
    const { id } = message;
    switch (message.type) {
      case "prepare":
        if (!this.underway) {
          this.#candidates = message.candidates ?? [];
          this.#place = message.epoch ?? null;
        }
        this.#driver.feed({ type: "prepare", id, position: message.position });
        return this.holds();
      case "commit":
        return this.#driver.feed({ type: "commit", id });
      case "abort":
        this.#driver.feed({ type: "abort", id });
        return this.#over(id, new DfdbError("conflict", message.message));
      case "declined": {
        const code = isErrorCode(message.code) ? message.code : "conflict";
        return this.#over(id, new DfdbError(code, message.message));
      }
    }
  }

  /** The log's end has moved. */
  holds(): void {
    if (!this.underway) return;
    this.#driver.feed({ type: "holds", position: this.#options.parts.storage.log.last });
  }

  /** The connection to the leader has ended. */
  left(): void {
    const promoting = this.#machine.state === "promoting";
    this.#driver.feed({ type: "left" });
    // A new hello would say that this node did not take over.
    if (promoting) void this.#options.stand.unfollow();
    else this.#over(null, new DfdbError("unreachable", "The connection to the leader ended"));
  }

  /** The leader asks on another connection what became of it. */
  asked(id: string): Promise<HandoverOutcome> {
    const { promise, resolve } = Promise.withResolvers<HandoverOutcome>();
    this.#answers.set(id, resolve);
    this.#driver.feed({ type: "asked", id });
    return promise;
  }

  /** Asks the leader, which must take no writes, for its role. Rejects with what it answers; `timeout`. */
  async wish(port: number | null, timeoutMs: number): Promise<Term> {
    const { parts: { runtime }, stand } = this.#options;
    if (this.#wish !== null || this.underway) throw new DfdbError("conflict", "This node is in a handover");
    const id = hex(runtime.random.bytes(16)), { promise, resolve, reject } = Promise.withResolvers<Term>();
    this.#wish = { id, port, resolve, reject };
    const timer = runtime.clock.timer(timeoutMs, () => {
      // What was committed goes on, whoever waits for it.
      if (this.#machine.state === "promoting") return;
      this.#driver.feed({ type: "abort", id });
      this.#over(id, new DfdbError("timeout", `the leader did not hand over within ${timeoutMs} ms`));
    });
    if (stand.following?.send({ type: "takeOver", id }) !== true) {
      this.#over(id, new DfdbError("unreachable", "This node is not connected to its leader"));
    }
    return await promise.finally(() => timer.cancel());
  }

  stop(): void {
    this.#driver.feed({ type: "stop" });
    this.#over(null, new DfdbError("closing", "This node is stopping"));
  }

  #over(id: string | null, error: DfdbError): void {
    const wish = this.#wish;
    if (wish === null || (id !== null && wish.id !== id)) return;
    this.#wish = null;
    wish.reject(error);
  }

  #perform(effect: TakeoverEffect): void {
    const { stand } = this.#options;
    switch (effect.type) {
      case "bind":
        return void this.#bind();
      case "unbind":
        if (stand.standingBy) void stand.unlisten();
        return;
      case "send":
        stand.following?.send(effect.message);
        if (effect.message.type === "declined") {
          const { id, code, message } = effect.message;
          this.#over(id, new DfdbError(isErrorCode(code) ? code : "conflict", message));
        }
        return;
      case "promote":
        return void this.#promote(effect.id);
      case "dropSession":
        return stand.following?.reconnect("the leader asked what became of the handover");
      case "answer":
        this.#answers.get(effect.id)?.(effect.outcome);
        this.#answers.delete(effect.id);
        return;
    }
  }

  async #bind(): Promise<void> {
    const { listen, stand, peers } = this.#options, port = this.#wish?.port ?? null;
    try {
      this.#keepCandidates();
      await stand.listen(port === null ? listen() : { ...listen(), port });
      this.#driver.feed({ type: "bound", wireAddress: peers.identity().wireAddress });
    } catch (error) {
      const failed = error instanceof DfdbError ? error : new DfdbError("internal", messageOf(error));
      this.#driver.feed({ type: "bindFailed", error: failed });
    }
  }

  /** Answers of this node wait for them as those of its leader did, until they come or are forgotten. Throws when that cannot be kept. */
  #keepCandidates(): void {
    const { known, nodeStore } = this.#options.parts;
    for (const { silenceMs, ...node } of this.#candidates) {
      if (node.nodeId === nodeStore.nodeId) continue;
      known.heardOf([node]);
      const error = known.accept(node.nodeId, node.nodeName, silenceMs, true);
      if (error !== null) throw error;
    }
  }

  async #promote(id: string): Promise<void> {
    const { parts: { storage }, stand, promote } = this.#options, leader = stand.welcomed?.leader ?? null;
    const epoch = this.#place ?? storage.log.last.epoch;
    try {
      const term = await promote(leader === null ? null : { ...leader, epoch });
      this.#driver.feed({ type: "promoted", term });
      const wish = this.#wish;
      this.#wish = null;
      if (wish?.id === id) wish.resolve(term);
      await stand.unfollow();
    } catch (error) {
      const failed = error instanceof DfdbError ? error : new DfdbError("internal", messageOf(error));
      this.#driver.feed({ type: "promotionFailed", error: failed });
      this.#over(id, failed);
      if (failed.code === "outcome_unknown") await stand.unfollow();
    }
  }
}
