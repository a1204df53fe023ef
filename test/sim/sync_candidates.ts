/** Whom a leader has to wait for, because they may take over: as it says itself, after each of its events. */
import type { Machine } from "./cluster.ts";

interface Sample {
  readonly at: number;
  readonly names: readonly string[];
}

export class SyncCandidates {
  readonly #samples = new Map<string, Sample[]>();

  look({ name, node }: Machine, now: number): void {
    const names = node?.replication.acks?.state().candidates ?? [];
    const samples = this.#samples.get(name) ?? [];
    this.#samples.set(name, samples);
    if (samples.at(-1)?.names.join() !== names.join()) samples.push({ at: now, names });
  }

  /** Those who counted before `from` and at every time until `to`. */
  during(machine: string, from: number, to: number): readonly string[] {
    const samples = this.#samples.get(machine) ?? [];
    const before = samples.findLast(({ at }) => at < from)?.names ?? [];
    const later = samples.filter(({ at }) => at >= from && at <= to);
    return before.filter((name) => later.every(({ names }) => names.includes(name)));
  }
}
