import type { DatabaseId, RunId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { RunTree } from "../document/run_tree.ts";
import type { Storage } from "../storage/storage.ts";
import type { DotPlace, VersionView } from "../storage/versions.ts";
import type { ReceiverHistory } from "./receiver_history.ts";

/**
 * The highest entry of each run of which a version came here, kept while this node leads: so whether a receiver has lost something that is here is told without
 * looking at all versions each time that it is started. Never too low.
 */
export class RunHeights {
  readonly #heights = new Map<RunId, Seq>();
  #after: Seq | DotPlace = seqOf(0);

  /** Looks at what has come since the last time; yields after each slice. */
  *raise(storage: Storage): Generator<void, void, void> {
    for (let more = true; more; yield) {
      more = storage.read(({ versions }) => versions !== null && this.#page(versions));
    }
  }

  /** False: no version that `history` lacks was ever seen here. */
  mayLack(tree: RunTree, history: ReceiverHistory): boolean {
    for (const [run, seq] of this.#heights) {
      if (databaseOf(tree, run) === history.receiver.databaseId && !history.has(tree, { run, seq })) {
        return true;
      }
    }
    return false;
  }

  #page(versions: VersionView): boolean {
    const { dots, next } = versions.dotsSince(this.#after, limits.masterSliceDots);
    for (const { dot: { run, seq }, change } of dots) {
      if (seq > (this.#heights.get(run) ?? 0)) this.#heights.set(run, seq);
      this.#after = change;
    }
    if (next !== null) this.#after = next;
    return next !== null;
  }
}

function databaseOf(tree: RunTree, run: RunId): DatabaseId | undefined {
  return tree.get(run)?.database;
}
