/**
 * The leader's side of a handover. Until *commit* was sent any failure lets this node write again; from then on only what proves
 * that the target did not take over, or an operator's word.
 */
import { assert } from "../base/assert.ts";
import type { ErrorCode } from "../base/errors.ts";
import { DfdbError, isErrorCode } from "../base/errors.ts";
import type { Epoch, MonotonicMs, NodeId, Seq } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Machine } from "../base/machine.ts";
import type { Position, TermRecord } from "../storage/log.ts";
import type { KnownNode, Prepared } from "../wire/message.ts";
import type { Claim } from "./claim.ts";
import type { HandoverEffect, HandoverInput, HandoverProgress, HandoverStep } from "./handover_events.ts";
import { askAgainMs } from "./questions.ts";

export interface Handover extends Machine<HandoverInput, HandoverEffect> {
  /** Null when there is none. */
  readonly progress: HandoverProgress | null;
  /** After *commit*: claims of other leaders are for this machine to judge. */
  readonly inDoubt: boolean;
}

export interface HandoverOptions {
  readonly nodeId: NodeId;
  /** Under which this node leads. */
  readonly epoch: () => Epoch;
  /** In which somebody outside lets this node, and nobody else, lead now. Default: nobody says so. */
  readonly given?: () => Epoch | null;
}

export function handover(options: HandoverOptions): Handover {
  return new Giving(options);
}

/** One handover. */
interface Current {
  readonly id: string;
  target: KnownNode;
  step: HandoverStep;
  position: Position | null;
  targetSeq: Seq | null;
  readonly since: MonotonicMs;
  /** When whoever called gets an answer. */
  readonly until: number;
  /** When a commit without an answer is in doubt. */
  doubtAt: number;
  /** Nobody waits for an answer any more. */
  answered: boolean;
}

class Giving implements Handover {
  readonly #nodeId: NodeId;
  readonly #epoch: () => Epoch;
  readonly #given: () => Epoch | null;
  #current: Current | null = null;
  /** Those of ended handovers answer first. */
  #drains = 0;
  /** The handover that an open question is about. */
  #asking: string | null = null;
  #askAt = 0;
  /** Since when the target answers nothing while this node has its place; null: it does, or nobody gives places. */
  #silentSince: MonotonicMs | null = null;
  #effects: HandoverEffect[] = [];

  constructor({ nodeId, epoch, given = () => null }: HandoverOptions) {
    this.#nodeId = nodeId;
    this.#epoch = epoch;
    this.#given = given;
  }

