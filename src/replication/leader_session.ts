import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs, Seq } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { origin } from "../storage/log.ts";
import type {
  Ack,
  Challenge,
  Heartbeat,
  Hello,
  KnownNode,
  Message,
  Probe,
  Proof,
  SnapshotAck,
  WantSnapshot,
} from "../wire/message.ts";
import { Contact } from "./contact.ts";
import { probedAt, snapshotNotBefore, type Verdict } from "./judge_position.ts";
import type { LeaderEffect, LeaderInput, LeaderSession } from "./leader_events.ts";
import {
  challengeFor,
  checkProof,
  goingAwayOf,
  judgeFollower,
  judgePeer,
  type LeaderContext,
  nodesFor,
  sameNodes,
  stateOf,
  welcomeOf,
} from "./leader_handshake.ts";
import { LeaderStream } from "./leader_stream.ts";
import { errorOfRefusal, refusedMessage } from "./refusal.ts";
import { SendWindow } from "./send_window.ts";
import type { SharedReads } from "./shared_reads.ts";
import { SnapshotSending } from "./snapshot_sending.ts";
import type { StateFields, Successor } from "./types.ts";

/** A bisection needs as many as a seq has bits. */
const probesMax = 64;

export interface LeaderSessionOptions extends LeaderContext {
  /** 32 unpredictable bytes, new for each session. */
  readonly nonce: Uint8Array;
  readonly reads: SharedReads;
  /** A size of the protocol; tests take a smaller one. */
  readonly snapshotPieceBytes?: number;
}

/** The machine of one connection on the listening side; `now` is the time of the accepted connection. */
export function leaderSession(options: LeaderSessionOptions, now: MonotonicMs): LeaderSession {
  return new Session(options, now);
}

class Session implements LeaderSession {
  phase: LeaderSession["phase"] = "hello";
  proved = false;
  hello: Hello | null = null;
  window = new SendWindow(origin);
  readonly #options: LeaderSessionOptions;
  readonly #handshakeUntil: number;
  readonly #contact: Contact;
  #challenge: Challenge | null = null;
  #verdict: Verdict | null = null;
  #heartbeatAt = 0;
  /** A bulk message was given out and not yet taken by the system. */
  #sending = false;
  /** A heartbeat was due while one was under way. */
  #beatOwed = false;
  /** The log holds more than was given out, as far as this session was told. */
  #more = false;
  #probes = 0;
  /** Number of the newest wish for a sign of life that this follower has heard or will hear with the next heartbeat. */
  #asked = 0;
  #answered = 0;
  /** The nodes that it was told of last. */
  #told: readonly KnownNode[] = [];
  #stream: LeaderStream | null = null;
  /** End of the log when a piece of the snapshot was sent last. */
  #pieceAt: Seq = origin.seq;
  #snapshot: SnapshotSending | null = null;
  #effects: LeaderEffect[] = [];

  constructor(options: LeaderSessionOptions, now: MonotonicMs) {
    const { contactLostMs, heartbeatMs, handshakeMs } = options.tuning;
    this.#options = options;
    this.#handshakeUntil = now + handshakeMs;
    this.#contact = new Contact(contactLostMs, heartbeatMs / 2, now, heartbeatMs);
  }

  get established(): boolean {
    return this.phase === "streaming" || this.phase === "resync";
  }

