import type { Entry } from "./history_tree.ts";

/** Where a machine's log ended when. */
export class MachineTimes {
  /** By time. The first one is from before all others. */
  readonly #times: { readonly at: number; readonly tip: Entry }[];

  constructor(first: Entry) {
    this.#times = [{ at: -Infinity, tip: first }];
  }

  /** `at` is not before any that was added. */
  add(at: number, tip: Entry): void {
    this.#times.push({ at, tip });
  }

  /** All that were in force at any time from `from` to `to`, oldest first; at least one. */
  between(from: number, to: number): readonly Entry[] {
    const times = this.#times;
    let low = 0, high = times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((times[middle]?.at ?? Infinity) < from) low = middle;
      else high = middle - 1;
    }
    const found: Entry[] = [];
    for (let i = low; i < times.length && (i === low || (times[i]?.at ?? Infinity) <= to); i++) {
      found.push(times[i]?.tip as Entry);
    }
    return found;
  }
}
