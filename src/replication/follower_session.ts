import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { type Position, samePosition } from "../storage/log.ts";
import type { Challenge, Hello, KnownNode, Message, Refused, Welcome } from "../wire/message.ts";
import { Backoff } from "./backoff.ts";
import type { FollowerEffect, FollowerInput, FollowerSession, ResyncInput } from "./follower_events.ts";
import { FollowerCopies } from "./follower_copies.ts";
import { type Blocked, blockedBy, explained, notStreamed, unexpected, unfitBy } from "./follower_failure.ts";
import { type FollowerContext, helloOf, proofFor } from "./follower_handshake.ts";
import { FollowerHearsay } from "./follower_hearsay.ts";
import { FollowerResync } from "./follower_resync.ts";
import { type ApplyLimits, FollowerStream } from "./follower_stream.ts";
import type { LeaderAddresses } from "./leader_addresses.ts";
import { LeaderContact } from "./leader_contact.ts";
import { LeaderView } from "./leader_view.ts";
import type { AheadOf } from "./ahead.ts";
import { aheadOf } from "./ahead.ts";
import { errorOfRefusal, refusedMessage } from "./refusal.ts";
import type { FollowingState, StreamTuning } from "./types.ts";
import type { WireAddress } from "./wire_address.ts";

export interface FollowerSessionOptions extends FollowerContext, ApplyLimits {
  readonly tuning: StreamTuning;
  readonly addresses: LeaderAddresses;
  /** Whom this node followed in an earlier run. */
  readonly lastLeader: KnownNode | null;
}

/** The machine of one following, over all its connections. */
export function followerSession(options: FollowerSessionOptions): FollowerSession {
  return new Session(options);
}

type Phase = "idle" | "connecting" | "hello" | "proof" | "streaming" | "resync" | "waiting" | "stopped";

class Session implements FollowerSession {
  readonly leader = new LeaderView();
  readonly copies = new FollowerCopies();
  readonly stream: FollowerStream;
  congested = false;
  connects = 0;
  lastError: FollowerSession["lastError"] = null;
  aheadOf: AheadOf | null = null;
  readonly #options: FollowerSessionOptions;
  readonly #backoff: Backoff;
  readonly #contact: LeaderContact;
  readonly #hearsay: FollowerHearsay;
  #phase: Phase = "idle";
  #hello: Hello | null = null;
  #challenge: Challenge | null = null;
  /** End of the attempt, the handshake or the wait. */
  #until = 0;
  #blocked: Blocked | null = null;
  #unfit: string | null = null;
  /** The last connection's, until the next one is made. */
  #resync: FollowerResync | null = null;
  #effects: FollowerEffect[] = [];

  constructor(options: FollowerSessionOptions) {
    const { tuning, random } = options;
    this.#options = options;
    this.#contact = new LeaderContact(tuning.contactLostMs);
    this.#backoff = new Backoff(tuning.reconnectMinMs, tuning.reconnectMaxMs, () => random.float());
    const emit = (effect: FollowerEffect): void => void this.#effects.push(effect);
    const onProgress = (): void => {
      this.#backoff.reset();
      options.addresses.progressed();
    };
    this.#hearsay = new FollowerHearsay(options, emit);
    this.stream = new FollowerStream({ ...options, leader: this.leader, emit, onProgress });
  }

