import { DfdbError } from "../base/errors.ts";
import { type NodeId, seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Connection } from "../runtime/net.ts";
import { type Channel, channel } from "../wire/channel.ts";
import { followerBodyBytesMax } from "../wire/frame.ts";
import { type Hello, type Message, nonceBytes } from "../wire/message.ts";
import { crash, Driver, type Tasks } from "../base/driver.ts";
import { positionText } from "../storage/position_text.ts";
import { aheadAdvice, leaderPosition } from "./ahead.ts";
import { asUnreachable, farewell, readToTheEnd } from "./farewell.ts";
import type { LeaderContext } from "./leader_handshake.ts";
import type { LeaderEffect, LeaderInput, LeaderSession } from "./leader_events.ts";
import { leaderSession } from "./leader_session.ts";
import type { RefusedFollowers } from "./refused_followers.ts";
import type { Roster, RosterMember } from "./roster.ts";
import type { SharedReads } from "./shared_reads.ts";
import { SnapshotLending } from "./snapshot_lending.ts";
import type { ConnectedFollower, DurableFollower, PeerClaim, ServeFollowersOptions } from "./types.ts";
import { reachableAddress } from "./wire_address.ts";

export interface FollowerLinkOptions {
  readonly serve: ServeFollowersOptions;
  readonly context: LeaderContext;
  readonly connection: Connection;
  readonly roster: Roster<FollowerLink>;
  readonly tasks: Tasks;
  /** Node id to the code of its last refusal that was logged: a node that tries again for hours is one line. */
  readonly refusals: Map<string, string>;
  readonly refused: RefusedFollowers;
  readonly reads: SharedReads;
  /** An acknowledgement moved, or this follower joined or left. */
  readonly onAcknowledged: () => void;
  /** The follower lived after it was asked last. */
  readonly onSign: (nodeId: NodeId) => void;
}

type HandoverMessage = (LeaderEffect & { type: "handover" })["message"];

/** So many nodes are remembered in `refusals`; then all are forgotten. */
const refusalsMax = 256;

/** One connection on the listening side: feeds its session, performs its effects. */
export class FollowerLink implements RosterMember {
  readonly session: LeaderSession;
  readonly #options: FollowerLinkOptions;
  readonly #channel: Channel;
  readonly #driver: Driver<LeaderInput, LeaderEffect>;
  readonly #connectedAtMs: number;
  readonly #endpoint: string;
  readonly #peerHost: string;
  readonly #reading: Promise<void>;
  readonly #lending: SnapshotLending;
  #established = false;

  constructor(options: FollowerLinkOptions) {
    const { connection, context, serve, reads } = options, { clock, random } = serve.runtime;
    this.#options = options;
    this.#connectedAtMs = clock.wall();
    this.#peerHost = connection.remote.hostname;
    this.#endpoint = `${connection.remote.hostname}:${connection.remote.port}`;
    this.session = leaderSession({ ...context, reads, nonce: random.bytes(nonceBytes) }, clock.monotonic());
    this.#lending = new SnapshotLending(serve.snapshots, (input) => this.feed(input));
    this.#driver = new Driver(this.session, clock, (effect) => this.#perform(effect));
    const onBytes = (): void => this.feed({ type: "contact" }), { encode } = reads;
    this.#channel = channel({ connection, bodyBytesMax: limits.helloBytesMax, onBytes, encode });
    this.#driver.aim();
    this.#reading = readToTheEnd(
      this.#channel,
      (message) => this.#receive(message),
      (error) => this.feed({ type: "ended", error }),
    );
    options.tasks.add(this.#reading);
  }

  get heard(): boolean {
    return this.#channel.heard;
  }

  refuse(error: DfdbError): void {
    this.feed({ type: "refuse", error });
  }

