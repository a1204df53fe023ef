import { InvariantError } from "../base/assert.ts";
import { hex } from "../base/bytes.ts";
import { DfdbError } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { LogEntry, Position } from "../storage/log.ts";
import { type Channel, channel } from "../wire/channel.ts";
import type { Declined, Message, Prepared, Promoted, TakeOver } from "../wire/message.ts";
import { crash, Driver, Tasks } from "../base/driver.ts";
import { positionText } from "../storage/position_text.ts";
import { aheadAdvice } from "./ahead.ts";
import { asUnreachable, farewell, readToTheEnd } from "./farewell.ts";
import type { FollowerEffect, FollowerInput, FollowerSession } from "./follower_events.ts";
import { followerSession } from "./follower_session.ts";
import { statusOf } from "./follower_status.ts";
import { dialable, LeaderAddresses } from "./leader_addresses.ts";
import { asDfdbError, ResyncCalls } from "./resync_calls.ts";
import type { FollowingStatus, FollowLeaderOptions, LeaderFollowing } from "./types.ts";
import { formatWireAddress, type WireAddress } from "./wire_address.ts";

/** Largest apply transaction. */
const applyEntriesMax = 2_000;
const applyBytesMax = 4 * 1024 * 1024;
/** About the longest time that one apply holds the thread, fsync included, ms. */
const applyMs = 50;

/** So many addresses are remembered in `logged`; then all are forgotten. */
const loggedMax = 32;

/** Follows whoever leads until closed; never gives up. Does not wait for the first connection. */
export function followLeader(options: FollowLeaderOptions): LeaderFollowing {
  return new Following(options);
}

/** One attempt and, when it succeeded, its connection. */
interface Link {
  readonly attempt: AbortController;
  channel: Channel | null;
  reading: Promise<void>;
}

class Following implements LeaderFollowing {
  readonly #options: FollowLeaderOptions;
  readonly #session: FollowerSession;
  readonly #driver: Driver<FollowerInput, FollowerEffect>;
  readonly #tasks: Tasks;
  readonly #calls: ResyncCalls;
  readonly #addresses: LeaderAddresses;
  #link: Link | null = null;
  /** Goes on reading; null while nobody waits for that. */
  #wake: (() => void) | null = null;
  /** Address to its last failure that was logged; the same again is not news. */
  readonly #logged = new Map<string, string>();
  /** A leader has welcomed this node on the present connection. */
  #up = false;
  #closed = false;

