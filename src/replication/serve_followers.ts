import type { Connection } from "../runtime/net.ts";
import type { NodeId } from "../base/ids.ts";
import type { Abort, Commit, Declined, Prepare } from "../wire/message.ts";
import { Tasks } from "../base/driver.ts";
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
  Successor,
} from "./types.ts";

/** Listens; while this node leads, streams the log to followers, and tells at any time what it is. Throws DfdbError `port_in_use` or `io_error`. */
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

  send(nodeId: NodeId, message: Prepare | Commit | Abort | Declined): boolean {
    return this.#followers.send(nodeId, message);
  }

  ask(nodeIds: readonly NodeId[]): void {
    this.#followers.ask(nodeIds);
  }

  onSign(listener: (nodeId: NodeId) => void): () => void {
    return this.#followers.onSign(listener);
  }

  close(successor: Successor | null = null): Promise<void> {
    this.#closing ??= this.#close(successor);
    return this.#closing;
  }

  async #close(successor: Successor | null): Promise<void> {
    this.#followers.stop(successor);
    await this.#listener.close();
    await this.#followers.settled();
  }
}

/** All connections of one listener, and what they share. */
class Followers {
  readonly refused: RefusedFollowers = new RefusedFollowers();
  readonly #options: ServeFollowersOptions;
  readonly #tasks: Tasks;
  readonly #roster: Roster<FollowerLink>;
  readonly #context: LeaderContext;
  readonly #reads: SharedReads;
  readonly #refusals = new Map<string, string>();
  readonly #listeners = new Set<() => void>();
  readonly #signListeners = new Set<(nodeId: NodeId) => void>();
  #asked = 0;
  readonly #tell: SpacedCalls;
  #unsubscribe = (): void => {};

  constructor(options: ServeFollowersOptions) {
    const { runtime, log, tuning } = options;
    this.#options = options;
    this.#tasks = new Tasks(runtime.clock);
    this.#roster = new Roster(tuning);
    const bytesMax = Math.min(tuning.appendBytes, tuning.windowBytes), entriesMax = tuning.appendEntriesMax;
    this.#reads = new SharedReads(log, { bytesMax, entriesMax });
    const { crypto } = runtime, wall = () => runtime.clock.wall(), asked = () => this.#asked;
    this.#tell = new SpacedCalls(runtime.clock, () => {
      for (const link of this.#roster.followers) link.feed({ type: "committed" });
    });
    this.#context = { ...options, crypto, wall, asked };
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
      onSign: (nodeId) => this.#signListeners.forEach((listener) => listener(nodeId)),
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

  send(nodeId: NodeId, message: Prepare | Commit | Abort | Declined): boolean {
    const link = this.#roster.followers.findLast(({ session: { hello, phase } }) =>
      hello?.nodeId === nodeId && phase === "streaming"
    );
    link?.feed({ type: "say", message });
    return link !== undefined;
  }

  ask(nodeIds: readonly NodeId[]): void {
    this.#asked++;
    for (const link of this.#roster.followers) {
      const { hello } = link.session;
      if (hello !== null && nodeIds.includes(hello.nodeId)) link.feed({ type: "ask" });
    }
  }

  onSign(listener: (nodeId: NodeId) => void): () => void {
    const own = (nodeId: NodeId): void => listener(nodeId);
    this.#signListeners.add(own);
    return () => void this.#signListeners.delete(own);
  }

  stop(successor: Successor | null): void {
    this.#unsubscribe();
    this.#tell.stop();
    for (const link of this.#roster.members) link.feed({ type: "stop", successor });
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
