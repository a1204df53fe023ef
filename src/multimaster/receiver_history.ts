import type { RunId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import type { Dot, RunTree } from "../document/run_tree.ts";
import type { Receiver } from "./outgoing_events.ts";

/** A run of the receiver's history, and its first entry. */
export interface HistoryRun {
  readonly run: RunId;
  readonly firstSeq: Seq;
}

/** The newest runs of a history, oldest first, without a gap. */
export type ToldHistory = readonly HistoryRun[];

const beyondAll = seqOf(Number.MAX_SAFE_INTEGER);

/**
 * What the history of a receiver's present leadership holds of what its database has written, as far as it is known here: from the runs that it has told, and
 * from those that came here with versions.
 */
export class ReceiverHistory {
  readonly receiver: Receiver;
  readonly #told: ToldHistory;

  constructor(receiver: Receiver, told: ToldHistory = []) {
    this.receiver = receiver;
    // Those before another one would say nothing of this leadership.
    this.#told = told.at(-1)?.run === receiver.term.run ? told : [];
  }

  /** True when `dot` was written there and is in that history. False where that is not known: sending it again does no harm. */
  has(tree: RunTree, dot: Dot): boolean {
    if (tree.get(dot.run)?.database !== this.receiver.databaseId) return false;
    const told = this.#told.findLast(({ firstSeq }) => firstSeq <= dot.seq);
    if (told !== undefined) return told.run === dot.run;
    // Either nothing was told, or it is before the oldest run that was.
    const [oldest] = this.#told, run = oldest?.run ?? this.receiver.term.run;
    if (tree.get(run) === undefined) return false;
    return tree.covers({ run, seq: oldest === undefined ? beyondAll : seqOf(oldest.firstSeq - 1) }, dot);
  }
}
