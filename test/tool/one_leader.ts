/** An authority in memory, as a program may write one: one place, which one database of this process holds at a time. */
import type { Epoch } from "../../src/base/ids.ts";
import { epochOf } from "../../src/base/ids.ts";
import { DfdbError } from "../../src/base/errors.ts";
import type { Authority, Holder, LeaderClaim } from "../../src/cluster/authority.ts";
import type { Clock } from "../../src/runtime/runtime.ts";

export class OneLeader {
  /** Nobody gets the place. */
  closed = false;
  closedAuthorities = 0;
  #holder: (Holder & { readonly of: Authority }) | null = null;
  #epoch = 0;
  readonly #clock: Clock;
  readonly #lost = new Map<Authority, (error: DfdbError) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  authority(): Authority {
    const own: Authority = {
      kind: "one-leader",
      check: () => this.#holder?.of === own ? null : new DfdbError("no_lease", "Another database leads"),
      take: (claim) => this.#take(own, claim),
      release: () => {
        if (this.#holder?.of === own) this.#holder = null;
        return Promise.resolve();
      },
      watch: (vacant) => {
        const look = (): void => {
          if (this.#holder === null) vacant();
          timer = this.#clock.timer(20, look);
        };
        let timer = this.#clock.timer(20, look);
        return () => timer.cancel();
      },
      onLost: (lost) => {
        this.#lost.set(own, lost);
        return () => this.#lost.delete(own);
      },
      // It knows nobody's address.
      holder: () => Promise.resolve(null),
      syncSet: null,
      close: () => {
        this.closedAuthorities++;
        return Promise.resolve();
      },
    };
    return own;
  }

  /** Who holds the place loses it. */
  revoke(): void {
    const holder = this.#holder;
    this.#holder = null;
    const lost = holder === null ? undefined : this.#lost.get(holder.of);
    if (lost !== undefined) {
      this.#clock.macrotask(() => lost(new DfdbError("no_lease", "The place was taken away")));
    }
  }

  #take(own: Authority, { node, above, from }: LeaderClaim): Promise<Epoch> {
    const holder = this.#holder, free = holder === null || holder.of === own;
    if (this.closed || (!free && holder.node.nodeId !== from?.nodeId)) {
      return Promise.reject(new DfdbError("no_lease", "Another database leads"));
    }
    this.#epoch = Math.max(this.#epoch, above) + 1;
    this.#holder = { of: own, node, epoch: epochOf(this.#epoch) };
    return Promise.resolve(this.#holder.epoch);
  }
}
