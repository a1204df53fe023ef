import type { RunId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import type { RunNode, RunTree } from "../document/run_tree.ts";
import type { ChangePlace } from "../storage/versions.ts";
import type { SentKey } from "./batch.ts";
import { writeBatch } from "./batch.ts";
import type { Cursor, Receiver } from "./outgoing_events.ts";
import { ReceiverHistory } from "./receiver_history.ts";
import type { ToldHistory } from "./receiver_history.ts";

/** Versions that were read for a receiver. */
export interface Batch {
  readonly keys: readonly SentKey[];
  /** Has all their runs. */
  readonly tree: RunTree;
  readonly upTo: Cursor;
  /** Where to go on when it was taken; null: there was nothing more. */
  readonly next: ChangePlace | null;
}

/** What the shell knows of one destination, beside what the task remembers. */
export class Link {
  history: ReceiverHistory;
  #told = new Set<RunId>();
  /** A place after `seq`, up to which the receiver has all: inside the next entry. */
  #inside: { readonly seq: Seq; readonly place: ChangePlace } | null = null;

  constructor(receiver: Receiver, told: ToldHistory) {
    this.history = new ReceiverHistory(receiver, told);
  }

  /** Where to read on after `after`. */
  from({ seq }: Cursor): Seq | ChangePlace {
    return this.#inside?.seq === seq ? this.#inside.place : seq;
  }

  /** All of it is there, or needs no sending. */
  passed({ seq }: Cursor, next: ChangePlace | null): void {
    this.#inside = next === null ? null : { seq: seqOf(seq), place: next };
  }

  /** The body, and the runs that it tells. */
  body({ keys, tree }: Batch): { readonly bytes: Uint8Array; readonly runs: readonly RunNode[] } {
    const named = new Set<RunId>();
    for (const { versions } of keys) {
      for (const { vector } of versions) for (const { run } of vector) named.add(run);
    }
    const runs = tree.lineage(named, (run) => this.#told.has(run));
    return { bytes: writeBatch(tree, { runs, keys }), runs };
  }

  /** The receiver knows them for as long as its term lasts. */
  knows(runs: readonly RunNode[]): void {
    for (const { run } of runs) this.#told.add(run);
  }

  /** What it knows is in doubt: all are told again. */
  doubt(): void {
    this.#told = new Set();
  }
}
