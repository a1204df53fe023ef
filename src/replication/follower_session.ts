import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { type Position, samePosition } from "../storage/log.ts";
import type { Challenge, Hello, Message, Welcome } from "../wire/message.ts";
import { Backoff } from "./backoff.ts";
import type { FollowerEffect, FollowerInput, FollowerSession, ResyncInput } from "./follower_events.ts";
import { type FollowerContext, helloOf, proofFor } from "./follower_handshake.ts";
import { FollowerResync } from "./follower_resync.ts";
import { type ApplyLimits, FollowerStream } from "./follower_stream.ts";
import type { FollowerTail } from "./follower_tail.ts";
import { LeaderContact } from "./leader_contact.ts";
import { LeaderView } from "./leader_view.ts";
import { errorOfRefusal, isNetworkError, refusedMessage } from "./refusal.ts";
import type { FollowingState, StreamTuning } from "./types.ts";

export interface FollowerSessionOptions extends FollowerContext, ApplyLimits {
  readonly tuning: StreamTuning;
}

/** The machine of one following, over all its connections. */
export function followerSession(options: FollowerSessionOptions): FollowerSession {
  return new Session(options);
}

type Phase = "idle" | "connecting" | "hello" | "proof" | "streaming" | "resync" | "waiting" | "stopped";

/** Why it does not go on, as shown while attempts do. */
type Blocked = Extract<
  FollowingState,
  "refused" | "error" | "ahead" | "corrupt" | "diverged" | "rescuing" | "snapshot"
>;

class Session implements FollowerSession {
  readonly leader = new LeaderView();
  congested = false;
  connects = 0;
  snapshotsInstalled = 0;
  rescues = 0;
  lastError: FollowerSession["lastError"] = null;
  readonly #options: FollowerSessionOptions;
  readonly #backoff: Backoff;
  readonly #stream: FollowerStream;
  readonly #contact: LeaderContact;
  #phase: Phase = "idle";
  #hello: Hello | null = null;
  #challenge: Challenge | null = null;
  /** End of the attempt, the handshake or the wait. */
  #until = 0;
  #blocked: Blocked | null = null;
  #catchingUpTo = 0;
  /** The last connection's, until the next one is made. */
  #resync: FollowerResync | null = null;
  /** The next hello asks for a whole new copy. */
  #wantsCopy = false;
  /** A failed apply asked for a copy, and nothing was applied since: another copy would not help. */
  #copyFailed = false;
  /** A snapshot was installed, and no leader streamed since. */
  #installedLast = false;
  /** The last tail that was rescued: the same again is not counted. */
  #rescuedLast: { readonly last: Position; readonly common: number | null } | null = null;
  #effects: FollowerEffect[] = [];

  constructor(options: FollowerSessionOptions) {
    const { tuning, random } = options;
    this.#options = options;
    this.#contact = new LeaderContact(tuning.contactLostMs);
    this.#backoff = new Backoff(tuning.reconnectMinMs, tuning.reconnectMaxMs, () => random.float());
    const emit = (effect: FollowerEffect): void => void this.#effects.push(effect);
    const onProgress = (): void => this.#backoff.reset();
    this.#stream = new FollowerStream({ ...options, leader: this.leader, emit, onProgress });
  }

