import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs, Seq } from "../base/ids.ts";
import { monotonicMsOf } from "../base/ids.ts";
import type { Machine, Tick } from "../base/machine.ts";
import { origin } from "../storage/log.ts";
import type { Ack, Challenge, GoingAway, Hello, Message, Proof } from "../wire/message.ts";
import { Contact } from "./contact.ts";
import { challengeFor, judgeFollower, type LeaderContext, welcomeOf } from "./leader_handshake.ts";
import { errorOfRefusal, refusedMessage } from "./refusal.ts";
import { SendWindow } from "./send_window.ts";

export type LeaderInput =
  | Tick
  | { readonly type: "message"; readonly message: Message }
  /** Bytes moved. */
  | { readonly type: "contact" }
  /** The append given out last was taken by the system. */
  | { readonly type: "sent" }
  /** The log may have grown. */
  | { readonly type: "committed" }
  /** Answer to `admit`. */
  | { readonly type: "admitted" }
  /** The session is to end, and the follower is to be told why. */
  | { readonly type: "refuse"; readonly error: DfdbError }
  /** The node stops. */
  | { readonly type: "stop" }
  /** The connection ended by itself or brought nonsense. */
  | { readonly type: "ended"; readonly error: DfdbError };

export type LeaderEffect =
  /** To be answered at once with `admitted` or `refuse`. */
  | { readonly type: "admit"; readonly hello: Hello }
  | { readonly type: "send"; readonly message: Message }
  /** The handshake is complete: from now on larger bodies may come. */
  | { readonly type: "established" }
  /** Nothing comes after it. The peer is sent `last` before the connection is closed; null: it is cut at once. */
  | { readonly type: "close"; readonly error: DfdbError; readonly last: Message | null };

export interface LeaderSessionOptions extends LeaderContext {
  /** 32 unpredictable bytes, new for each session. */
  readonly nonce: Uint8Array;
}

/** What a leader knows of one connected follower, and what it sends it next. */
export interface LeaderSession extends Machine<LeaderInput, LeaderEffect> {
  readonly phase: "hello" | "proof" | "admission" | "streaming" | "closed";
  /** Null before it was received. */
  readonly hello: Hello | null;
  readonly window: SendWindow;
  readonly state: "catching_up" | "streaming";
  /** When the last byte came or moved. */
  readonly heardAt: number;
}

/** The machine of one connection on the leader's side; `now` is the time of the accepted connection. */
export function leaderSession(options: LeaderSessionOptions, now: MonotonicMs): LeaderSession {
  return new Session(options, now);
}

class Session implements LeaderSession {
  phase: LeaderSession["phase"] = "hello";
  hello: Hello | null = null;
  window = new SendWindow(origin);
  readonly #options: LeaderSessionOptions;
  readonly #handshakeUntil: number;
  readonly #contact: Contact;
  #challenge: Challenge | null = null;
  #heartbeatAt = 0;
  /** An append was given out and not yet taken by the system. */
  #sending = false;
  /** Catching up until this is acknowledged. */
  #behindUntil: Seq = origin.seq;
  #effects: LeaderEffect[] = [];

  constructor(options: LeaderSessionOptions, now: MonotonicMs) {
    const { contactLostMs, heartbeatMs, handshakeMs } = options.tuning;
    this.#options = options;
    this.#handshakeUntil = now + handshakeMs;
    this.#contact = new Contact(contactLostMs, heartbeatMs / 2, now);
  }

