import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { type LogEntry, type Position, samePosition } from "../storage/log.ts";
import type { Append, Challenge, Heartbeat, Hello, Message, Welcome } from "../wire/message.ts";
import { ApplyPace } from "./apply_pace.ts";
import { Backoff } from "./backoff.ts";
import { Contact } from "./contact.ts";
import type { FollowerEffect, FollowerInput, FollowerSession } from "./follower_events.ts";
import { type FollowerContext, helloOf, proofFor } from "./follower_handshake.ts";
import { FollowerTail } from "./follower_tail.ts";
import { sameTerm } from "./judge_position.ts";
import { LeaderView } from "./leader_view.ts";
import { errorOfRefusal, isNetworkError, refusedMessage } from "./refusal.ts";
import { positionOf } from "./send_window.ts";
import type { FollowingState, StreamTuning } from "./types.ts";

export interface FollowerSessionOptions extends FollowerContext {
  readonly tuning: StreamTuning;
  /** Largest apply: entries, bytes of payload, and about how long it may take. */
  readonly applyEntriesMax: number;
  readonly applyBytesMax: number;
  readonly applyMs: number;
}

/** The machine of one following, over all its connections. */
export function followerSession(options: FollowerSessionOptions): FollowerSession {
  return new Session(options);
}

type Phase = "idle" | "connecting" | "hello" | "proof" | "streaming" | "waiting" | "stopped";

class Session implements FollowerSession {
  readonly leader = new LeaderView();
  tail: FollowerTail;
  congested = false;
  opsApplied = 0;
  gapsDetected = 0;
  connects = 0;
  lastError: FollowerSession["lastError"] = null;
  lastApplied: LogEntry | null = null;
  readonly #options: FollowerSessionOptions;
  readonly #backoff: Backoff;
  readonly #pace: ApplyPace;
  #phase: Phase = "idle";
  #hello: Hello | null = null;
  #challenge: Challenge | null = null;
  #contact: Contact | null = null;
  #heardAt: number | null = null;
  /** End of the attempt, the handshake or the wait. */
  #until = 0;
  /** What the status shows until a leader welcomes this node again. */
  #blocked: "refused" | "error" | null = null;
  #catchingUpTo = 0;
  #applyAsked = false;
  #applying: { readonly entries: readonly LogEntry[]; readonly from: number } | null = null;
  #effects: FollowerEffect[] = [];

  constructor(options: FollowerSessionOptions) {
    const { tuning, random } = options;
    this.#options = options;
    this.#backoff = new Backoff(tuning.reconnectMinMs, tuning.reconnectMaxMs, () => random.float());
    this.#pace = new ApplyPace(options.applyMs, options.applyEntriesMax);
    this.tail = new FollowerTail(options.log);
  }

