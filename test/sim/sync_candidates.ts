/** Whom a leader has to wait for, because they may take over: as it says itself, after each of its events. */
import type { Machine } from "./cluster.ts";

interface Sample {
  readonly at: number;
  readonly names: readonly string[];
  /** The newest entry that it took as held by enough; 0: it waits for nobody. */
  readonly answeredSeq: number;
}

/** An entry that was answered between `from` and `to`. */
export interface AnsweredEntry {
  readonly seq: number;
  readonly from: number;
  readonly to: number;
}

export class SyncCandidates {
  readonly #samples = new Map<string, Sample[]>();

  look({ name, node }: Machine, now: number): void {
    const acks = node?.replication.acks;
    const names = acks?.state().candidates ?? [], answeredSeq = acks?.answeredSeq ?? 0;
    const samples = this.#samples.get(name) ?? [], last = samples.at(-1);
    this.#samples.set(name, samples);
    if (last?.answeredSeq === answeredSeq && last.names.join() === names.join()) return;
    samples.push({ at: now, names, answeredSeq });
  }

  /**
   * Those who counted before `machine` took the entry as held by enough, and at every time until it was answered. Who came after that
   * was welcomed with the entry as something to catch up with, and does not take over without it.
   */
  during(machine: string, entry: AnsweredEntry): readonly string[] {
    const samples = this.#samples.get(machine) ?? [], from = takenAt(samples, entry);
    const before = samples.findLast(({ at }) => at < from)?.names ?? [];
    const later = samples.filter(({ at }) => at >= from && at <= entry.to);
    return before.filter((name) => later.every(({ names }) => names.includes(name)));
  }
}

/** Since when the entry was held by enough, as the leader says; `to`: it never said so. */
function takenAt(samples: readonly Sample[], { seq, from, to }: AnsweredEntry): number {
  const known = samples.filter(({ at }) => at <= to);
  const taken = known.at(known.findLastIndex(({ answeredSeq }) => answeredSeq < seq) + 1)?.at ?? to;
  return Math.max(from, taken);
}