  get deadline(): MonotonicMs | null {
    if (this.phase === "closed") return null;
    if (this.phase !== "streaming") return monotonicMsOf(this.#handshakeUntil);
    return monotonicMsOf(Math.min(this.#heartbeatAt, this.#contact.deadline));
  }

  get state(): "catching_up" | "streaming" {
    return this.window.acked.seq < this.#behindUntil ? "catching_up" : "streaming";
  }

  get heardAt(): number {
    return this.#contact.heardAt;
  }

  step(input: LeaderInput, now: MonotonicMs): readonly LeaderEffect[] {
    if (this.phase === "closed") return [];
    this.#effects = [];
    this.#take(input, now);
    return this.#effects;
  }

  #take(input: LeaderInput, now: MonotonicMs): void {
    switch (input.type) {
      case "contact":
        return this.#contact.heard(now);
      case "message":
        return this.#onMessage(input.message);
      case "committed":
        return this.#pump();
      case "sent":
        this.#sending = false;
        return this.#pump();
      case "tick":
        return this.#onTick(now);
      case "admitted":
        return this.#onAdmitted(now);
      case "refuse":
        return this.#close(input.error, true);
      case "ended":
        return this.#close(input.error, input.error.code !== "unreachable");
      case "stop":
        return this.#onStop();
    }
  }

  #onMessage(message: Message): void {
    if (message.type === "refused") return this.#close(errorOfRefusal(message), false);
    if (message.type === "hello" && this.phase === "hello") return this.#onHello(message);
    if (message.type === "proof" && this.phase === "proof") return this.#onProof(message);
    if (message.type === "ack" && this.phase === "streaming") return this.#onAck(message);
    this.#close(new DfdbError("bad_frame", `a follower must not send "${message.type}" now`), true);
  }

  #onHello(hello: Hello): void {
    this.hello = hello;
    const answer = challengeFor(this.#options, hello, this.#options.nonce);
    if (answer instanceof DfdbError) return this.#close(answer, true);
    this.#challenge = answer;
    this.phase = "proof";
    this.#send(answer);
  }

  #onProof(proof: Proof): void {
    assert(this.hello !== null && this.#challenge !== null, "a proof follows a challenge");
    const refusal = judgeFollower(this.#options, this.hello, this.#challenge, proof);
    if (refusal !== null) return this.#close(refusal, true);
    this.phase = "admission";
    this.#effects.push({ type: "admit", hello: this.hello });
  }

  #onAdmitted(now: MonotonicMs): void {
    assert(this.phase === "admission" && this.hello !== null, "admission was asked for");
    const { log, tuning } = this.#options;
    this.phase = "streaming";
    this.window = new SendWindow(this.hello.position);
    this.#behindUntil = log.last.seq;
    this.#heartbeatAt = now + tuning.heartbeatMs;
    this.#contact.heard(now);
    this.#send(welcomeOf(this.#options));
    this.#effects.push({ type: "established" });
    this.#pump();
  }

  #onAck(ack: Ack): void {
    const wrong = this.window.acknowledge(ack, this.#options.log);
    if (wrong !== null) return this.#close(wrong, true);
    this.#pump();
  }

  #onTick(now: MonotonicMs): void {
    const { handshakeMs, contactLostMs } = this.#options.tuning;
    if (this.phase !== "streaming") {
      if (now < this.#handshakeUntil) return;
      return this.#close(new DfdbError("timeout", `the handshake took longer than ${handshakeMs} ms`), true);
    }
    if (this.#contact.lost(now)) {
      return this.#close(new DfdbError("timeout", `the follower was silent for ${contactLostMs} ms`), false);
    }
    if (now >= this.#heartbeatAt) this.#beat(now);
  }

  #beat(now: MonotonicMs): void {
    const { log, tuning, readOnly, wall } = this.#options;
    this.#heartbeatAt = now + tuning.heartbeatMs;
    // Behind an append that the follower does not take, heartbeats would only pile up.
    if (this.#sending) return;
    this.#send({
      type: "heartbeat",
      position: log.last,
      term: log.terms.at(-1) ?? null,
      readOnly: readOnly(),
      wallMs: wall(),
    });
  }

  #onStop(): void {
    const { identity, knownNodes } = this.#options;
    if (this.phase !== "streaming") {
      return this.#close(new DfdbError("going_away", "the leader is stopping"), true);
    }
    const { httpUrl, wireAddress } = identity;
    const message: GoingAway = {
      type: "goingAway",
      message: "the leader is stopping",
      httpUrl,
      wireAddress,
      knownNodes: knownNodes(),
    };
    this.phase = "closed";
    this.#effects.push({ type: "close", error: new DfdbError("going_away", message.message), last: message });
  }

  /** Sends the next piece of the log, if there is one, the window has room, and the last piece was taken. */
  #pump(): void {
    if (this.phase !== "streaming" || this.#sending) return;
    const { log, tuning } = this.#options;
    const { sent, bytesInFlight } = this.window;
    if (log.last.seq <= sent.seq) return;
    if (bytesInFlight > 0 && bytesInFlight + tuning.appendBytes > tuning.windowBytes) {
      this.#behindUntil = log.last.seq;
      return;
    }
    const bytesMax = Math.min(tuning.appendBytes, tuning.windowBytes);
    const entries = log.entries(sent.seq, { bytesMax, entriesMax: tuning.appendEntriesMax });
    if (entries === "compacted") {
      return this.#close(new DfdbError("compacted", "the log was trimmed before the follower took it"), true);
    }
    if (entries.length === 0) return;
    assert(entries[0]?.seq === sent.seq + 1, "the log has no holes");
    this.window.add(entries);
    this.#sending = true;
    this.#send({ type: "append", previous: sent, entries });
  }

  #send(message: Message): void {
    this.#effects.push({ type: "send", message });
  }

  #close(error: DfdbError, tell: boolean): void {
    this.phase = "closed";
    this.#effects.push({ type: "close", error, last: tell ? refusedMessage(error) : null });
  }
}
