import type { Connection } from "../runtime/net.ts";
import { knownNodesMax } from "../wire/message.ts";
import { Tasks } from "./driver.ts";
import { FollowerLink } from "./follower_link.ts";
import type { LeaderContext } from "./leader_handshake.ts";
import { RefusedFollowers } from "./refused_followers.ts";
import { Roster } from "./roster.ts";
import { SharedReads } from "./shared_reads.ts";
import { SpacedCalls } from "./spaced_calls.ts";
import { SteadyListener } from "./steady_listener.ts";
import type {
  ConnectedFollower,
  DurableFollower,
  FollowerServer,
  RefusedFollower,
  ServeFollowersOptions,
} from "./types.ts";

/** Listens for followers and streams the log to them. Throws DfdbError `port_in_use` or `io_error`. */
export async function serveFollowers(options: ServeFollowersOptions): Promise<FollowerServer> {
  const { runtime: { net, clock }, logger, tls } = options, listen = { ...options.listen, tls };
  const followers = new Followers(options),
    accept = (connection: Connection): void => followers.add(connection);
  const listener = await SteadyListener.open({ net, clock, logger, listen, accept });
  return new Server(followers, listener);
}

class Server implements FollowerServer {
  readonly #followers: Followers;
  readonly #listener: SteadyListener;
  #closing: Promise<void> | null = null;

  constructor(followers: Followers, listener: SteadyListener) {
    this.#followers = followers;
    this.#listener = listener;
    followers.start();
  }

  get hostname(): string {
    return this.#listener.hostname;
  }

  get port(): number {
    return this.#listener.port;
  }

  followers(): readonly ConnectedFollower[] {
    return this.#followers.describe();
  }

  durable(): readonly DurableFollower[] {
    return this.#followers.durable();
  }

  onAcknowledged(listener: () => void): () => void {
    return this.#followers.onAcknowledged(listener);
  }

  refused(): readonly RefusedFollower[] {
    return this.#followers.refused.all;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#followers.stop();
    await this.#listener.close();
    await this.#followers.settled();
  }
}

/** All connections of one leader, and what they share. */
class Followers {
  readonly refused: RefusedFollowers = new RefusedFollowers();
  readonly #options: ServeFollowersOptions;
  readonly #tasks: Tasks;
  readonly #roster: Roster<FollowerLink>;
  readonly #context: LeaderContext;
  readonly #reads: SharedReads;
  readonly #refusals = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  readonly #tell: SpacedCalls;
  #unsubscribe = (): void => {};

  constructor(options: ServeFollowersOptions) {
    const { runtime, identity, databaseId, secret, log, tuning, readOnly } = options;
    this.#options = options;
    this.#tasks = new Tasks(runtime.clock);
    this.#roster = new Roster(tuning, options.severalCandidates ?? false);
    const bytesMax = Math.min(tuning.appendBytes, tuning.windowBytes), entriesMax = tuning.appendEntriesMax;
    this.#reads = new SharedReads(log, { bytesMax, entriesMax });
    const knownNodes = () => this.#roster.knownNodes(knownNodesMax);
    const { crypto } = runtime, wall = () => runtime.clock.wall();
    this.#tell = new SpacedCalls(runtime.clock, () => {
      for (const link of this.#roster.followers) link.feed({ type: "committed" });
    });
    this.#context = { identity, databaseId, secret, crypto, log, tuning, readOnly, wall, knownNodes };
  }

  start(): void {
    this.#unsubscribe = this.#options.committed.subscribe(() => this.#tell.ask());
  }

  add(connection: Connection): void {
    const link = new FollowerLink({
      serve: this.#options,
      context: this.#context,
      connection,
      roster: this.#roster,
      tasks: this.#tasks,
      refusals: this.#refusals,
      refused: this.refused,
      reads: this.#reads,
      onAcknowledged: () => this.#acknowledged(),
    });
    this.#roster.add(link);
  }

  describe(): ConnectedFollower[] {
    return this.#roster.members.map((link) => link.describe()).filter((follower) => follower !== null);
  }

  durable(): DurableFollower[] {
    return this.#roster.members.map((link) => link.durable()).filter((follower) => follower !== null);
  }

  onAcknowledged(listener: () => void): () => void {
    const own = (): void => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  stop(): void {
    this.#unsubscribe();
    this.#tell.stop();
    for (const link of this.#roster.members) link.feed({ type: "stop" });
  }

  /** Resolves when no connection is left. */
  settled(): Promise<void> {
    return this.#tasks.settled();
  }

  #acknowledged(): void {
    if (this.#roster.followers.length === 0) this.#reads.clear();
    for (const listener of this.#listeners) listener();
  }
}
