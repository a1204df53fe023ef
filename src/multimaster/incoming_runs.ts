import { DfdbError } from "../base/errors.ts";
import type { RunId } from "../base/ids.ts";
import type { RunNode } from "../document/run_tree.ts";
import { RunTree } from "../document/run_tree.ts";
import { Slice } from "../storage/entry_codec.ts";

/** What is to be made of the runs that a sender tells. */
export interface ToldRuns {
  /** To be learned, parents first. */
  readonly learn: readonly RunNode[];
  /** What is wrong with the others: they are not what is known here, or can be no runs. */
  readonly refused: ReadonlyMap<RunId, string>;
}

/** Yields after each slice. */
export function* toldRuns(tree: RunTree, runs: readonly RunNode[]): Generator<void, ToldRuns, void> {
  // Not a copy of `tree`: only what the new ones continue.
  const tried = new RunTree(), learn: RunNode[] = [], refused = new Map<RunId, string>(), slice = new Slice();
  for (const node of runs) {
    const { run, parent } = node, known = tree.get(run) !== undefined;
    if (slice.full(0)) yield;
    try {
      for (const from of [parent, run]) {
        if (from === null || tree.get(from) === undefined) continue;
        for (const before of tree.lineage([from], (one) => tried.get(one) !== undefined)) tried.add(before);
      }
      if (tried.add(node) && !known) learn.push(node);
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      refused.set(run, thrown.message);
    }
  }
  return { learn, refused };
}
