/** Where the logs of machines began when: what was before is not there any more. */
import type { Seen } from "./history.ts";

export class LogStarts {
  readonly #times = new Map<string, { readonly at: number; readonly first: number }[]>();

  /** To be called after each event of a node; `at`: virtual ms, not before any that was given. */
  look({ machine, storage: { log: { first } } }: Seen, at: number): void {
    const times = this.#timesOf(machine);
    if (times.at(-1)?.first !== first) times.push({ at, first });
  }

  /** Seq of the first entry at any time from `from` to `to`; at least one. */
  between(machine: string, from: number, to: number): readonly number[] {
    const times = this.#timesOf(machine);
    return times.filter(({ at }, i) => at <= to && (times[i + 1]?.at ?? Infinity) >= from)
      .map(({ first }) => first);
  }

  #timesOf(machine: string): { readonly at: number; readonly first: number }[] {
    let times = this.#times.get(machine);
    if (times === undefined) this.#times.set(machine, times = [{ at: -Infinity, first: 1 }]);
    return times;
  }
}
