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

  /** Those who counted before `at` and still did then. */
  at(machine: string, at: number): readonly string[] {
    const samples = this.#samples.get(machine) ?? [];
    const before = samples.findLast((sample) => sample.at < at)?.names ?? [];
    const then = samples.findLast((sample) => sample.at <= at)?.names ?? [];
    return before.filter((name) => then.includes(name));
  }
}
