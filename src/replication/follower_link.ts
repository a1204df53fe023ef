import type { DfdbError } from "../base/errors.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Connection } from "../runtime/net.ts";
import { type Channel, channel } from "../wire/channel.ts";
import { followerBodyBytesMax } from "../wire/frame.ts";
import { nonceBytes } from "../wire/message.ts";
import { crash, Driver, type Tasks } from "./driver.ts";
import { asUnreachable, farewell, readToTheEnd } from "./farewell.ts";
import type { LeaderContext } from "./leader_handshake.ts";
import { type LeaderEffect, type LeaderInput, type LeaderSession, leaderSession } from "./leader_session.ts";
import type { Roster, RosterMember } from "./roster.ts";
import type { ConnectedFollower, ServeFollowersOptions } from "./types.ts";

export interface FollowerLinkOptions {
  readonly serve: ServeFollowersOptions;
  readonly context: LeaderContext;
  readonly connection: Connection;
  readonly roster: Roster<FollowerLink>;
  readonly tasks: Tasks;
  /** Node id to the code of its last refusal that was logged: a node that tries again for hours is one line. */
  readonly refusals: Map<string, string>;
}

/** So many nodes are remembered in `refusals`; then all are forgotten. */
const refusalsMax = 256;

/** One connection on the leader's side: feeds its session, performs its effects. */
export class FollowerLink implements RosterMember {
  readonly session: LeaderSession;
  readonly #options: FollowerLinkOptions;
  readonly #channel: Channel;
  readonly #driver: Driver<LeaderInput, LeaderEffect>;
  readonly #connectedAtMs: number;
  readonly #endpoint: string;
  readonly #reading: Promise<void>;
  #established = false;

  constructor(options: FollowerLinkOptions) {
    const { connection, context, serve } = options, { clock, random } = serve.runtime;
    this.#options = options;
    this.#connectedAtMs = clock.wall();
    this.#endpoint = `${connection.remote.hostname}:${connection.remote.port}`;
    this.session = leaderSession({ ...context, nonce: random.bytes(nonceBytes) }, clock.monotonic());
    this.#driver = new Driver(this.session, clock, (effect) => this.#perform(effect));
    const onBytes = (): void => this.feed({ type: "contact" });
    this.#channel = channel({ connection, bodyBytesMax: limits.helloBytesMax, onBytes });
    this.#driver.aim();
    this.#reading = readToTheEnd(
      this.#channel,
      (message) => this.feed({ type: "message", message }),
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
    if (session.phase !== "streaming" || hello === null) return null;
    const oldest = window.acked.seq < log.last.seq
      // Where it was trimmed away, the first entry kept is the oldest that can tell its age.
      ? log.entries(seqOf(Math.max(window.acked.seq, log.first - 1)), { bytesMax: 1, entriesMax: 1 })
      : [];
    const entry = oldest === "compacted" ? undefined : oldest[0];
    return {
      nodeId: hello.nodeId,
      nodeName: hello.nodeName,
      endpoint: this.#endpoint,
      httpUrl: hello.httpUrl,
      connectedAtMs: this.#connectedAtMs,
      handshakeSeq: hello.position.seq,
      sentSeq: window.sent.seq,
      ackedSeq: window.acked.seq,
      lagSeq: Math.max(0, log.last.seq - window.acked.seq),
      lagMs: entry === undefined ? 0 : Math.max(0, runtime.clock.wall() - entry.wallMs),
      bytesInFlight: window.bytesInFlight,
      state: session.state,
      mode: "logical",
    };
  }

  #perform(effect: LeaderEffect): void {
    const { roster, serve } = this.#options, { clock } = serve.runtime;
    switch (effect.type) {
      case "admit": {
        const error = roster.admit(this, clock.monotonic());
        return this.feed(error === null ? { type: "admitted" } : { type: "refuse", error });
      }
      case "send":
        return this.#send(effect);
      case "established":
        this.#channel.bodyBytesMax = followerBodyBytesMax;
        this.#established = true;
        this.#options.refusals.delete(this.session.hello?.nodeId ?? "");
        return serve.logger.info("follower connected", this.#fields());
      case "close":
        return this.#close(effect);
    }
  }

  #send(effect: LeaderEffect & { type: "send" }): void {
    const { message } = effect;
    const sent = this.#channel.send(message);
    sent.then(() => {
      if (message.type === "append") this.feed({ type: "sent" });
    }, (thrown) => this.feed({ type: "ended", error: asUnreachable(thrown) }));
  }

  #close(effect: LeaderEffect & { type: "close" }): void {
    const { roster, serve, tasks } = this.#options, { code, message } = effect.error;
    roster.remove(this);
    tasks.add(farewell(this.#channel, serve.runtime.clock, effect.last, this.#reading));
    const fields = { ...this.#fields(), code, reason: message };
    if (this.#established) serve.logger.info("follower left", fields);
    else if (this.#isNews(code)) serve.logger.warn("follower refused", fields);
    else serve.logger.debug("connection closed in the handshake", fields);
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