  get deadline(): MonotonicMs | null {
    if (this.phase === "closed") return null;
    if (!this.established) return monotonicMsOf(this.#handshakeUntil);
    const piece = this.#sending ? null : this.#snapshot?.wakeAt ?? null;
    return monotonicMsOf(
      Math.min(this.#heartbeatAt, this.#contact.deadline, piece ?? Number.POSITIVE_INFINITY),
    );
  }

  get state(): LeaderSession["state"] {
    if (this.#stream !== null) return this.#stream.state;
    return this.snapshot === null ? "resync" : "snapshot";
  }

  get snapshot(): LeaderSession["snapshot"] {
    return this.#snapshot?.progress ?? null;
  }

  silentMs(now: MonotonicMs): number {
    return this.#contact.silentMs(now);
  }

  step(input: LeaderInput, now: MonotonicMs): readonly LeaderEffect[] {
    if (this.phase === "closed") return [];
    this.#effects = [];
    try {
      this.#take(input, now);
    } catch (thrown) {
      // The log could not be read: that ends this session, and no other.
      if (!(thrown instanceof DfdbError)) throw thrown;
      this.#close(thrown, true);
    }
    return this.#effects;
  }

  #take(input: LeaderInput, now: MonotonicMs): void {
    switch (input.type) {
      case "contact":
        return this.#contact.heard(now);
      case "message":
        return this.#onMessage(input.message, now);
      case "committed":
        this.#more = true;
        return this.#pump(now);
      case "sent":
        return this.#onSent(now);
      case "tick":
        return this.#onTick(now);
      case "admitted":
        return this.#onAdmitted(now);
      case "statement":
        return this.#onStatement(input.fields);
      case "say":
        return this.phase === "streaming" ? this.#send(input.message) : undefined;
      case "ask":
        return this.established ? this.#ask(now) : undefined;
      case "leased":
      case "piece":
      case "checksum":
        return this.#onSnapshot(input, now);
      case "refuse":
        return this.#close(input.error, true);
      case "ended":
        return this.#close(input.error, input.error.code !== "unreachable");
      case "stop":
        return this.#onStop(input.successor);
    }
  }

  #onMessage(message: Message, now: MonotonicMs): void {
    if (message.type === "refused") return this.#close(errorOfRefusal(message), false);
    if (message.type === "hello" && this.phase === "hello") return this.#onHello(message);
    if (message.type === "proof" && this.phase === "proof") return this.#onProof(message);
    if (this.phase === "streaming") {
      switch (message.type) {
        case "ack":
          return this.#onAck(message, now);
        case "prepared":
        case "promoted":
        case "declined":
        case "takeOver":
          return void this.#effects.push({ type: "handover", message });
      }
    }
    if (this.phase === "resync") {
      if (message.type === "snapshotAck") return this.#onSnapshotAck(message, now);
      if (this.#snapshot === null) {
        if (message.type === "wantSnapshot") return this.#onWant(message);
        if (message.type === "probe" && this.#verdict?.follow === "rescue") return this.#onProbe(message);
      }
    }
    this.#close(new DfdbError("bad_frame", `a peer must not send "${message.type}" now`), true);
  }

  #onHello(hello: Hello): void {
    this.hello = hello;
    const answer = challengeFor(this.#options, hello, this.#options.nonce);
    if (answer instanceof DfdbError) return this.#close(answer, true);
    this.#challenge = answer;
    // What the peer says before it has seen the challenge may be as old as its connection.
    this.#asked = this.#options.asked();
    this.phase = "proof";
    this.#send(answer);
  }

  #onProof(proof: Proof): void {
    assert(this.hello !== null && this.#challenge !== null, "a proof follows a challenge");
    const { hello } = this, wrong = checkProof(this.#options, hello, this.#challenge, proof);
    if (wrong !== null) return this.#close(wrong, true);
    this.proved = true;
    const strange = judgePeer(this.#options, hello);
    if (strange !== null) return this.#close(strange, true);
    this.#effects.push({ type: "claim", hello });
    if (hello.mode === "control") {
      this.phase = "statement";
      return void this.#effects.push({ type: "state", handover: hello.handover });
    }
    const verdict = judgeFollower(this.#options, hello);
    if (verdict instanceof DfdbError) return this.#close(verdict, true);
    this.#verdict = verdict;
    this.phase = "admission";
    this.#effects.push({ type: "admit", hello });
  }

  #onStatement(fields: StateFields): void {
    assert(this.phase === "statement" && this.hello !== null, "a statement was asked for");
    this.phase = "closed";
    const error = new DfdbError("going_away", "the peer was told what it asked for");
    this.#effects.push({ type: "close", error, last: stateOf(this.#options, this.hello, fields) });
  }

  #onAdmitted(now: MonotonicMs): void {
    assert(
      this.phase === "admission" && this.hello !== null && this.#verdict !== null,
      "admission was asked for",
    );
    const { hello } = this, { tuning } = this.#options, { follow, found } = this.#verdict;
    if (found) this.window = new SendWindow(hello.position);
    if (follow === "stream") this.#stream = new LeaderStream(this.#options, this.window);
    this.phase = follow === "stream" ? "streaming" : "resync";
    this.#heartbeatAt = now + tuning.heartbeatMs;
    this.#contact.heard(now);
    const welcome = welcomeOf(this.#options, hello, follow);
    this.#told = welcome.knownNodes;
    this.#send(welcome);
    this.#effects.push({ type: "established", found });
    if (this.#asked < this.#options.asked()) this.#ask(now);
    else if (this.#asked > 0) this.#sign();
    this.#pump(now);
  }

  #ask(now: MonotonicMs): void {
    this.#asked = this.#options.asked();
    this.#beat(now);
  }

  /** The follower lived after it was asked last. */
  #sign(): void {
    this.#answered = this.#asked;
    this.#effects.push({ type: "sign" });
  }

  #onAnswers(answers = 0): void {
    if (answers > this.#answered && answers === this.#asked) this.#sign();
  }

  #onAck(ack: Ack, now: MonotonicMs): void {
    const wrong = this.window.acknowledge(ack, this.#options.log);
    if (wrong !== null) return this.#close(wrong, true);
    this.#onAnswers(ack.answers);
    if (this.#more) this.#pump(now);
  }

  #onProbe({ seq }: Probe): void {
    if (++this.#probes > probesMax) {
      return this.#close(
        new DfdbError("bad_frame", `a follower must not ask for more than ${probesMax} entries`),
        true,
      );
    }
    this.#send(probedAt(this.#options.log, seq));
  }

  #onWant(wish: WantSnapshot): void {
    const { tuning, snapshotPieceBytes: pieceBytes = limits.snapshotPieceBytes } = this.#options;
    this.#snapshot = new SnapshotSending({ pieceBytes, tuning }, wish);
    this.#pieceAt = this.#options.log.last.seq;
    const { log } = this.#options, { position } = this.hello ?? { position: origin };
    const notBefore = snapshotNotBefore(log, position, this.#verdict?.follow ?? "snapshot");
    this.#effects.push({ type: "acquire", resumeId: wish.resume?.id ?? null, notBefore });
  }

  #onSnapshotAck({ offset, answers }: SnapshotAck, now: MonotonicMs): void {
    const wrong = this.#snapshot?.acknowledge(offset) ?? null;
    if (wrong !== null) return this.#close(wrong, true);
    this.#onAnswers(answers);
    this.#pump(now);
  }

  /** True when the log grew since this was asked for last. */
  #grew(): boolean {
    const { seq } = this.#options.log.last, grew = seq > this.#pieceAt;
    this.#pieceAt = seq;
    return grew;
  }

  #onSnapshot(input: LeaderInput & { type: "leased" | "piece" | "checksum" }, now: MonotonicMs): void {
    assert(this.#snapshot !== null, "a snapshot was asked for");
    if (input.type === "leased") this.#send(this.#snapshot.leased(input.lease));
    else if (input.type === "checksum") this.#send(this.#snapshot.end(input.checksum));
    else {
      const { bytes } = input;
      this.#sending = true;
      this.#send({ type: "snapshotChunk", offset: this.#snapshot.piece(bytes, now, this.#grew()), bytes });
    }
    this.#pump(now);
  }

  #onTick(now: MonotonicMs): void {
    const { handshakeMs, contactLostMs } = this.#options.tuning;
    if (!this.established) {
      if (now < this.#handshakeUntil) return;
      return this.#close(new DfdbError("timeout", `the handshake took longer than ${handshakeMs} ms`), true);
    }
    if (this.#contact.lost(now)) {
      return this.#close(new DfdbError("timeout", `the follower was silent for ${contactLostMs} ms`), false);
    }
    if (now >= this.#heartbeatAt) this.#beat(now);
    this.#pump(now);
  }

  #onSent(now: MonotonicMs): void {
    this.#sending = false;
    if (this.#beatOwed) this.#beat(now);
    if (this.#stream === null || this.#more) this.#pump(now);
  }

  #beat(now: MonotonicMs): void {
    const { log, tuning, readOnly, wall } = this.#options;
    this.#heartbeatAt = now + tuning.heartbeatMs;
    // Behind a message that the follower does not take, heartbeats would only pile up.
    this.#beatOwed = this.#sending;
    if (this.#sending) return;
    const position = log.last, term = log.terms.at(-1) ?? null;
    const beat: Heartbeat = { type: "heartbeat", position, term, readOnly: readOnly(), wallMs: wall() };
    this.#send({ ...beat, ...this.#news(), ...(this.#answered < this.#asked ? { ask: this.#asked } : {}) });
  }

  /** The known nodes, if they are others than this follower was told. */
  #news(): Pick<Heartbeat, "knownNodes"> {
    const knownNodes = this.#nodes();
    if (sameNodes(knownNodes, this.#told)) return {};
    this.#told = knownNodes;
    return { knownNodes };
  }

  #nodes(): KnownNode[] {
    return this.hello === null ? [] : nodesFor(this.#options, this.hello.nodeId);
  }

  #onStop(successor: Successor | null): void {
    if (!this.established) {
      return this.#close(new DfdbError("going_away", "this node stops listening"), true);
    }
    const message = goingAwayOf(this.#options, this.#nodes(), successor);
    this.phase = "closed";
    this.#effects.push({ type: "close", error: new DfdbError("going_away", message.message), last: message });
  }

  /**
   * Gives out the next bulk message, if there is one and the last one was taken. What is committed between two calls of
   * "committed" waits for the next one also where an ack comes sooner: one message for several commits.
   */
  #pump(now: MonotonicMs): void {
    if (this.#sending) return;
    if (this.#stream !== null) return this.#pumpStream(this.#stream);
    const next = this.#snapshot?.next(now) ?? null;
    if (next !== null) this.#effects.push(next);
  }

  #pumpStream(stream: LeaderStream): void {
    const message = stream.next();
    this.#more = this.window.sent.seq < this.#options.log.last.seq;
    if (message === null) return;
    if (message instanceof DfdbError) return this.#close(message, true);
    this.#sending = true;
    this.#send(message);
  }

  #send(message: Message): void {
    this.#effects.push({ type: "send", message });
  }

  #close(error: DfdbError, tell: boolean): void {
    this.phase = "closed";
    const nodes = error.code === "not_leader" && this.proved ? this.#nodes() : [];
    this.#effects.push({ type: "close", error, last: tell ? refusedMessage(error, nodes) : null });
  }
}
