import { type Position, samePosition } from "../storage/log.ts";
import type { FollowerResync } from "./follower_resync.ts";

/** Whole copies of the leader's database and rescues, over all connections: what is wanted, and what was done. */
export class FollowerCopies {
  /** The next hello asks for a whole new copy. */
  wanted = false;
  installed = 0;
  rescues = 0;
  /** A failed apply asked for a copy, and nothing was applied since: another copy would not help. */
  #failed = false;
  /** A snapshot was installed, and no leader streamed since. */
  #installedLast = false;
  /** The last tail that was rescued: the same again is not counted. */
  #rescuedLast: { readonly last: Position; readonly common: number | null } | null = null;

  /** An apply failed in a way that comes again as long as the documents are what they are. */
  hopeless(): void {
    if (!this.#failed) this.#failed = this.wanted = true;
  }

  applied(): void {
    this.#failed = false;
  }

  streams(): void {
    this.#installedLast = false;
  }

  /** `last`: where this node's log ended. */
  onRescued({ rescued }: FollowerResync, last: Position): void {
    const common = rescued?.common ?? null, before = this.#rescuedLast;
    if (before !== null && before.common === common && samePosition(before.last, last)) return;
    this.#rescuedLast = { last, common };
    this.rescues++;
  }

  /** True when the one before led to this one, without a stream between them. */
  onInstalled({ asked }: FollowerResync): boolean {
    this.installed++;
    if (asked) this.wanted = false;
    const again = this.#installedLast;
    this.#installedLast = true;
    return again;
  }
}
