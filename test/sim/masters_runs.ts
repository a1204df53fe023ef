/** Which run continues which, as the logs of the nodes say: what covering is decided by here, apart from the code under test. */
import type { TermRecord } from "../../src/storage/log.ts";

export interface DotSeen {
  readonly run: string;
  readonly seq: number;
}

interface RunSeen {
  readonly site: string;
  readonly first: number;
  readonly parent: string | null;
}

export class RunsSeen {
  readonly #runs = new Map<string, RunSeen>();

  /** All terms of a log of this site, oldest first. */
  learn(site: string, terms: readonly TermRecord[]): void {
    for (let i = terms.length - 1; i >= 0; i--) {
      const { run, firstSeq } = terms[i] as TermRecord;
      if (this.#runs.has(run)) return; // and all before it
      this.#runs.set(run, { site, first: firstSeq, parent: terms[i - 1]?.run ?? null });
    }
  }

  /** Whose run it is; null: nobody's. */
  siteOf(run: string): string | null {
    return this.#runs.get(run)?.site ?? null;
  }

  /** True when entry `dot` is in the history that ends with `by`. */
  covers(by: DotSeen, dot: DotSeen): boolean {
    if (dot.seq > by.seq) return false;
    let at: string | null = by.run;
    while (at !== null) {
      const { first, parent }: RunSeen = this.#of(at);
      if (first <= dot.seq) return at === dot.run;
      at = parent;
    }
    return false;
  }

  /** True when one of `vector` covers it. */
  saw(vector: readonly DotSeen[], dot: DotSeen): boolean {
    return vector.some((by) => this.covers(by, dot));
  }

  /** The least that covers all of these, in one order. */
  least(dots: readonly DotSeen[]): readonly DotSeen[] {
    const kept = dots.filter((dot, i) =>
      !dots.some((by, j) => i !== j && this.covers(by, dot) && (!same(by, dot) || j < i))
    );
    return [...kept].sort((a, b) => (a.run < b.run ? -1 : a.run > b.run ? 1 : a.seq - b.seq));
  }

  #of(run: string): RunSeen {
    const found = this.#runs.get(run);
    if (found === undefined) throw new Error(`run ${run} was never in a log`);
    return found;
  }
}

function same(a: DotSeen, b: DotSeen): boolean {
  return a.run === b.run && a.seq === b.seq;
}

export function textOf({ run, seq }: DotSeen): string {
  return `${run.slice(0, 8)}:${seq}`;
}
