/** Unique indexes that somebody is having made: a node obeys one before any state has it, so that no other write slips in. */
import type { IndexChange, Write } from "./types.ts";

/** A request that asks for an index, from when it was sent until it is over. */
interface Making {
  readonly machine: string;
  readonly index: IndexChange;
  readonly from: number;
  /** Virtual ms; Infinity: it is under way. */
  to: number;
  /** No answer came that tells; the node may be at it still. */
  lost: boolean;
}

export class IndexMakings {
  /** By the index's name, which is nobody else's in the world. */
  readonly #all = new Map<string, Making>();

  /** A request is sent. */
  asks(machine: string, sentAt: number, index: IndexChange): void {
    if (index.made?.unique !== true) return;
    this.#all.set(index.name, { machine, index, from: sentAt, to: Infinity, lost: false });
  }

  /** Its fate is known. `at`: virtual ms, when the server answered. */
  over({ index, outcome }: Pick<Write, "index" | "outcome">, at: number): void {
    const making = index?.made == null ? undefined : this.#all.get(index.name);
    if (making === undefined) return;
    if (outcome === "unknown") making.lost = true;
    else making.to = at;
  }

  /** A process of the machine ended: what it was at is not gone on with. */
  ended(machine: string, at: number): void {
    for (const making of this.#all.values()) {
      if (making.machine === machine && making.lost) making.to = Math.min(making.to, at);
    }
  }

  /** Whether `machine` may have been making an index of which `is` holds, at some time from `sentAt` to `knownAt`. */
  some(machine: string, sentAt: number, knownAt: number, is: (index: IndexChange) => boolean): boolean {
    return [...this.#all.values()].some((one) =>
      one.machine === machine && one.from <= knownAt && one.to >= sentAt && is(one.index)
    );
  }
}
