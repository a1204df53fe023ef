import { DfdbError, messageOf } from "../base/errors.ts";
import type { Listener } from "../runtime/net.ts";
import { knownNodesMax } from "../wire/message.ts";
import { Tasks } from "./driver.ts";
import { FollowerLink } from "./follower_link.ts";
import type { LeaderContext } from "./leader_handshake.ts";
import { Roster } from "./roster.ts";
import type { ConnectedFollower, FollowerServer, ServeFollowersOptions } from "./types.ts";

/** Listens for followers and streams the log to them. Throws DfdbError `port_in_use` or `io_error`. */
export async function serveFollowers(options: ServeFollowersOptions): Promise<FollowerServer> {
  const { hostname, port } = options.listen;
  const listener = await options.runtime.net.listen({ hostname, port, tls: null });
  return new Server(options, listener);
}

class Server implements FollowerServer {
  readonly #options: ServeFollowersOptions;
  readonly #listener: Listener;
  readonly #tasks: Tasks;
  readonly #roster: Roster<FollowerLink>;
  readonly #context: LeaderContext;
  readonly #unsubscribe: () => void;
  readonly #refusals = new Map<string, string>();
  #closing: Promise<void> | null = null;
  #told = false;

  constructor(options: ServeFollowersOptions, listener: Listener) {
    const { runtime, identity, databaseId, secret, log, tuning, readOnly } = options;
    this.#options = options;
    this.#listener = listener;
    this.#tasks = new Tasks(runtime.clock);
    this.#roster = new Roster(tuning, options.severalCandidates ?? false);
    const knownNodes = () => this.#roster.knownNodes(knownNodesMax);
    const { crypto } = runtime, wall = () => runtime.clock.wall();
    this.#context = { identity, databaseId, secret, crypto, log, tuning, readOnly, wall, knownNodes };
    this.#unsubscribe = options.committed.subscribe(() => this.#onCommitted());
    this.#tasks.add(this.#accept());
  }

  get hostname(): string {
    return this.#listener.hostname;
  }

  get port(): number {
    return this.#listener.port;
  }

  followers(): readonly ConnectedFollower[] {
    return this.#roster.members.map((link) => link.describe()).filter((follower) => follower !== null);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#unsubscribe();
    for (const link of this.#roster.members) link.feed({ type: "stop" });
    await this.#listener.close();
    await this.#tasks.settled();
  }

  async #accept(): Promise<void> {
    const { logger } = this.#options;
    try {
      for await (const connection of this.#listener) {
        if (this.#closing !== null) {
          connection.abort(new DfdbError("going_away", "the leader is stopping"));
          continue;
        }
        this.#roster.add(
          new FollowerLink({
            serve: this.#options,
            context: this.#context,
            connection,
            roster: this.#roster,
            tasks: this.#tasks,
            refusals: this.#refusals,
          }),
        );
      }
    } catch (thrown) {
      logger.error("the replication listener failed: no new followers", { reason: messageOf(thrown) });
    }
  }

  /**
   * One macrotask for all followers and all commits of the moment: the clients of those commits are answered first, and
   * what was committed meanwhile goes along.
   */
  #onCommitted(): void {
    if (this.#told) return;
    this.#told = true;
    this.#options.runtime.clock.macrotask(() => {
      this.#told = false;
      for (const link of this.#roster.followers) link.feed({ type: "committed" });
    });
  }
}
