/** The target's side of a handover. It leads only when it was told so on the connection on which it was prepared. */
import type { DfdbError } from "../base/errors.ts";
import type { MonotonicMs } from "../base/ids.ts";
import type { Machine } from "../base/machine.ts";
import type { Position, TermRecord } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { HandoverOutcome, TakeoverEffect, TakeoverInput } from "./handover_events.ts";

/**
 * `reaching`: the final position is not here yet. `releasing`: it is off, but the listener is still being bound. `promoting`: nothing but the
 * promotion itself ends it. `promoted`: the id is remembered for whoever asks.
 */
export type TakeoverState =
  | "idle"
  | "reaching"
  | "binding"
  | "prepared"
  | "releasing"
  | "promoting"
  | "promoted";

export interface Takeover extends Machine<TakeoverInput, TakeoverEffect> {
  readonly state: TakeoverState;
  /** Of the handover that `state` is about; null when idle. */
  readonly id: string | null;
}

export interface TakeoverOptions {
  /** This node leads, or finishes a promotion that a crash cut off; where somebody outside gives the place, only with it. */
  readonly mayLead: () => boolean;
  /** Why this node cannot take over now; null: it can. */
  readonly refusal?: () => DfdbError | null;
}

export function takeover(options: TakeoverOptions): Takeover {
  return new Taking(options);
}

class Taking implements Takeover {
  readonly deadline = null;
  state: TakeoverState = "idle";
  id: string | null = null;
  readonly #options: TakeoverOptions;
  #final: Position | null = null;
  /** The last entry here. */
  #held: Position | null = null;
  /** The session on which it was prepared is there. */
  #session = false;
  #effects: TakeoverEffect[] = [];

  constructor(options: TakeoverOptions) {
    this.#options = options;
  }

  step(input: TakeoverInput, _now: MonotonicMs): readonly TakeoverEffect[] {
    this.#effects = [];
    this.#take(input);
    return this.#effects;
  }

  #take(input: TakeoverInput): void {
    switch (input.type) {
      case "tick":
        return;
      case "prepare":
        return this.#prepare(input.id, input.position);
      case "holds":
        this.#held = input.position;
        return this.#reach();
      case "bound":
        return this.#bound(input.wireAddress);
      case "bindFailed":
        if (this.state === "binding") this.#decline(input.error.code, input.error.message);
        return this.#end();
      case "commit":
        return this.#commit(input.id);
      case "abort":
        if (input.id === this.id) this.#release();
        return;
      case "left":
        this.#session = false;
        return this.#release();
      case "asked":
        return this.#asked(input.id);
      case "promoted":
        return this.#promoted(input.term);
      case "promotionFailed":
        // What the disk did not say may be on it: nobody is told that this node does not lead.
        if (this.state !== "promoting" || input.error.code === "outcome_unknown") return;
        this.#decline(input.error.code, input.error.message);
        this.#effects.push({ type: "unbind" });
        return this.#end();
      case "stop":
        if (this.#revocable) this.#decline("going_away", "The target is stopping");
        return this.#release();
    }
  }

  /** It was not told to lead yet. */
  get #revocable(): boolean {
    return this.state === "reaching" || this.state === "binding" || this.state === "prepared";
  }

  #prepare(id: string, position: Position): void {
    if (this.state !== "idle" && this.state !== "promoted") {
      return this.#send(id, "conflict", "The target is in another handover");
    }
    const refusal = this.#options.refusal?.() ?? null;
    if (refusal !== null) return this.#send(id, refusal.code, refusal.message);
    this.id = id;
    this.#final = position;
    this.#session = true;
    this.state = "reaching";
    this.#reach();
  }

  #reach(): void {
    if (this.#final === null || this.#held === null || !this.#revocable) return;
    if (this.#held.seq < this.#final.seq) return;
    if (!samePosition(this.#held, this.#final)) {
      this.#decline(
        "conflict",
        `The last entry of the target is ${this.#held.seq}, and not the one to take over at`,
      );
      return this.#release();
    }
    if (this.state !== "reaching") return;
    this.state = "binding";
    this.#effects.push({ type: "bind" });
  }

  #bound(wireAddress: string | null): void {
    if (this.state === "binding" && this.id !== null) {
      this.state = "prepared";
      this.#effects.push({ type: "send", message: { type: "prepared", id: this.id, wireAddress } });
    } else if (this.state === "releasing") {
      this.#effects.push({ type: "unbind" });
      this.#end();
    }
  }

  #commit(id: string): void {
    if (this.state === "prepared" && id === this.id) {
      this.state = "promoting";
      this.#effects.push({ type: "promote", id });
    } else if (id !== this.id || this.#revocable) {
      this.#send(id, "conflict", "The target is not prepared to take over");
      if (id === this.id) this.#release();
    }
  }

  #promoted(term: TermRecord): void {
    if (this.state !== "promoting" || this.id === null) return;
    this.state = "promoted";
    if (this.#session) this.#effects.push({ type: "send", message: { type: "promoted", id: this.id, term } });
  }

  #asked(id: string): void {
    const outcome = this.#outcome(id);
    // First of all nothing more may come on the old connection: a commit that is on its way must not be found after this answer.
    if (outcome === "not_promoted" && id === this.id) this.#effects.push({ type: "dropSession" });
    this.#effects.push({ type: "answer", id, outcome });
    if (outcome === "not_promoted" && id === this.id) this.#release();
  }

  #outcome(id: string): HandoverOutcome {
    if (id === this.id && this.state === "promoted") return "promoted";
    if (this.state === "promoting") return "unknown";
    if (id === this.id) return "not_promoted";
    return this.#options.mayLead() ? "unknown" : "not_promoted";
  }

  /** It is off. */
  #release(): void {
    if (!this.#revocable) return;
    if (this.state === "binding") {
      this.state = "releasing";
      return;
    }
    if (this.state === "prepared") this.#effects.push({ type: "unbind" });
    this.#end();
  }

  #end(): void {
    this.state = "idle";
    this.id = null;
    this.#final = null;
  }

  #decline(code: string, message: string): void {
    if (this.id !== null && this.#session) this.#send(this.id, code, message);
  }

  #send(id: string, code: string, message: string): void {
    this.#effects.push({
      type: "send",
      message: { type: "declined", id, code, message: message.slice(0, 1_000) },
    });
  }
}