  get progress(): HandoverProgress | null {
    if (this.#current === null) return null;
    const { id, step, target, position, targetSeq, since } = this.#current;
    return { id, step, target, finalSeq: position?.seq ?? null, targetSeq, since };
  }

  get inDoubt(): boolean {
    const step = this.#current?.step;
    return step === "committing" || step === "in_doubt";
  }

  get deadline(): MonotonicMs | null {
    const current = this.#current;
    if (current === null) return null;
    const times = [current.answered ? Infinity : current.until];
    if (current.step === "committing") times.push(current.doubtAt);
    if (current.step === "in_doubt" && this.#asking === null) times.push(this.#askAt);
    const next = Math.min(...times);
    return next === Infinity ? null : monotonicMsOf(next);
  }

  step(input: HandoverInput, now: MonotonicMs): readonly HandoverEffect[] {
    this.#effects = [];
    this.#take(input, now);
    if (this.#current !== null) this.#look(this.#current, now);
    return this.#effects;
  }

  #take(input: HandoverInput, now: MonotonicMs): void {
    if (input.type === "start") return this.#start(input, now);
    if (input.type === "resumed") return this.#resumed(input, now);
    const current = this.#current, drained = this.#drained(input), asked = this.#askedOf(input);
    if (current === null) return;
    switch (input.type) {
      case "quiet":
        if (drained && current.step === "draining") {
          this.#caughtUp({ ...current, position: input.position, step: "catching_up" });
        }
        return;
      case "quietFailed":
        if (drained && current.step === "draining") this.#giveUp(current, input.error);
        return;
      case "holds":
        return this.#caughtUp({ ...current, targetSeq: input.seq });
      case "received":
        return this.#received(current, input.message, now);
      case "asked":
        if (asked === current.id) this.#asked(current, input, now);
        return;
      case "met":
        return this.#met(current, input.claim, now);
      default:
        return this.#event(current, input, now);
    }
  }

  #event(current: Current, input: HandoverInput, now: MonotonicMs): void {
    const doubt = this.inDoubt;
    switch (input.type) {
      case "left": {
        if (doubt) return this.#doubt(current, now);
        const gone = failure("unreachable", "The connection to the target ended before it took over");
        return this.#giveUp(current, input.error ?? gone, false);
      }
      case "returned": {
        const back = failure("unreachable", "The target came back as a follower; it did not take over");
        return this.#giveUp(current, back, false);
      }
      case "cancel":
        if (!doubt) this.#giveUp(current, failure("conflict", "The handover was cancelled"));
        return;
      case "forced":
        return this.#giveUp(
          current,
          doubt
            ? failure(
              "outcome_unknown",
              "An operator ended the handover: this node leads on under a higher epoch",
            )
            : failure("conflict", "The handover was cancelled"),
        );
      case "stop":
        if (!doubt) return this.#giveUp(current, failure("closing", "This node is stopping"));
        this.#fail(
          current,
          failure(
            "outcome_unknown",
            "This node is stopping, and it is not known whether the target took over",
          ),
        );
        this.#current = null;
    }
  }

  #start({ id, target, timeoutMs }: Extract<HandoverInput, { type: "start" }>, now: MonotonicMs): void {
    assert(this.#current === null, "one handover at a time");
    this.#current = {
      id,
      target,
      step: "draining",
      position: null,
      targetSeq: null,
      since: now,
      until: now + timeoutMs,
      doubtAt: Infinity,
      answered: false,
    };
    this.#silentSince = null;
    this.#drains++;
    this.#effects.push({ type: "close" }, { type: "drain" });
  }

  #resumed({ id, target }: Extract<HandoverInput, { type: "resumed" }>, now: MonotonicMs): void {
    assert(this.#current === null, "one handover at a time");
    const nothing = { position: null, targetSeq: null, until: Infinity, doubtAt: now, answered: true };
    this.#current = { id, target, step: "in_doubt", since: now, ...nothing };
    this.#silentSince = null;
    this.#askAt = now;
  }

  /** True for the answer to the newest `drain`. */
  #drained(input: HandoverInput): boolean {
    if (input.type !== "quiet" && input.type !== "quietFailed") return false;
    this.#drains--;
    return this.#drains === 0;
  }

  /** The handover that this answer is about. */
  #askedOf(input: HandoverInput): string | null {
    if (input.type !== "asked") return null;
    const id = this.#asking;
    this.#asking = null;
    return id;
  }

  #caughtUp(current: Current): void {
    this.#current = current;
    const { id, step, position, targetSeq } = current;
    if (step !== "catching_up" || position === null || (targetSeq ?? -1) < position.seq) return;
    current.step = "preparing";
    this.#effects.push({ type: "send", message: { type: "prepare", id, position } });
  }

  #received(
    current: Current,
    message: Extract<HandoverInput, { type: "received" }>["message"],
    now: MonotonicMs,
  ): void {
    if (message.id !== current.id) return;
    switch (message.type) {
      case "prepared":
        if (current.step === "preparing") this.#commit(current, message, now);
        return;
      case "promoted":
        if (this.inDoubt) this.#over(current, current.target, message.term, now);
        return;
      case "declined": {
        const code: ErrorCode = isErrorCode(message.code) ? message.code : "conflict";
        return this.#giveUp(current, failure(code, message.message), false);
      }
    }
  }

  #commit(current: Current, { wireAddress }: Prepared, now: MonotonicMs): void {
    const { id } = current,
      target = { ...current.target, wireAddress: wireAddress ?? current.target.wireAddress };
    Object.assign(current, { target, step: "committing", doubtAt: now + limits.claimAskMs });
    this.#effects.push({ type: "store", id, target }, { type: "send", message: { type: "commit", id } });
  }

  #asked(
    current: Current,
    { claim, outcome }: Extract<HandoverInput, { type: "asked" }>,
    now: MonotonicMs,
  ): void {
    if (claim === null) return this.#unanswered(current, now);
    this.#silentSince = null;
    this.#met(current, claim, now);
    if (this.#current !== current || claim.peer.nodeId !== current.target.nodeId) return;
    const { newest, leader, leads } = claim;
    // Whatever this node's own epoch has become meanwhile.
    if (outcome === "promoted" && leads !== null) return this.#over(current, claim.peer, leads, now);
    if (newest !== null && (outcome === "promoted" || newest.epoch > this.#epoch())) {
      // It took over and has given the role away since, or lost it. Without a leader that it names this stays in doubt.
      if (leader !== null && leader.nodeId !== this.#nodeId) this.#over(current, leader, newest, now);
      return;
    }
    if (outcome === "not_promoted") {
      this.#giveUp(current, failure("unreachable", "The target answered that it did not take over"));
    }
  }

  /**
   * Somebody outside decides who leads: this node takes its place anew, and if the target was given it or is about to be, one of the two is
   * refused. No question is left for the target, which may be gone for good.
   */
  #unanswered(current: Current, now: MonotonicMs): void {
    if (this.#given() === null) return void (this.#silentSince = null);
    this.#silentSince ??= now;
    if (now - this.#silentSince < limits.doubtSilentMs) return;
    this.#giveUp(
      current,
      failure("unreachable", "The target does not answer; this node takes its place anew"),
    );
  }

  #met(current: Current, { peer, leads, newest }: Claim, now: MonotonicMs): void {
    if (leads === null) {
      if (!this.inDoubt || newest === null || peer.nodeId !== current.target.nodeId) return;
      // It took over, and this node has been given the place since: nobody else has it.
      const took = newest.epoch > this.#epoch(), lost = (this.#given() ?? 0) > newest.epoch;
      if (took && lost) {
        this.#giveUp(current, failure("unreachable", "The target took over, and has lost its place since"));
      }
      return;
    }
    if (leads.epoch <= this.#epoch()) return;
    if (this.inDoubt) return this.#over(current, peer, leads, now);
    this.#giveUp(current, failure("stale_epoch", `Another node leads under epoch ${leads.epoch}`));
  }

  /** Somebody else leads. */
  #over(current: Current, leader: KnownNode, term: TermRecord, now: MonotonicMs): void {
    const { position, since, target: { nodeId } } = current;
    this.#effects.push({ type: "follow", target: leader, term }, { type: "clear" });
    if (leader.nodeId !== nodeId || position === null) {
      this.#fail(
        current,
        failure("stale_epoch", `Another node than the target leads under epoch ${term.epoch}`),
      );
    } else if (!current.answered) {
      this.#effects.push({ type: "done", finalSeq: position.seq, epoch: term.epoch, pausedMs: now - since });
    }
    this.#current = null;
  }

  /** This node leads on. `tell`: the target is there and does not know it yet. */
  #giveUp(current: Current, error: DfdbError, tell = true): void {
    if (this.inDoubt) this.#effects.push({ type: "clear" });
    else if (current.step === "preparing" && tell) {
      this.#effects.push({
        type: "send",
        message: { type: "abort", id: current.id, message: error.message },
      });
    }
    this.#effects.push({ type: "open" });
    this.#fail(current, error);
    this.#current = null;
  }

  #fail(current: Current, error: DfdbError): void {
    if (!current.answered) this.#effects.push({ type: "fail", error });
    current.answered = true;
  }

  #doubt(current: Current, now: MonotonicMs): void {
    if (current.step === "in_doubt") return;
    current.step = "in_doubt";
    this.#askAt = now;
  }

  /** What is due by the time. */
  #look(current: Current, now: MonotonicMs): void {
    if (current.step === "committing" && now >= Math.min(current.doubtAt, current.until)) {
      this.#doubt(current, now);
    }
    if (!current.answered && now >= current.until) {
      const error = late(current);
      if (!this.inDoubt) return this.#giveUp(current, error);
      this.#fail(current, error);
    }
    if (current.step !== "in_doubt" || this.#asking !== null || now < this.#askAt) return;
    this.#asking = current.id;
    this.#askAt = now + askAgainMs;
    this.#effects.push({ type: "ask", target: current.target, id: current.id });
  }
}

/** What is told when the time is over. */
function late({ step, position, targetSeq }: Current): DfdbError {
  switch (step) {
    case "draining":
      return failure("timeout", "A write in progress did not end in time");
    case "catching_up": {
      const sentence = `The target holds entries up to ${targetSeq ?? 0} of ${
        position?.seq ?? 0
      }, and the time is over`;
      return failure("not_caught_up", sentence);
    }
    case "preparing":
      return failure("timeout", "The target did not get ready in time");
    case "committing":
    case "in_doubt":
      return failure(
        "outcome_unknown",
        "The target was told to lead and has not answered. This node takes no writes until it knows what became of it, " +
          "or until an operator forces it (POST /replication/read-write with force)",
      );
  }
}

function failure(code: ErrorCode, sentence: string): DfdbError {
  return new DfdbError(code, sentence);
}