  /** Never throws: what our own code got wrong ends the process. */
  feed(input: LeaderInput): void {
    try {
      this.#driver.feed(input);
    } catch (thrown) {
      crash(this.#options.serve.runtime.clock, thrown);
    }
  }

  /** What the status shows; null before the handshake is complete. */
  describe(): ConnectedFollower | null {
    const { session } = this, { log, runtime } = this.#options.serve, { hello, window } = session;
    if (!session.established || hello === null) return null;
    // Where it was trimmed away, the first entry kept is the oldest that can tell its age.
    const oldest = log.wallMsAt(seqOf(Math.max(window.acked.seq + 1, log.first)));
    return {
      nodeId: hello.nodeId,
      nodeName: hello.nodeName,
      candidate: hello.autoFailover,
      endpoint: this.#endpoint,
      httpUrl: hello.httpUrl,
      connectedAtMs: this.#connectedAtMs,
      handshakeSeq: hello.position.seq,
      sentSeq: window.sent.seq,
      ackedSeq: window.acked.seq,
      lagSeq: Math.max(0, log.last.seq - window.acked.seq),
      lagMs: oldest === null ? 0 : Math.max(0, runtime.clock.wall() - oldest),
      bytesInFlight: window.bytesInFlight,
      bytesBehind: log.bytesAfter(window.acked.seq),
      state: session.state,
      snapshot: session.snapshot,
      mode: "logical",
    };
  }

  /** What it holds durably; null until it streams. */
  durable(): DurableFollower | null {
    const { hello, phase, window } = this.session;
    if (phase !== "streaming" || hello === null) return null;
    const { nodeId, nodeName, autoFailover } = hello;
    return { nodeId, nodeName, seq: window.acked.seq, candidate: autoFailover };
  }

  #receive(message: Message): void {
    const before = this.session.window.acked;
    this.feed({ type: "message", message });
    if (message.type === "ack" && this.session.window.acked !== before) this.#options.onAcknowledged();
  }

