/** When has a leader been silent for so long that its candidate takes its place? */
import type { MonotonicMs } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import type { Machine, Tick } from "../base/machine.ts";

export type SilenceInput =
  | Tick
  /** Begins with the grace period; the window of silence counts from its end. */
  | { readonly type: "watch"; readonly silenceMs: number; readonly heartbeatMs: number }
  | { readonly type: "unwatch" }
  /** A sign of the leader: for each chunk of bytes, so it costs next to nothing. */
  | { readonly type: "heard" }
  /** What came of the last attempt. Each is answered once, also one that does not matter any more. */
  | { readonly type: "answered"; readonly yes: boolean }
  /** The promotion could not be carried out, the port is taken for example. */
  | { readonly type: "failed" };

export type SilenceEffect =
  /** Wants a connection to the leader; to be answered with `answered`. */
  | { readonly type: "lastAttempt" }
  /** To be answered with `failed`, or with `unwatch` when this node leads. */
  | { readonly type: "promote" };

export type SilenceState = "off" | "grace" | "watching" | "attempting" | "barred" | "promoting";

export interface SilenceWatch extends Machine<SilenceInput, SilenceEffect> {
  readonly state: SilenceState;
  /** Why it is `barred`. */
  readonly reason: string | null;
  /** For how long the leader has been silent while this node listened; null when it is not watched. */
  silentMs(now: MonotonicMs): number | null;
}

export interface SilenceOptions {
  readonly graceMs: number;
  /** Why this node must not take over now; null: it may. */
  readonly facts: () => string | null;
}

export function silenceWatch(options: SilenceOptions): SilenceWatch {
  return new Watch(options);
}

const nothing: readonly SilenceEffect[] = [];

class Watch implements SilenceWatch {
  state: SilenceState = "off";
  reason: string | null = null;
  readonly #options: SilenceOptions;
  #silenceMs = 0;
  #heartbeatMs = 0;
  /** The leader is silent since then, as far as this node listened; in the grace period in the future. */
  #silentFrom = 0;
  #lookAt = 0;
  /** An attempt was not answered yet; when `state` is not `attempting`, one that does not matter any more. */
  #attempt = false;

  constructor(options: SilenceOptions) {
    this.#options = options;
  }

  get deadline(): MonotonicMs | null {
    return this.state === "off" || this.state === "promoting" ? null : monotonicMsOf(this.#lookAt);
  }

  silentMs(now: MonotonicMs): number | null {
    return this.state === "off" ? null : Math.max(0, now - this.#silentFrom);
  }

  step(input: SilenceInput, now: MonotonicMs): readonly SilenceEffect[] {
    switch (input.type) {
      case "heard":
        if (now > this.#silentFrom) this.#silentFrom = now;
        if (this.state === "attempting") this.state = "watching";
        return nothing;
      case "watch":
        this.#silenceMs = input.silenceMs;
        this.#heartbeatMs = input.heartbeatMs;
        this.#silentFrom = now + this.#options.graceMs;
        this.#show("grace");
        this.#lookAgain(now);
        return nothing;
      case "unwatch":
        this.#show("off");
        return nothing;
      case "answered":
        return this.#answered(input.yes, now);
      case "failed":
        if (this.state !== "promoting") return nothing;
        this.#bar("the promotion failed and is tried again", now);
        return nothing;
      case "tick":
        return this.deadline === null || now < this.#lookAt ? nothing : this.#look(now);
    }
  }

  #look(now: MonotonicMs): readonly SilenceEffect[] {
    if (this.#excused(now)) return nothing;
    this.#lookAgain(now);
    const silentMs = now - this.#silentFrom;
    if (silentMs < this.#silenceMs) {
      this.#show(silentMs < 0 ? "grace" : "watching");
      return nothing;
    }
    // An attempt that was given up may still say that it failed: that says nothing of a new one.
    if (this.#attempt) return nothing;
    const reason = this.#options.facts();
    if (reason !== null) {
      this.#bar(reason, now);
      return nothing;
    }
    this.#show("attempting");
    this.#attempt = true;
    return [{ type: "lastAttempt" }];
  }

  #answered(yes: boolean, now: MonotonicMs): readonly SilenceEffect[] {
    this.#attempt = false;
    if (yes && now > this.#silentFrom) this.#silentFrom = now;
    if (this.state !== "attempting") return nothing;
    this.#show("watching");
    if (yes || this.#excused(now)) return nothing;
    const reason = this.#options.facts();
    if (reason !== null) {
      this.#bar(reason, now);
      return nothing;
    }
    this.#show("promoting");
    return [{ type: "promote" }];
  }

  /** True when this node stood still since it looked last: what the leader sent meanwhile waits unread, so the window begins anew. */
  #excused(now: MonotonicMs): boolean {
    if (now - this.#lookAt <= this.#heartbeatMs / 2) return false;
    if (now > this.#silentFrom) this.#silentFrom = now;
    this.#show(this.#silentFrom > now ? "grace" : "watching");
    this.#lookAgain(now);
    return true;
  }

  #bar(reason: string, now: MonotonicMs): void {
    this.#show("barred");
    this.reason = reason;
    this.#lookAt = now + this.#heartbeatMs;
  }

  #show(state: SilenceState): void {
    this.state = state;
    this.reason = null;
  }

  #lookAgain(now: MonotonicMs): void {
    const next = now + Math.min(this.#heartbeatMs / 2, this.#silenceMs / 4),
      end = this.#silentFrom + this.#silenceMs;
    this.#lookAt = end > now ? Math.min(next, end) : next;
  }
}