  get deadline(): MonotonicMs | null {
    if (this.#phase === "idle" || this.#phase === "stopped") return null;
    if (this.#phase === "waiting" && this.#busy) return null;
    return monotonicMsOf(this.#contact.deadline ?? this.#until);
  }

  get state(): FollowingState {
    if (this.#phase === "stopped") return "stopped";
    if (this.#phase === "streaming") {
      return this.leader.lacks(this.#options.log.last.seq) ? "catching_up" : "streaming";
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

  get streaming(): boolean {
    return this.#phase === "streaming";
  }

  get peer(): FollowerSession["peer"] {
    if (this.#contact.open) return "leader";
    const leader = this.#lastLeader;
    if (this.#phase !== "proof" || leader === null) return "unknown";
    return this.#challenge?.nodeId === leader.nodeId ? "leader" : "other";
  }

  get unfit(): string | null {
    if (this.#hearsay.turnedAway !== null) return this.#hearsay.turnedAway;
    if (!this.leader.streamed) return notStreamed;
    if (this.copies.wanted) return "it is about to take a new copy of its leader's database";
    return this.#unfit ?? this.leader.unfit(this.#options.log.last.seq);
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
      ? this.stream.congested
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
        return this.#fail(this.#explained(input.error), now, input.error.code !== "unreachable");
      case "applyNow":
        return this.stream.applyNow(now);
      case "applied":
        this.stream.applied(input.position, input.slowly === true, now);
        this.copies.applied();
        return this.#onSettled(now);
      case "applyFailed":
        return this.#onApplyFailed(input.error, now);
      case "hold":
        return this.stream.hold(input.seq);
      case "resync":
        this.copies.wanted = true;
        return this.#anew("this node takes a new copy", now);
      case "reconnect":
        return this.#anew(input.reason, now);
      case "tryFirst":
        return this.#onTryFirst(input.address, now);
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
    this.#effects.push({ type: "connect", address: this.#options.addresses.next() });
  }

  #onConnected(now: MonotonicMs): void {
    if (this.#phase !== "connecting") return;
    this.#phase = "hello";
    this.#until = now + this.#options.tuning.handshakeMs;
    // An empty database has nothing that could be replaced.
    this.copies.wanted &&= this.#options.log.last.seq > 0;
    this.#hello = helloOf(this.#options, this.copies.wanted, this.#lastLeader);
    this.#send(this.#hello);
  }

  #onMessage(message: Message, now: MonotonicMs): void {
    if (message.type === "refused") return this.#onRefused(message, now);
    if (message.type === "challenge" && this.#phase === "hello") return this.#onChallenge(message, now);
    if (message.type === "welcome" && this.#phase === "proof") return this.#onWelcome(message, now);
    if (this.#phase === "waiting") return;
    if (message.type === "goingAway" && this.#contact.open) {
      this.#hearsay.goingAway(message);
      return this.#fail(new DfdbError("going_away", message.message), now, false);
    }
    const wrong = this.#onEstablished(message, now);
    if (wrong !== null) this.#fail(wrong, now, true);
  }

  #onRefused(refused: Refused, now: MonotonicMs): void {
    // Before its challenge was checked anybody might say so.
    if (this.#phase === "proof" || this.#contact.open) this.#hearsay.refused(refused);
    const error = errorOfRefusal(refused), by = this.#phase === "hello" ? null : this.#challenge?.nodeId;
    this.aheadOf = aheadOf(error, by ?? null, this.#lastLeader) ?? this.aheadOf;
    this.#fail(error, now, false);
  }

  /** A message after the handshake, or what is wrong with it. */
  #onEstablished(message: Message, now: MonotonicMs): DfdbError | null {
    if (message.type === "heartbeat" && this.#contact.open) this.#hearsay.nodes(message.knownNodes ?? []);
    if (this.#phase === "streaming") return this.stream.onMessage(message, now);
    if (this.#phase !== "resync" || this.#resync === null) return unexpected(message);
    if (message.type !== "heartbeat") return this.#resync.onMessage(message);
    this.leader.beat(message, now);
    this.#resync.acknowledge(message.ask);
    return null;
  }

  #onChallenge(challenge: Challenge, now: MonotonicMs): void {
    assert(this.#hello !== null, "a challenge follows a hello");
    const proof = proofFor(this.#options, this.#hello, challenge);
    if (proof instanceof DfdbError) return this.#fail(proof, now, true);
    this.#challenge = challenge;
    this.#phase = "proof";
    this.#send(proof);
  }

  #onWelcome(welcome: Welcome, now: MonotonicMs): void {
    assert(this.#challenge !== null, "a welcome follows a challenge");
    const { addresses, databaseId, log } = this.#options, asked = this.#hello?.resync === true;
    if (asked && welcome.follow === "stream") {
      return this.#fail(
        new DfdbError("bad_frame", "the leader did not offer the snapshot asked for"),
        now,
        true,
      );
    }
    const { nodeId, databaseId: theirs } = this.#challenge, { nodeName, httpUrl, wireAddress } = welcome;
    if (theirs !== databaseId()) this.#effects.push({ type: "adopt", databaseId: theirs });
    this.#contact.welcomed(welcome.heartbeatMs, now);
    this.#blocked = null;
    this.#hearsay.turnedAway = null;
    this.connects++;
    const [leader, ...knownNodes] = this.#hearsay.reachable([
      { nodeId, nodeName, httpUrl, wireAddress },
      ...welcome.knownNodes,
    ]);
    assert(leader !== undefined, "as many as were given");
    addresses.welcomed();
    this.leader.welcomed(leader, welcome, now);
    this.#effects.push({ type: "established", leader, welcome, knownNodes }, { type: "hint", httpUrl });
    if (welcome.follow === "stream") {
      this.#phase = "streaming";
      this.copies.streams();
      this.#unfit = null;
      return this.stream.begin();
    }
    this.#phase = "resync";
    this.#unfit = "it cannot be brought to its leader's state by the log: it takes a snapshot";
    const emit = (effect: FollowerEffect): void => void this.#effects.push(effect);
    this.#resync = new FollowerResync({ log, welcome, asked, emit });
  }

  #onApplyFailed(error: DfdbError, now: MonotonicMs): void {
    if (this.stream.applyFailed(error)) this.copies.hopeless();
    this.#fail(error, now, true, "error");
    this.#onSettled(now);
  }

  /** What came of something that the re-sync wanted done. */
  #onResync(input: ResyncInput, now: MonotonicMs): void {
    assert(this.#resync !== null, "a re-sync wanted this");
    this.#resync.took(input, this.#phase === "resync");
    if (input.type === "rescued") this.copies.onRescued(this.#resync, this.#options.log.last);
    if (input.type === "installed") return this.#onInstalled(this.#resync, input.position, now);
    if (input.type === "resyncFailed") this.#fail(input.error, now, true, this.#step);
    this.#onSettled(now);
  }

  /** Begins anew with the new position: at once, unless that led to a snapshot the last time, too. */
  #onInstalled(resync: FollowerResync, position: Position, now: MonotonicMs): void {
    assert(samePosition(this.#options.log.last, position), "the log ends where the snapshot does");
    const pause = this.copies.onInstalled(resync) ? this.#backoff.next() : 0;
    if (this.#phase === "resync") {
      this.#hangUp(new DfdbError("going_away", "the snapshot is installed"), false, true);
    }
    this.#blocked = null;
    if (this.#phase !== "waiting") return;
    this.#until = now + pause;
    this.#onSettled(now);
  }

  #onTryFirst(address: WireAddress, now: MonotonicMs): void {
    const { addresses } = this.#options, { current } = addresses;
    const there = current?.hostname === address.hostname && current.port === address.port;
    if (there && this.#phase !== "waiting") return;
    addresses.tryFirst(address);
    if (!this.#contact.open) this.#anew("another address is tried first", now);
  }

  /** Ends what is under way; the next attempt begins at once, or as soon as what is being done here has settled. */
  #anew(reason: string, now: MonotonicMs): void {
    if (this.#phase === "idle") return;
    this.#options.addresses.restart();
    if (this.#phase !== "waiting") {
      this.#hangUp(new DfdbError("going_away", reason), false, this.#contact.open);
    }
    this.#until = now;
    this.#onSettled(now);
  }

  /** Something is being applied, rescued, written or installed: no new connection before it has settled. */
  get #busy(): boolean {
    return this.stream.applying || (this.#resync !== null && this.#resync.jobs > 0);
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
    const slow = `the leader did not complete the handshake within ${handshakeMs} ms`;
    this.#fail(this.#explained(new DfdbError("timeout", slow)), now, true);
  }

  /** While it does not read, this node hears nothing and is not answered: it says by itself that it lives. */
  #onContactTick(now: MonotonicMs): void {
    const due = this.#contact.look(now), { contactLostMs } = this.#options.tuning;
    if (due === "sign") {
      return this.#phase === "resync" ? this.#resync?.acknowledge() : this.stream.acknowledge();
    }
    if (due === null) return;
    this.#fail(new DfdbError("timeout", `the leader was silent for ${contactLostMs} ms`), now, false);
  }

  get #lastLeader(): KnownNode | null {
    return this.leader.node ?? this.#options.lastLeader;
  }

  #explained(error: DfdbError): DfdbError {
    return this.#phase === "hello" ? explained(error) : error;
  }

  /** `shown`: the state until a leader welcomes this node; by default as the error says. */
  #fail(error: DfdbError, now: MonotonicMs, tell: boolean, shown?: Blocked): void {
    this.lastError = { error, at: now };
    this.#unfit = unfitBy(error, shown) ?? this.#unfit;
    if (this.#phase === "waiting") return;
    this.#blocked = shown ?? blockedBy(error.code, this.#blocked, this.#failing);
    this.#hangUp(error, true, tell);
    const { addresses, tuning } = this.#options;
    this.#until = now + (addresses.more ? tuning.reconnectMinMs : this.#backoff.next());
  }

  /** The state when this connection fails. */
  get #failing(): Blocked {
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
    this.stream.end();
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
