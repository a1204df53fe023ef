/** Does a follower hold on its disk what its leader believes that it holds? */
import type { ConnectedFollower } from "../../src/replication/types.ts";
import type { History } from "./history.ts";
import { ancestorAt, contains, tokenOf } from "./history_tree.ts";
import { type Observed, Violation } from "./types.ts";

export interface FollowersCheckOptions {
  readonly history: History;
  /** Virtual ms. */
  readonly now: () => number;
  /** Name of the machine that a node id belongs to; null: not known yet. */
  readonly machineOf: (nodeId: string) => string | null;
}

export class FollowersCheck {
  readonly #options: FollowersCheckOptions;
  /** By connection: virtual ms when it was first seen. */
  readonly #connections = new Map<string, number>();

  constructor(options: FollowersCheckOptions) {
    this.#options = options;
  }

  /** Both the leader and its followers are to be observed before. */
  check(leader: Observed): void {
    const { history } = this.#options, tip = history.tip(leader.machine);
    for (const follower of leader.followers()) {
      const since = this.#since(leader, follower), { ackedSeq, nodeId, nodeName } = follower;
      const machine = this.#options.machineOf(nodeId);
      if (ackedSeq === 0 || machine === null) continue;
      const entry = ancestorAt(tip, ackedSeq);
      const wrong = (what: string) =>
        new Violation(
          "followers",
          `${leader.process} believes that ${nodeName} holds entry ${ackedSeq}; ${what}`,
        );
      if (entry === null) throw wrong(`its own log ends at ${tokenOf(tip)}`);
      const heldAt = entry.heldAt.get(machine), now = history.tip(machine);
      if (heldAt === undefined) {
        throw wrong(`${machine} never had ${tokenOf(entry)}, it is at ${tokenOf(now)}`);
      }
      // Of a connection from before its disk was made older nobody can know better.
      if (!contains(now, entry) && since > this.#rolledBackAt(machine)) {
        throw wrong(`${machine} does not have ${tokenOf(entry)} any more, it is at ${tokenOf(now)}`);
      }
    }
  }

  #since({ process }: Observed, { nodeId, endpoint, connectedAtMs }: ConnectedFollower): number {
    const key = `${process} ${nodeId} ${endpoint} ${connectedAtMs}`, known = this.#connections.get(key);
    if (known !== undefined) return known;
    const now = this.#options.now();
    this.#connections.set(key, now);
    return now;
  }

  #rolledBackAt(machine: string): number {
    return this.#options.history.rollbacks.findLast((rollback) => rollback.machine === machine)?.at ??
      -Infinity;
  }
}
