/** Indexes of nodes that rest: the ones that their histories say, filled, and what their documents say. */
import type { CollectionNumber } from "../../src/base/ids.ts";
import type { IndexDefinition } from "../../src/document/operation.ts";
import type { TaskContext } from "../../src/runtime/workers.ts";
import { verifyIndexes } from "../../src/storage/sqlite/verify_indexes.ts";
import type { ContentCheckOptions } from "./content_check.ts";
import { tokenOf } from "./history_tree.ts";
import { type Observed, Violation } from "./types.ts";

const context: TaskContext = { progress: () => {}, hold: (run) => run(), stopped: false };

/**
 * Checks all indexes of nodes that have come to rest; of a node without any no document is read. Returns how many were compared with
 * their documents. Whoever applies an entry builds its index afterwards; at rest it has.
 */
export function checkIndexes(nodes: readonly Observed[], { history, replay }: ContentCheckOptions): number {
  let count = 0;
  for (const { storage, machine, process } of nodes) {
    const tip = history.tip(machine);
    const wrong = (what: string): Violation =>
      new Violation("indexes", `${process} at ${tokenOf(tip)}: ${what}`);
    const found = storage.read((view) => view.collections().flatMap(({ number }) => view.indexes(number)));
    const expected = [...replay.documentsAt(tip).values()].flatMap(({ number }) =>
      replay.indexesAt(tip, number).map((index) => ({ ...index, collection: number as CollectionNumber }))
    );
    if (textOf(found) !== textOf(expected)) {
      throw wrong(`its indexes are ${textOf(found)}, not ${textOf(expected)}`);
    }
    const building = found.filter(({ ready }) => !ready).map(({ name }) => name);
    if (building.length > 0) throw wrong(`${building.join()} is not filled`);
    if (found.length === 0) continue;
    const verified = verifyIndexes({ path: storage.stats().path }, context);
    if (verified.wrong.length > 0) {
      throw wrong(`not what the documents say: ${JSON.stringify(verified.wrong)}`);
    }
    if (verified.indexes !== found.length) {
      throw wrong(`${verified.indexes} of ${found.length} indexes were looked at`);
    }
    count += verified.indexes;
  }
  return count;
}

function textOf(indexes: readonly (IndexDefinition & { readonly collection: CollectionNumber })[]): string {
  const texts = indexes.map(({ collection, name, unique, time, paths }) =>
    JSON.stringify({ collection, name, unique, time, paths })
  );
  return texts.sort().join() || "none";
}
