import { InvariantError } from "../base/assert.ts";
import { hex } from "../base/bytes.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { LogEntry } from "../storage/log.ts";
import { type Channel, channel } from "../wire/channel.ts";
import type { Message } from "../wire/message.ts";
import { crash, Driver, Tasks } from "./driver.ts";
import { asUnreachable, farewell, readToTheEnd } from "./farewell.ts";
import type { FollowerEffect, FollowerInput, FollowerSession } from "./follower_events.ts";
import { followerSession } from "./follower_session.ts";
import { statusOf } from "./follower_status.ts";
import type { FollowingStatus, FollowLeaderOptions, LeaderFollowing } from "./types.ts";

/** Largest apply transaction. */
const applyEntriesMax = 2_000;
const applyBytesMax = 4 * 1024 * 1024;
/** About the longest time that one apply holds the thread, fsync included, ms. */
const applyMs = 50;

/** Follows a leader until closed; never gives up. Does not wait for the first connection. */
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
  #link: Link | null = null;
  /** The last failure that was logged; the same again is not news. */
  #logged = "";

  constructor(options: FollowLeaderOptions) {
    const { runtime, identity, databaseId, secret, log, tuning } = options;
    const { clock, random, crypto } = runtime;
    const instance = hex(random.bytes(16));
    this.#options = options;
    const context = { identity, instance, databaseId, secret, crypto, random, log };
    this.#session = followerSession({ ...context, tuning, applyEntriesMax, applyBytesMax, applyMs });
    this.#driver = new Driver(this.#session, clock, (effect) => this.#perform(effect));
    this.#tasks = new Tasks(clock);
    this.#driver.feed({ type: "start" });
  }

  status(): FollowingStatus {
    return statusOf(this.#session, this.#options);
  }

  async close(): Promise<void> {
    this.#driver.feed({ type: "stop" });
    await this.#tasks.settled();
  }

  #perform(effect: FollowerEffect): void {
    const { clock } = this.#options.runtime;
    switch (effect.type) {
      case "connect":
        return this.#tasks.add(this.#run());
      case "send":
        return this.#send(effect);
      case "adopt":
        return this.#guard(() => this.#options.adoptDatabaseId(effect.databaseId));
      case "established":
        if (this.#link?.channel) this.#link.channel.bodyBytesMax = limits.frameBytesMax;
        this.#logged = "";
        return this.#options.logger.info("following the leader", { endpoint: this.#endpoint() });
      case "hint":
        return this.#options.onLeaderHint({ httpUrl: effect.httpUrl });
      case "applySoon":
        return clock.macrotask(() => this.#driver.feed({ type: "applyNow" }));
      case "apply":
        return this.#apply(effect.entries);
      case "disconnect":
        return this.#disconnect(effect);
    }
  }

  #apply(entries: readonly LogEntry[]): void {
    this.#guard(() => this.#driver.feed({ type: "applied", position: this.#options.apply(entries) }));
  }

  /** Runs what belongs to the node; what it throws becomes the reason why this connection ends. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      const error = thrown instanceof DfdbError
        ? thrown
        : new DfdbError("internal", messageOf(thrown), { cause: thrown });
      this.#driver.feed({ type: "applyFailed", error });
    }
  }

  #send(effect: FollowerEffect & { type: "send" }): void {
    const link = this.#link;
    link?.channel?.send(effect.message).catch((thrown) =>
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
    if (this.#session.state === "stopped") return; // its own wish is no news
    const line = `${error.code}: ${error.message}`;
    if (line === this.#logged) return;
    this.#logged = line;
    this.#options.logger.warn("not following the leader", {
      endpoint: this.#endpoint(),
      code: error.code,
      reason: error.message,
    });
  }

  /** From the attempt to the end of the connection. */
  async #run(): Promise<void> {
    const { runtime, leader } = this.#options;
    const link: Link = { attempt: new AbortController(), channel: null, reading: Promise.resolve() };
    this.#link = link;
    try {
      const connection = await runtime.net.connect({ ...leader, tls: null, signal: link.attempt.signal });
      if (this.#link !== link) return connection.abort(new DfdbError("going_away", "connected too late"));
      const onBytes = (): void => this.#feedFrom(link, { type: "contact" });
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

  async #onMessage(link: Link, message: Message): Promise<void> {
    this.#feedFrom(link, { type: "message", message });
    // Not reading is what makes the leader slow down.
    while (this.#session.congested && this.#link === link) await this.#macrotask();
  }

  #macrotask(): Promise<void> {
    return new Promise((resolve) => this.#options.runtime.clock.macrotask(resolve));
  }

  /** Inputs of a connection that is not the present one any more are of no interest. */
  #feedFrom(link: Link | null, input: FollowerInput): void {
    if (link === null || this.#link !== link) return;
    try {
      this.#driver.feed(input);
    } catch (thrown) {
      crash(this.#options.runtime.clock, thrown);
    }
  }

  #endpoint(): string {
    return `${this.#options.leader.hostname}:${this.#options.leader.port}`;
  }
}