  #perform(effect: LeaderEffect): void {
    switch (effect.type) {
      case "claim":
        return this.#claim(effect.hello);
      case "state":
        return this.#options.tasks.add(this.#state(effect.handover));
      case "admit":
        return this.#admit();
      case "handover":
      case "sign":
        return this.#pass(effect);
      case "send":
        return this.#send(effect);
      case "established":
        return this.#onEstablished(effect.found);
      case "acquire":
      case "read":
      case "checksum":
        return this.#options.tasks.add(this.#lending.perform(effect));
      case "close":
        return this.#close(effect);
    }
  }

  #claim(hello: Hello): void {
    const { roster, serve } = this.#options, { nodeId, nodeName, httpUrl, leads, leader, terms } = hello;
    const follows = hello.mode === "logical";
    if (follows) roster.supersede(this);
    const wireAddress = reachableAddress(hello.wireAddress, this.#peerHost);
    const peer: PeerClaim["peer"] = { nodeId, nodeName, httpUrl, wireAddress };
    serve.onClaim({ peer, leads: follows ? null : leads, newest: terms.at(-1) ?? null, leader, follows });
  }

  async #state(handover: string | null): Promise<void> {
    try {
      this.feed({ type: "statement", fields: await this.#options.serve.statement(handover) });
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      this.refuse(thrown);
    }
  }

  #admit(): void {
    const { roster, serve: { runtime: { clock }, candidates } } = this.#options;
    const error = roster.admit(this, clock.monotonic(), ({ nodeId, nodeName, autoFailover, silenceMs }) => {
      if (autoFailover) return candidates.accept(nodeId, nodeName, silenceMs);
      candidates.withdrew(nodeId);
      return null;
    });
    this.feed(error === null ? { type: "admitted" } : { type: "refuse", error });
  }

  #pass(effect: LeaderEffect & { type: "handover" | "sign" }): void {
    const { onSign, serve } = this.#options, { hello } = this.session;
    if (hello === null) return;
    if (effect.type === "sign") onSign(hello.nodeId);
    else serve.handover.received(hello.nodeId, this.#reachable(effect.message));
  }

  /** A target may lead elsewhere than its hello said; it knows no more of its host than then. */
  #reachable(message: HandoverMessage): HandoverMessage {
    if (message.type !== "prepared") return message;
    return { ...message, wireAddress: reachableAddress(message.wireAddress, this.#peerHost) };
  }

  #send(effect: LeaderEffect & { type: "send" }): void {
    const { type } = effect.message, bulk = type === "append" || type === "part" || type === "snapshotChunk";
    const taken = (): void => void (bulk && this.feed({ type: "sent" }));
    const sent = this.#channel.send(effect.message);
    if (sent === null) taken();
    else sent.then(taken, (thrown) => this.feed({ type: "ended", error: asUnreachable(thrown) }));
  }

  #onEstablished(found: boolean): void {
    const { refusals, refused, serve, onAcknowledged } = this.#options, { hello } = this.session;
    this.#channel.bodyBytesMax = followerBodyBytesMax;
    this.#established = true;
    if (hello === null) return;
    const { nodeId, nodeName, position, autoFailover } = hello;
    refusals.delete(nodeId);
    refused.admitted(nodeId);
    serve.logger.info("follower connected", this.#fields());
    if (found) serve.onFound({ nodeId, nodeName, seq: position.seq, candidate: autoFailover });
    else serve.onStranger(nodeId);
    onAcknowledged();
  }

  #close(effect: LeaderEffect & { type: "close" }): void {
    const { roster, serve, tasks, onAcknowledged } = this.#options, { code, message } = effect.error;
    const { hello } = this.session, told = effect.last?.type === "state";
    roster.remove(this);
    this.#lending.close();
    tasks.add(farewell(this.#channel, serve.runtime.clock, effect.last, this.#reading));
    const fields = { ...this.#fields(), code, reason: message, ...aheadFields(effect.error, hello) };
    if (this.#established) serve.logger.info("follower left", fields);
    else if (told) serve.logger.debug("a peer was told the state", fields);
    else if (this.#isNews(code)) {
      serve.logger.warn(hello?.mode === "control" ? "peer refused" : "follower refused", fields);
    } else serve.logger.debug("connection closed in the handshake", fields);
    this.#remember(effect.error);
    if (!this.#established) return;
    onAcknowledged();
    if (hello !== null) serve.handover.left(hello.nodeId);
  }

  /** Keeps for the status why a node whose proof was right was turned away. */
  #remember(error: DfdbError): void {
    const { refused, serve } = this.#options, { hello, proved } = this.session;
    if (hello === null || !proved || hello.mode === "control") return;
    const { nodeId, nodeName, position } = hello, { code, message } = error;
    const follower = { nodeId, nodeName, code, message, position, atMs: serve.runtime.clock.wall() };
    refused.add(follower);
    if (code === "ahead" && !this.#established) serve.onAhead(follower);
  }

  #isNews(code: string): boolean {
    const { refusals } = this.#options, node = this.session.hello?.nodeId;
    if (node === undefined || code === "unreachable" || refusals.get(node) === code) return false;
    if (refusals.size >= refusalsMax) refusals.clear();
    refusals.set(node, code);
    return true;
  }

  #fields(): Record<string, string | number> {
    const { hello } = this.session;
    if (hello === null) return { endpoint: this.#endpoint };
    return { endpoint: this.#endpoint, node: hello.nodeName, nodeId: hello.nodeId, seq: hello.position.seq };
  }
}

/** What the line of a follower that is ahead says beside its reason. */
function aheadFields(error: DfdbError, hello: Hello | null): Record<string, string> {
  if (error.code !== "ahead" || hello === null) return {};
  return {
    position: positionText(hello.position, hello.position.seq),
    leaderPosition: leaderPosition(error) ?? "unknown",
    advice: aheadAdvice,
  };
}
