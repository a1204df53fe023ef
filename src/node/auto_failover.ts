/** Carries out what the silence machine decides: one last attempt to reach the leader, then the promotion. */
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { SilenceEffect, SilenceInput, SilenceState } from "../cluster/silence.ts";
import { silenceWatch } from "../cluster/silence.ts";
import { whyNotTakeOver } from "../cluster/promotion.ts";
import { Driver } from "../base/driver.ts";
import { notStreamed } from "../replication/follower_failure.ts";
import { isNetworkError } from "../replication/refusal.ts";
import { parseWireAddress } from "../replication/wire_address.ts";
import type { Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { Peers } from "./peers.ts";
import type { ReplicationParts } from "./replication.ts";
import type { Stand } from "./stand.ts";

/** What of it others see. */
export interface AutoFailoverView {
  readonly silenceMs: number;
  /** Null: the leader's, which is not known yet. */
  readonly newLeaderPort: number | null;
  readonly state: SilenceState | "pending";
  readonly reason: string | null;
  readonly silentMs: number | null;
}

export interface AutoFailoverOptions {
  readonly parts: ReplicationParts;
  readonly stand: Stand;
  readonly peers: Peers;
  /** A handover to this node is under way. */
  readonly inHandover: () => boolean;
  /** Rejects when this node does not lead. */
  readonly promote: (port: number | null) => Promise<void>;
}

export class AutoFailover {
  readonly #options: AutoFailoverOptions;
  readonly #machine;
  readonly #driver: Driver<SilenceInput, SilenceEffect>;
  #on: { readonly silenceMs: number; readonly port: number | null } | null = null;
  #paused = false;
  /** Welcomes of before it was switched on say nothing of it. */
  #connectsBefore = 0;
  #unwatch = (): void => {};
  /** Under an authority: a promotion is being tried. */
  #trying = false;
  #logged = "";
  /** Where the log ended when all spoke for a promotion. While no leader has welcomed this node since, it still does. */
  #passed: Position | null = null;

  constructor(options: AutoFailoverOptions) {
    const { clock } = options.parts.runtime;
    this.#options = options;
    this.#machine = silenceWatch({ graceMs: limits.failoverGraceMs, facts: () => this.#whyNot() });
    this.#driver = new Driver(this.#machine, clock, (effect) => this.#perform(effect));
  }

  /** Null: it is off, or this node leads. */
  get silenceMs(): number | null {
    return this.#paused ? null : this.#on?.silenceMs ?? null;
  }

  get port(): number | null {
    return this.#on?.port ?? null;
  }

  view(leadPort: number | null): AutoFailoverView | null {
    if (this.#on === null || this.#paused) return null;
    const common = { silenceMs: this.#on.silenceMs, newLeaderPort: this.#on.port ?? leadPort };
    const { runtime: { clock }, authority } = this.#options.parts, { state, reason } = this.#machine;
    if (authority.kind !== "silence") {
      const whyNot = this.#whyNot(), watching = whyNot === null ? "watching" : "barred";
      return { ...common, state: this.#trying ? "promoting" : watching, reason: whyNot, silentMs: null };
    }
    const pending = state !== "off" && !this.#armed();
    return {
      ...common,
      state: pending ? "pending" : state,
      reason: pending ? this.#whyNot() : reason,
      silentMs: this.#machine.silentMs(clock.monotonic()),
    };
  }

  enable(silenceMs: number, port: number | null): void {
    const { parts: { authority, settings }, stand } = this.#options;
    this.disable();
    this.#on = { silenceMs, port };
    this.#connectsBefore = stand.following?.status().connects ?? 0;
    if (authority.kind === "silence") {
      this.#driver.feed({ type: "watch", silenceMs, heartbeatMs: settings.heartbeatMs });
    } else this.#unwatch = authority.watch(() => this.#vacant());
  }

  disable(): void {
    this.#on = null;
    this.pause();
    this.#paused = false;
  }

  /** While this node leads, or goes to. */
  pause(): void {
    this.#paused = true;
    this.#unwatch();
    this.#unwatch = () => {};
    this.#driver.feed({ type: "unwatch" });
  }

  /** This node follows again. False: it was not switched on. */
  resume(): boolean {
    const on = this.#on;
    this.#paused = false;
    if (on !== null) this.enable(on.silenceMs, on.port);
    return on !== null;
  }

  /** On the path of every piece of bytes from the leader. */
  heard(): void {
    if (this.#on !== null && !this.#paused) this.#driver.feed({ type: "heard" });
  }

  #armed(): boolean {
    const { parts: { authority }, stand } = this.#options;
    if (authority.kind !== "silence" || this.#goesOn) return true;
    const status = stand.following?.status();
    return status?.candidateAccepted === true && status.connects > this.#connectsBefore;
  }

  /** A promotion failed, and this node has only begun to follow again. */
  get #goesOn(): boolean {
    const { parts: { storage }, stand: { following } } = this.#options, passed = this.#passed;
    return passed !== null && samePosition(passed, storage.log.last) &&
      following?.status().connects === 0 && following.unfit() === notStreamed;
  }

  #whyNot(): string | null {
    const { parts: { storage, behind, settings }, stand, inHandover } = this.#options, { following } = stand;
    if (following === null || this.#on === null) return "this node follows nobody";
    const { connects, leaderSeq, heartbeatMs } = following.status();
    if (heartbeatMs !== null && this.#on.silenceMs < 2 * heartbeatMs) {
      return `the leader lets ${heartbeatMs} ms pass between two signs of life`;
    }
    return whyNotTakeOver({
      armed: this.#armed(),
      unfit: this.#goesOn ? null : following.unfit(),
      everInTouch: connects > 0 || this.#goesOn,
      seq: storage.log.last.seq,
      leaderSeq,
      maxLagOps: settings.maxFailoverLagOps,
      mirrorAhead: behind.suspicious,
      inHandover: inHandover(),
    });
  }

  #perform(effect: SilenceEffect): void {
    const { logger } = this.#options.parts;
    if (effect.type === "lastAttempt") return void this.#attempt();
    logger.warn("the leader is silent: this node takes over", { silenceMs: this.#on?.silenceMs ?? 0 });
    void this.#promote().then((led) => void (led || this.#driver.feed({ type: "failed" })));
  }

  async #attempt(): Promise<void> {
    const { parts: { settings }, stand, peers } = this.#options;
    const endpoint = stand.welcomed === null ? null : parseWireAddress(stand.welcomed.endpoint);
    const timeoutMs = Math.min(limits.connectMs, Math.max(settings.heartbeatMs, limits.lastAttemptMsMin));
    const answered = endpoint !== null &&
      await peers.askAt(endpoint, { timeoutMs, onContact: () => this.heard() })
        .then(() => true, (error: unknown) => error instanceof DfdbError && !isNetworkError(error.code));
    this.#driver.feed({ type: "answered", yes: answered });
  }

  #vacant(): void {
    if (this.#trying || this.#on === null || this.#whyNot() !== null) return;
    this.#trying = true;
    void this.#promote().finally(() => void (this.#trying = false));
  }

  async #promote(): Promise<boolean> {
    const { parts: { logger, storage }, promote } = this.#options;
    this.#passed = storage.log.last;
    try {
      await promote(this.#on?.port ?? null);
      this.#logged = "";
      return true;
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== this.#logged) logger.warn("could not take over", { reason });
      this.#logged = reason;
      return false;
    }
  }
}
