import type { ErrorCode } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { RefusedFollower } from "./types.ts";

/** So many nodes are remembered; then the oldest goes. */
const nodesMax = 64;

/** What the status shows of refusals. The others concern a setting or a moment, not the data. */
const shown: ReadonlySet<ErrorCode> = new Set(["ahead", "corrupt", "stale_epoch", "wrong_database"]);

/** The nodes whose last attempt was refused because of their data. */
export class RefusedFollowers {
  readonly #byNode = new Map<NodeId, RefusedFollower>();

  /** Latest last. */
  get all(): readonly RefusedFollower[] {
    return [...this.#byNode.values()];
  }

  add(follower: RefusedFollower): void {
    if (!shown.has(follower.code)) return;
    this.admitted(follower.nodeId);
    this.#byNode.set(follower.nodeId, follower);
    if (this.#byNode.size <= nodesMax) return;
    const [oldest] = this.#byNode.keys();
    if (oldest !== undefined) this.#byNode.delete(oldest);
  }

  admitted(node: NodeId): void {
    this.#byNode.delete(node);
  }
}