  get deadline(): MonotonicMs | null {
    if (this.#phase === "idle" || this.#phase === "stopped") return null;
    if (this.#phase === "waiting" && this.#busy) return null;
    return monotonicMsOf(this.#contact.deadline ?? this.#until);
  }

  get state(): FollowingState {
    if (this.#phase === "stopped") return "stopped";
    if (this.#phase === "streaming") {
      return this.#options.log.last.seq < this.#catchingUpTo ? "catching_up" : "streaming";
    }
    if (this.#resync !== null && (this.#phase === "resync" || this.#resync.jobs > 0)) {
      return this.#resync.step;
    }
    if (this.#blocked !== null) return this.#blocked;
    if (this.#phase === "idle" || this.#phase === "connecting") return "connecting";
    return this.#phase === "waiting" ? "waiting" : "handshake";
  }

  get heardAt(): number | null {
    return this.#contact.heardAt;
  }

  get tail(): FollowerTail {
    return this.#stream.tail;
  }

  get opsApplied(): number {
    return this.#stream.opsApplied;
  }

  get gapsDetected(): number {
    return this.#stream.gapsDetected;
  }

  get lastApplied(): FollowerSession["lastApplied"] {
    return this.#stream.lastApplied;
  }

  get snapshot(): FollowerSession["snapshot"] {
    if (this.#resync === null || (this.#phase !== "resync" && this.#resync.jobs === 0)) return null;
    return this.#resync.snapshot;
  }

  step(input: FollowerInput, now: MonotonicMs): readonly FollowerEffect[] {
    if (this.#phase === "stopped") return [];
    this.#effects = [];
    try {
      this.#take(input, now);
    } catch (thrown) {
      // This node's log could not be read.
      if (!(thrown instanceof DfdbError)) throw thrown;
      this.#fail(thrown, now, true, "error");
    }
    const was = this.congested;
    this.congested = this.#phase === "streaming"
      ? this.#stream.congested
      : this.#phase === "resync" && this.#resync?.congested === true;
    if (this.congested !== was) this.#contact.reads(!this.congested, now);
    return this.#effects;
  }

  #take(input: FollowerInput, now: MonotonicMs): void {
    switch (input.type) {
      case "start":
        return this.#connect(now);
      case "connected":
        return this.#onConnected(now);
      case "contact":
        return this.#contact.heard(now);
      case "message":
        return this.#onMessage(input.message, now);
      case "ended":
        return this.#fail(this.#explain(input.error), now, input.error.code !== "unreachable");
      case "applyNow":
        return this.#stream.applyNow(now);
      case "applied":
        this.#stream.applied(input.position, input.slowly === true, now);
        this.#copyFailed = false;
        return this.#onSettled(now);
      case "applyFailed":
        return this.#onApplyFailed(input.error, now);
      case "hold":
        return this.#stream.hold(input.seq);
      case "resync":
        return this.#onResyncWanted(now);
      case "tick":
        return this.#onTick(now);
      case "stop":
        return this.#stop();
      default:
        return this.#onResync(input, now);
    }
  }

  #connect(now: MonotonicMs): void {
    this.#phase = "connecting";
    this.#until = now + this.#options.tuning.connectMs;
    this.#resync = null;
    this.#effects.push({ type: "connect" });
  }

  #onConnected(now: MonotonicMs): void {
    if (this.#phase !== "connecting") return;
    this.#phase = "hello";
    this.#until = now + this.#options.tuning.handshakeMs;
    // An empty database has nothing that could be replaced.
    this.#wantsCopy &&= this.#options.log.last.seq > 0;
    this.#hello = helloOf(this.#options, this.#wantsCopy);
    this.#send(this.#hello);
  }

  #onMessage(message: Message, now: MonotonicMs): void {
    if (message.type === "refused") return this.#fail(errorOfRefusal(message), now, false);
    if (message.type === "challenge" && this.#phase === "hello") return this.#onChallenge(message, now);
    if (message.type === "welcome" && this.#phase === "proof") return this.#onWelcome(message, now);
    if (this.#phase === "waiting") return;
    if (message.type === "goingAway" && this.#contact.open) {
      return this.#fail(new DfdbError("going_away", message.message), now, false);
    }
    const wrong = this.#onEstablished(message, now);
    if (wrong !== null) this.#fail(wrong, now, true);
  }

  /** A message after the handshake, or what is wrong with it. */
  #onEstablished(message: Message, now: MonotonicMs): DfdbError | null {
    if (this.#phase === "streaming") {
      if (message.type === "append") return this.#stream.onAppend(message);
      if (message.type === "part") return this.#stream.onPart(message);
      if (message.type === "heartbeat") return this.#stream.onHeartbeat(message, now);
    } else if (this.#phase === "resync" && this.#resync !== null) {
      if (message.type !== "heartbeat") return this.#resync.onMessage(message);
      this.leader.beat(message, now);
      this.#resync.acknowledge();
      return null;
    }
    return new DfdbError("bad_frame", `a leader must not send "${message.type}" now`);
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
    const { databaseId, log } = this.#options;
    const asked = this.#hello?.resync === true;
    if (asked && welcome.follow === "stream") {
      return this.#fail(
        new DfdbError("bad_frame", "the leader did not offer the snapshot asked for"),
        now,
        true,
      );
    }
    const theirs = this.#challenge?.databaseId;
    if (theirs !== undefined && theirs !== databaseId()) {
      this.#effects.push({ type: "adopt", databaseId: theirs });
    }
    this.#contact.welcomed(welcome.heartbeatMs, now);
    this.#blocked = null;
    this.connects++;
    this.leader.welcomed(welcome, now);
    this.#effects.push({ type: "established" }, { type: "hint", httpUrl: welcome.httpUrl });
    if (welcome.follow === "stream") {
      this.#phase = "streaming";
      this.#catchingUpTo = welcome.position.seq;
      this.#installedLast = false;
      return this.#stream.begin();
    }
    this.#phase = "resync";
    const emit = (effect: FollowerEffect): void => void this.#effects.push(effect);
    this.#resync = new FollowerResync({ log, welcome, asked, emit });
  }

  #onApplyFailed(error: DfdbError, now: MonotonicMs): void {
    const hopeless = this.#stream.applyFailed(error);
    if (hopeless && !this.#copyFailed) this.#copyFailed = this.#wantsCopy = true;
    this.#fail(error, now, true, "error");
    this.#onSettled(now);
  }

  /** What came of something that the re-sync wanted done. */
  #onResync(input: ResyncInput, now: MonotonicMs): void {
    assert(this.#resync !== null, "a re-sync wanted this");
    this.#resync.took(input, this.#phase === "resync");
    if (input.type === "rescued") this.#count(this.#resync);
    if (input.type === "installed") return this.#onInstalled(this.#resync, input.position, now);
    if (input.type === "resyncFailed") this.#fail(input.error, now, true, this.#step);
    this.#onSettled(now);
  }

  #count({ rescued }: FollowerResync): void {
    const { last } = this.#options.log, common = rescued?.common ?? null, before = this.#rescuedLast;
    if (before !== null && before.common === common && samePosition(before.last, last)) return;
    this.#rescuedLast = { last, common };
    this.rescues++;
  }

  /** Begins anew with the new position: at once, unless that led to a snapshot the last time, too. */
  #onInstalled(resync: FollowerResync, position: Position, now: MonotonicMs): void {
    assert(samePosition(this.#options.log.last, position), "the log ends where the snapshot does");
    this.snapshotsInstalled++;
    if (resync.asked) this.#wantsCopy = false;
    const pause = this.#installedLast ? this.#backoff.next() : 0;
    this.#installedLast = true;
    if (this.#phase === "resync") {
      this.#hangUp(new DfdbError("going_away", "the snapshot is installed"), false, true);
    }
    this.#blocked = null;
    if (this.#phase !== "waiting") return;
    this.#until = now + pause;
    this.#onSettled(now);
  }

  #onResyncWanted(now: MonotonicMs): void {
    this.#wantsCopy = true;
    if (this.#phase === "idle") return;
    if (this.#phase !== "waiting") {
      this.#hangUp(new DfdbError("going_away", "this node takes a new copy"), false, this.#contact.open);
    }
    this.#until = now;
    this.#onSettled(now);
  }

  /** Something is being applied, rescued, written or installed: no new connection before it has settled. */
  get #busy(): boolean {
    return this.#stream.applying || (this.#resync !== null && this.#resync.jobs > 0);
  }

  #onSettled(now: MonotonicMs): void {
    if (this.#phase === "waiting" && !this.#busy && now >= this.#until) this.#connect(now);
  }

  #onTick(now: MonotonicMs): void {
    if (this.#contact.open) return this.#onContactTick(now);
    const { connectMs, handshakeMs } = this.#options.tuning;
    if (now < this.#until) return;
    if (this.#phase === "waiting") return this.#onSettled(now);
    if (this.#phase === "connecting") {
      return this.#fail(new DfdbError("unreachable", `no connection within ${connectMs} ms`), now, false);
    }
    const slow = new DfdbError(
      "timeout",
      `the leader did not complete the handshake within ${handshakeMs} ms`,
    );
    this.#fail(this.#explain(slow), now, true);
  }

  /** While it does not read, this node hears nothing and is not answered: it says by itself that it lives. */
  #onContactTick(now: MonotonicMs): void {
    const due = this.#contact.look(now), { contactLostMs } = this.#options.tuning;
    if (due === "sign") {
      return this.#phase === "resync" ? this.#resync?.acknowledge() : this.#stream.acknowledge();
    }
    if (due === null) return;
    this.#fail(new DfdbError("timeout", `the leader was silent for ${contactLostMs} ms`), now, false);
  }

  /** A peer that hangs up or stays silent before it said anything sensible may be an HTTP port. */
  #explain(error: DfdbError): DfdbError {
    if (this.#phase !== "hello") return error;
    if (error.code === "bad_frame") {
      return new DfdbError(error.code, `${error.message}; does it speak TLS?`, { cause: error });
    }
    if (!isNetworkError(error.code)) return error;
    return new DfdbError(
      error.code,
      `${error.message}; is this its replication port, not its HTTP port, and is TLS on at both or none?`,
    );
  }

  /** `shown`: the state until a leader welcomes this node; by default as the error says. */
  #fail(error: DfdbError, now: MonotonicMs, tell: boolean, shown?: Blocked): void {
    this.lastError = { error, at: now };
    if (this.#phase === "waiting") return;
    this.#blocked = shown ?? this.#blockedBy(error);
    this.#hangUp(error, true, tell);
    this.#until = now + this.#backoff.next();
  }

  /** That a leader lacks what is here, or has something else, is not forgotten when it goes away. */
  #blockedBy({ code }: DfdbError): Blocked | null {
    if (isNetworkError(code)) {
      return this.#blocked === "ahead" || this.#blocked === "corrupt" ? this.#blocked : null;
    }
    if (code === "ahead" || code === "corrupt") return code;
    if (this.#phase === "resync") return this.#step;
    return this.#phase === "streaming" ? "error" : "refused";
  }

  get #step(): Blocked {
    const step = this.#resync?.step ?? "snapshot";
    return step === "installing" ? "snapshot" : step;
  }

  #hangUp(error: DfdbError, news: boolean, tell: boolean): void {
    this.#effects.push({ type: "disconnect", error, last: tell ? refusedMessage(error) : null, news });
    this.#phase = "waiting";
    this.#contact.ended();
    this.#stream.end();
  }

  #stop(): void {
    const error = new DfdbError("going_away", "this node stops following");
    if (this.#phase !== "idle" && this.#phase !== "waiting") {
      const last = this.#contact.open ? refusedMessage(error) : null;
      this.#effects.push({ type: "disconnect", error, last, news: false });
    }
    this.#phase = "stopped";
  }

  #send(message: Message): void {
    this.#effects.push({ type: "send", message });
  }
}
