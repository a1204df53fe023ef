/**
 * From whom nothing is taken: a forgotten peer, and an older copy of one by whose word tombstones were purged. What was deleted would come back with it, on
 * some masters and not on others.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import { parsePlace, placeText } from "./batch_text.ts";
import { isForgotten, peer, purgedUpTo } from "./confirmations_kept.ts";
import { isInHistory } from "./find_common.ts";
import type { Sender } from "./incoming_types.ts";

/** For `IncomingOptions.admit`: throws `peer_forgotten`, `peer_too_old`, and `bad_request` for what is no place. */
export function admitPeer(
  view: ReadView,
  { databaseId: own, log }: Pick<Storage, "databaseId" | "log">,
  { databaseId, formerly = [], seen, relies }: Sender,
): void {
  if (isForgotten(view, databaseId)) throw forgottenPeer(databaseId);
  const places: string[] = [];
  for (const id of [databaseId, ...formerly]) {
    const known = peer(view, id), relied = id === own ? purgedUpTo(view) : known?.relied ?? null;
    if (known?.purgedSince === true) throw copyOfForgotten(databaseId, id);
    if (relied !== null) places.push(placeText(relied));
  }
  const told = places.join();
  // It looks into its own log, and asks again.
  if (told !== "" && seen !== told) throw tooOld(databaseId, told);
  if (relies != null && !isInHistory(log, parsePlace(relies))) throw lacks(databaseId, relies);
}

const whatToDo = "Start it with an empty data folder: it is filled anew";

function tooOld(databaseId: DatabaseId, relies: string): DfdbError {
  const message =
    `Database ${databaseId} has to have its own log up to ${relies}: deletions that were there by then were purged here, and what was deleted ` +
    `would come back with an older copy. ${whatToDo}`;
  return new DfdbError("peer_too_old", message, { details: { databaseId, relies } });
}

function lacks(databaseId: DatabaseId, place: string): DfdbError {
  const message =
    `This database is older than it was: its log is not the one that had ${place}, and deletions that were there by then were purged at database ` +
    `${databaseId}. ${whatToDo}`;
  return new DfdbError("peer_too_old", message, { details: { databaseId, lacks: place } });
}

function copyOfForgotten(databaseId: DatabaseId, former: DatabaseId): DfdbError {
  const message =
    `Database ${databaseId} is a copy of ${former}, which was forgotten here: deletions were purged since that it may not have seen, and what was ` +
    `deleted would come back. ${whatToDo}`;
  return new DfdbError("peer_too_old", message, { details: { databaseId, former } });
}

function forgottenPeer(databaseId: DatabaseId): DfdbError {
  const message =
    `Database ${databaseId} was forgotten here: what was deleted meanwhile would come back with it. ${whatToDo}`;
  return new DfdbError("peer_forgotten", message, { details: { databaseId } });
}