  constructor(options: FollowLeaderOptions) {
    const { runtime, identity, databaseId, secret, log, tuning, lastLeader } = options;
    const { clock, random, crypto } = runtime;
    const instance = hex(random.bytes(16));
    this.#options = options;
    this.#addresses = new LeaderAddresses({
      configured: options.leader,
      last: options.lastAddress,
      known: options.knownNodes,
      self: identity,
    });
    const context = { identity, instance, databaseId, secret, crypto, random, log, lastLeader };
    const bounds = { tuning, applyEntriesMax, applyBytesMax, applyMs };
    this.#session = followerSession({ ...context, ...bounds, addresses: this.#addresses });
    this.#driver = new Driver(this.#session, clock, (effect) => this.#perform(effect));
    this.#tasks = new Tasks(clock);
    this.#calls = new ResyncCalls(options.resync, (input) => this.#feed(input));
    this.#feed({ type: "start" });
  }

  status(): FollowingStatus {
    return statusOf(this.#session, this.#options, this.#address());
  }

  holdAfter(seq: Seq | null): void {
    this.#feed({ type: "hold", seq });
  }

  resync(): void {
    this.#feed({ type: "resync" });
  }

  reconnect(reason: string): void {
    this.#feed({ type: "reconnect", reason });
  }

  tryFirst(address: string): void {
    const there = dialable(address);
    if (there !== null) this.#feed({ type: "tryFirst", address: there });
  }

  send(message: Prepared | Promoted | Declined | TakeOver): boolean {
    if (this.#closed || !this.#session.streaming) return false;
    this.#send({ type: "send", message });
    return true;
  }

  unfit(): string | null {
    return this.#session.unfit;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#calls.stop();
    this.#feed({ type: "stop" });
    await this.#tasks.settled();
  }

  #perform(effect: FollowerEffect): void {
    const { handover, onKnownNodes, onLeaderHint, runtime: { clock } } = this.#options;
    if (this.#closed && effect.type !== "disconnect") return;
    switch (effect.type) {
      case "connect":
        return this.#tasks.add(this.#run(effect.address));
      case "send":
        return this.#send(effect);
      case "adopt":
        return this.#guard(() => this.#options.adoptDatabaseId(effect.databaseId));
      case "established":
        return this.#onEstablished(effect);
      case "hint":
        return onLeaderHint({ httpUrl: effect.httpUrl });
      case "knownNodes":
        return onKnownNodes(effect.nodes);
      case "handover":
        return handover.received(effect.message);
      case "applySoon":
        return clock.macrotask(() => this.#feed({ type: "applyNow" }));
      case "apply":
        return this.#apply(effect.entries);
      case "disconnect":
        return this.#disconnect(effect);
      default:
        return this.#tasks.add(this.#calls.make(effect));
    }
  }

  #onEstablished({ leader, welcome, knownNodes }: FollowerEffect & { type: "established" }): void {
    const { logger, onLine, onWelcome } = this.#options, endpoint = formatWireAddress(this.#address());
    const { candidate, heartbeatMs, term } = welcome;
    if (this.#link?.channel) this.#link.channel.bodyBytesMax = limits.frameBytesMax;
    this.#logged.clear();
    this.#up = true;
    logger.info("following the leader", { endpoint });
    onWelcome({ leader, endpoint, term, knownNodes, candidate, heartbeatMs });
    onLine(true, null);
  }

  #apply(entries: readonly LogEntry[]): void {
    const done = (position: Position, slowly = true): void =>
      this.#feed({ type: "applied", position, slowly });
    this.#guard(() => {
      const applied = this.#options.apply(entries);
      if (!(applied instanceof Promise)) return done(applied, false);
      this.#tasks.add(applied.then((position) => done(position), (thrown) => this.#applyFailed(thrown)));
    });
  }

  /** Runs what belongs to the node; what it throws becomes the reason why this connection ends. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#applyFailed(thrown);
    }
  }

  #applyFailed(thrown: unknown): void {
    if (thrown instanceof InvariantError) throw thrown;
    this.#feed({ type: "applyFailed", error: asDfdbError(thrown) });
  }

  #send(effect: FollowerEffect & { type: "send" }): void {
    const link = this.#link;
    link?.channel?.send(effect.message)?.catch((thrown) =>
      this.#feedFrom(link, { type: "ended", error: asUnreachable(thrown) })
    );
  }

  #disconnect(effect: FollowerEffect & { type: "disconnect" }): void {
    const link = this.#link, { error } = effect;
    this.#link = null;
    link?.attempt.abort();
    if (link?.channel) {
      this.#tasks.add(farewell(link.channel, this.#options.runtime.clock, effect.last, link.reading));
    }
    if (effect.news) this.#log(error);
    if (!this.#up) return;
    this.#up = false;
    if (!this.#closed) this.#options.onLine(false, error);
  }

  #log({ code, message }: DfdbError): void {
    const endpoint = formatWireAddress(this.#address()), line = `${code}: ${message}`;
    if (this.#logged.get(endpoint) === line) return;
    if (this.#logged.size >= loggedMax) this.#logged.clear();
    this.#logged.set(endpoint, line);
    const fields = { endpoint, code, reason: message };
    this.#options.logger.warn("not following the leader", { ...fields, ...this.#aheadFields(code) });
  }

  #aheadFields(code: string): Record<string, string> {
    if (code !== "ahead") return {};
    const { nodeId, nodeName, position } = this.#session.aheadOf ?? {}, { last } = this.#options.log;
    return {
      leader: nodeName ?? "unknown",
      leaderId: nodeId ?? "unknown",
      leaderPosition: position ?? "unknown",
      position: positionText(last, last.seq),
      advice: aheadAdvice,
    };
  }

  /** From the attempt to the end of the connection. */
  async #run({ hostname, port }: WireAddress): Promise<void> {
    const { runtime, tls } = this.#options;
    const link: Link = { attempt: new AbortController(), channel: null, reading: Promise.resolve() };
    this.#link = link;
    try {
      const { signal } = link.attempt;
      const connection = await runtime.net.connect({ hostname, port, tls, signal });
      if (this.#link !== link) return connection.abort(new DfdbError("going_away", "connected too late"));
      const onBytes = (): void => this.#onBytes(link);
      link.channel = channel({ connection, bodyBytesMax: limits.helloBytesMax, onBytes });
    } catch (thrown) {
      return this.#feedFrom(link, { type: "ended", error: asUnreachable(thrown) });
    }
    link.reading = readToTheEnd(
      link.channel,
      (message) => this.#onMessage(link, message),
      (error) => this.#feedFrom(link, { type: "ended", error }),
    );
    this.#feedFrom(link, { type: "connected" });
    await link.reading;
  }

  #onBytes(link: Link): void {
    if (this.#link === link && this.#session.peer === "leader") this.#contact();
    this.#feedFrom(link, { type: "contact" });
  }

  #contact(): void {
    if (!this.#closed) this.#options.onContact();
  }

  async #onMessage(link: Link, message: Message): Promise<void> {
    const { type } = message, unknown = this.#link === link && this.#session.peer === "unknown";
    if (type === "refused" && unknown && this.#addresses.atLast) this.#contact();
    this.#feedFrom(link, { type: "message", message });
    if (this.#closed) return;
    // The bytes of the challenge came before anybody knew whose they were.
    if (type === "challenge" && this.#link === link && this.#session.peer === "leader") this.#contact();
    const { term } = this.#session.leader;
    if (term !== null) this.#options.onEpoch(term.epoch);
    // Not reading is what makes the leader slow down.
    while (this.#session.congested && this.#link === link) {
      await new Promise<void>((resolve) => void (this.#wake = resolve));
    }
  }

  #feed(input: FollowerInput): void {
    this.#driver.feed(input);
    if (this.#wake === null || this.#session.congested) return;
    const wake = this.#wake;
    this.#wake = null;
    wake();
  }

  /** Inputs of a connection that is not the present one any more are of no interest. */
  #feedFrom(link: Link | null, input: FollowerInput): void {
    if (link === null || this.#link !== link) return;
    try {
      this.#feed(input);
    } catch (thrown) {
      crash(this.#options.runtime.clock, thrown);
    }
  }

  #address(): WireAddress {
    return this.#addresses.current ?? this.#options.leader;
  }
}
