import type { ReadView } from "../storage/storage.ts";
import type { Plan, SlicedPlan } from "./plan.ts";

/** True: the database keeps versions, so it may replicate with other masters. */
export function hasReplicationBundle(view: ReadView): boolean {
  return view.versions !== null;
}

/** False: it was active already. Throws `conflict` where there are documents, unless they are to become versions of this database. */
export function activateReplication(adoptExisting: boolean): Plan<boolean> | SlicedPlan<boolean> {
  if (adoptExisting) {
    return {
      bytes: 64,
      *slices(tx, wallMs) {
        if (hasReplicationBundle(tx)) return false;
        yield* tx.appendInSlices([{ kind: "activateBundle", bundle: "replication", adoptExisting }], wallMs);
        return true;
      },
    };
  }
  return {
    bytes: 64,
    run(tx, wallMs) {
      if (hasReplicationBundle(tx)) return false;
      tx.append([{ kind: "activateBundle", bundle: "replication" }], wallMs);
      return true;
    },
  };
}
