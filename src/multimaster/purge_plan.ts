/** Which tombstones may go: looked at page by page, and once more in the transaction that removes them. */
import type { DatabaseId, DocumentId, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Operation } from "../document/operation.ts";
import type { Plan } from "../engine/plan.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import type { KeyPlace, KeyVersions, VersionView } from "../storage/versions.ts";
import type { Confirmed } from "./confirmations.ts";
import { isConfirmed } from "./confirmations.ts";
import { peers, purgedHere, relyOn } from "./confirmations_kept.ts";
import { placeAt } from "./find_common.ts";
import type { Place } from "./outgoing_events.ts";
import { SystemWriter } from "./system_documents.ts";
import type { Witness } from "./witnesses.ts";
import { earliestThatConfirms, placeOf } from "./witnesses.ts";

/** What a pass goes by. */
export interface Judging {
  readonly storage: Pick<Storage, "read" | "databaseId" | "log">;
  /** Of all peers but those forgotten, what each has said, oldest first; empty: nothing that tells. */
  readonly peers: ReadonlyMap<DatabaseId, readonly Witness[]>;
  readonly now: WallMs;
}

export interface PurgePage {
  readonly found: number;
  /** Old, and confirmed by all. */
  readonly due: readonly KeyVersions[];
  /** Of the old ones, those that a peer has not confirmed. */
  readonly heldBack: ReadonlyMap<DatabaseId, number>;
  /** Null: there are no more. */
  readonly next: KeyPlace | null;
}

/** Cost: 20 µs and some for each tombstone and peer. */
export function purgePage(judging: Judging, after: KeyPlace | null): PurgePage {
  return judging.storage.read(({ versions }): PurgePage => {
    const heldBack = new Map<DatabaseId, number>(), due: KeyVersions[] = [];
    if (versions === null) return { found: 0, due, heldBack, next: null };
    const keysMax = Math.min(limits.operationItemsMax, limits.purgeKeys);
    const { keys, next } = versions.tombstones(after, { keysMax, bytesMax: limits.sliceBytes });
    const own = ownOf(judging, versions);
    for (const key of keys) {
      if (!isOld(key, judging.now)) continue;
      const missing = holdersBack(own, judging, key);
      if (missing.length === 0) due.push(key);
      for (const peer of missing) heldBack.set(peer, (heldBack.get(peer) ?? 0) + 1);
    }
    return { found: keys.length, due, heldBack, next };
  });
}

/** How many went; null: there is a peer that `judging` knows nothing of, and nothing went. What has changed since it was looked at stays. */
export function purge(judging: Judging, due: readonly KeyVersions[]): Plan<number | null> {
  return {
    bytes: due.reduce((sum, { id }) => sum + id.length, 256),
    run(tx, wallMs) {
      if (!knowsAll(judging, tx)) return null;
      const { versions } = tx;
      if (versions === null) return 0;
      const own = ownOf(judging, versions), byName = new Map<string, DocumentId[]>();
      const relied = new Map<DatabaseId, Place>();
      let last = seqOf(0);
      for (const { name, id, change } of due) {
        const now = versions.get(name, id);
        if (now?.shown.kind !== "deleted" || now.change !== change || !isOld(now, judging.now)) continue;
        if (holdersBack(own, judging, now).length > 0) continue;
        if (change > last) last = change;
        for (const [peer, said] of judging.peers) {
          const witness = earliestThatConfirms(own, said, now);
          if (witness !== null && witness.seq > (relied.get(peer)?.seq ?? 0)) {
            relied.set(peer, placeOf(witness));
          }
        }
        const ids = byName.get(name);
        if (ids === undefined) byName.set(name, [id]);
        else ids.push(id);
      }
      const operations = [...byName].map(([name, ids]): Operation => ({
        kind: "purgeTombstones",
        name,
        ids,
      }));
      if (operations.length > 0) {
        const system = new SystemWriter(tx), place = placeAt(own.log, last);
        const marks = [...relied].flatMap(([peer, place]) => relyOn(tx, system, peer, place));
        tx.append([...operations, ...marks, ...purgedHere(tx, system, place)], wallMs);
      }
      return operations.reduce((sum, one) => sum + (one.kind === "purgeTombstones" ? one.ids.length : 0), 0);
    },
  };
}

function knowsAll(judging: Judging, view: ReadView): boolean {
  return peers(view).every(({ databaseId, forgotten }) => forgotten || judging.peers.has(databaseId));
}

function ownOf({ storage: { databaseId, log } }: Judging, { tree }: VersionView): Confirmed {
  return { databaseId, log, tree };
}

/** So old that no key that is written from now on shows a conflict with it, whatever the clocks say. */
function isOld({ versions }: KeyVersions, now: WallMs): boolean {
  const least = limits.deletionCountsMs + limits.purgeSlackMs;
  return versions.every(({ modifiedMs, body }) => body === null && now - modifiedMs >= least);
}

function holdersBack(own: Confirmed, judging: Judging, key: KeyVersions): DatabaseId[] {
  const missing: DatabaseId[] = [];
  for (const [databaseId, said] of judging.peers) {
    const latest = said.at(-1);
    if (latest === undefined || !isConfirmed(own, latest, key)) missing.push(databaseId);
  }
  return missing;
}