  get deadline(): MonotonicMs | null {
    if (this.#phase === "idle" || this.#phase === "stopped") return null;
    if (this.#phase === "streaming") return monotonicMsOf(this.#contact?.deadline ?? 0);
    return monotonicMsOf(this.#until);
  }

  get state(): FollowingState {
    if (this.#phase === "stopped") return "stopped";
    if (this.#phase === "streaming") {
      return this.#options.log.last.seq < this.#catchingUpTo ? "catching_up" : "streaming";
    }
    if (this.#blocked !== null) return this.#blocked;
    if (this.#phase === "idle" || this.#phase === "connecting") return "connecting";
    return this.#phase === "waiting" ? "waiting" : "handshake";
  }

  get heardAt(): number | null {
    return this.#heardAt;
  }

  step(input: FollowerInput, now: MonotonicMs): readonly FollowerEffect[] {
    if (this.#phase === "stopped") return [];
    this.#effects = [];
    this.#take(input, now);
    this.congested = this.tail.count >= this.#options.applyEntriesMax ||
      this.tail.bytes >= this.#options.applyBytesMax;
    return this.#effects;
  }

  #take(input: FollowerInput, now: MonotonicMs): void {
    switch (input.type) {
      case "start":
        return this.#connect(now);
      case "connected":
        return this.#onConnected(now);
      case "contact":
        this.#heardAt = now;
        return this.#contact?.heard(now);
      case "message":
        return this.#onMessage(input.message, now);
      case "ended":
        return this.#fail(this.#explain(input.error), now, input.error.code !== "unreachable");
      case "applyNow":
        return this.#apply(now);
      case "applied":
        return this.#onApplied(input.position, now);
      case "applyFailed":
        this.#applying = null;
        return this.#fail(input.error, now, true);
      case "tick":
        return this.#onTick(now);
      case "stop":
        return this.#stop();
    }
  }

  #connect(now: MonotonicMs): void {
    this.#phase = "connecting";
    this.#until = now + this.#options.tuning.connectMs;
    this.#effects.push({ type: "connect" });
  }

  #onConnected(now: MonotonicMs): void {
    if (this.#phase !== "connecting") return;
    this.#phase = "hello";
    this.#until = now + this.#options.tuning.handshakeMs;
    this.#hello = helloOf(this.#options);
    this.tail = new FollowerTail(this.#options.log);
    this.#send(this.#hello);
  }

  #onMessage(message: Message, now: MonotonicMs): void {
    if (message.type === "refused") return this.#fail(errorOfRefusal(message), now, false);
    if (message.type === "challenge" && this.#phase === "hello") return this.#onChallenge(message, now);
    if (message.type === "welcome" && this.#phase === "proof") return this.#onWelcome(message, now);
    if (this.#phase === "streaming") {
      if (message.type === "append") return this.#onAppend(message, now);
      if (message.type === "heartbeat") return this.#onHeartbeat(message, now);
      if (message.type === "goingAway") {
        return this.#fail(new DfdbError("going_away", message.message), now, false);
      }
    }
    if (this.#phase === "waiting") return;
    this.#fail(new DfdbError("bad_frame", `a leader must not send "${message.type}" now`), now, true);
  }

  #onChallenge(challenge: Challenge, now: MonotonicMs): void {
    assert(this.#hello !== null, "a challenge follows a hello");
    const proof = proofFor(this.#options, this.#hello, challenge);
    if (proof instanceof DfdbError) return this.#fail(proof, now, true);
    this.#challenge = challenge;
    this.#phase = "proof";
    this.leader.challenged(challenge);
    this.#send(proof);
  }

  #onWelcome(welcome: Welcome, now: MonotonicMs): void {
    const { databaseId, tuning } = this.#options;
    const theirs = this.#challenge?.databaseId;
    if (theirs !== undefined && theirs !== databaseId()) {
      this.#effects.push({ type: "adopt", databaseId: theirs });
    }
    this.#phase = "streaming";
    const { heartbeatMs } = welcome;
    this.#contact = new Contact(Math.max(tuning.contactLostMs, 3 * heartbeatMs), heartbeatMs / 2, now);
    this.#blocked = null;
    this.#catchingUpTo = welcome.position.seq;
    this.connects++;
    this.leader.welcomed(welcome, now);
    this.#effects.push({ type: "established" }, { type: "hint", httpUrl: welcome.httpUrl });
  }

  #onAppend(append: Append, now: MonotonicMs): void {
    const wrong = this.tail.add(append);
    if (wrong !== null) {
      if (wrong.code === "gap") this.gapsDetected++;
      return this.#fail(wrong, now, true);
    }
    this.leader.appended(append);
    if (this.tail.count === 0) return this.#ack();
    this.#applySoon();
  }

  #onHeartbeat(heartbeat: Heartbeat, now: MonotonicMs): void {
    const mine = this.#options.log.last, theirs = heartbeat.position;
    if (mine.seq === theirs.seq && !samePosition(mine, theirs)) {
      const code = sameTerm(mine, theirs) ? "corrupt" : "diverged";
      return this.#fail(new DfdbError(code, `entry ${mine.seq} here is not the leader's`), now, true);
    }
    this.leader.beat(heartbeat, now);
    // What waits is acknowledged when it is applied.
    if (this.tail.count > 0 || this.#applying !== null) return;
    if (mine.seq === theirs.seq) this.#backoff.reset();
    this.#ack();
  }

  #applySoon(): void {
    if (this.#applyAsked) return;
    this.#applyAsked = true;
    this.#effects.push({ type: "applySoon" });
  }

  #apply(now: MonotonicMs): void {
    this.#applyAsked = false;
    if (this.#phase !== "streaming" || this.tail.count === 0) return;
    const entries = this.tail.take({ entriesMax: this.#pace.entries, bytesMax: this.#options.applyBytesMax });
    this.#applying = { entries, from: now };
    this.#effects.push({ type: "apply", entries });
  }

  #onApplied(position: Position, now: MonotonicMs): void {
    assert(this.#applying !== null, "something was being applied");
    const { entries, from } = this.#applying, last = entries[entries.length - 1];
    this.#applying = null;
    assert(
      last !== undefined && samePosition(position, positionOf(last)),
      "what was applied is what was sent",
    );
    this.#pace.took(entries.length, now - from);
    this.opsApplied += entries.length;
    this.lastApplied = last;
    this.#backoff.reset();
    this.#ack();
    if (this.tail.count > 0) this.#applySoon();
  }

  #onTick(now: MonotonicMs): void {
    const { contactLostMs, connectMs, handshakeMs } = this.#options.tuning;
    if (this.#phase === "streaming") {
      if (!this.#contact?.lost(now)) return;
      return this.#fail(
        new DfdbError("timeout", `the leader was silent for ${contactLostMs} ms`),
        now,
        false,
      );
    }
    if (now < this.#until) return;
    if (this.#phase === "waiting") return this.#connect(now);
    if (this.#phase === "connecting") {
      return this.#fail(new DfdbError("unreachable", `no connection within ${connectMs} ms`), now, false);
    }
    const slow = new DfdbError(
      "timeout",
      `the leader did not complete the handshake within ${handshakeMs} ms`,
    );
    this.#fail(this.#explain(slow), now, true);
  }

  /** A peer that hangs up or stays silent before it said anything sensible may be an HTTP port. */
  #explain(error: DfdbError): DfdbError {
    if (this.#phase !== "hello" || !isNetworkError(error.code)) return error;
    return new DfdbError(error.code, `${error.message}; is this its replication port, not its HTTP port?`);
  }

  #fail(error: DfdbError, now: MonotonicMs, tell: boolean): void {
    if (this.#phase === "waiting") return;
    const streaming = this.#phase === "streaming";
    this.#effects.push({ type: "disconnect", error, last: tell ? refusedMessage(error) : null });
    this.lastError = { error, at: now };
    this.#blocked = isNetworkError(error.code) ? null : streaming ? "error" : "refused";
    this.#phase = "waiting";
    this.#contact = null;
    this.tail = new FollowerTail(this.#options.log);
    this.#until = now + this.#backoff.next();
  }

  #stop(): void {
    const error = new DfdbError("going_away", "this node stops following");
    if (this.#phase !== "idle" && this.#phase !== "waiting") {
      const last = this.#phase === "streaming" ? refusedMessage(error) : null;
      this.#effects.push({ type: "disconnect", error, last });
    }
    this.#phase = "stopped";
  }

  #ack(): void {
    const { seq, epoch, run, chain } = this.#options.log.last;
    this.#send({ type: "ack", seq, epoch, run, chain });
  }

  #send(message: Message): void {
    this.#effects.push({ type: "send", message });
  }
}
