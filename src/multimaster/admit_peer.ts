/**
 * From whom nothing is taken: a forgotten peer, and an older copy of one by whose word tombstones were purged. What was deleted would come back with it, on
 * some masters and not on others.
 */
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId } from "../base/ids.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import { parsePlace, placeText } from "./batch_text.ts";
import type { Peer } from "./confirmations_kept.ts";
import { peer, purgedUpTo } from "./confirmations_kept.ts";
import { isInHistory } from "./find_common.ts";
import type { Sender } from "./incoming_types.ts";

/** For `IncomingOptions.admit`: throws `peer_forgotten`, `peer_too_old`, and `bad_request` for what is no place. */
export function admitPeer(
  view: ReadView,
  own: Pick<Storage, "databaseId" | "log">,
  { databaseId, formerly = [], seen, relies }: Sender,
): void {
  const known = peer(view, databaseId);
  if (known?.forgotten === true) throw forgottenPeer(databaseId);
  const told = placesOf(view, own.databaseId, databaseId, known, formerly);
  // It looks into its own log, and asks again.
  if (told !== null && seen !== told) throw tooOld(databaseId, told);
  const lacking = relies?.split(",").find((place) => !isInHistory(own.log, parsePlace(place)));
  if (lacking !== undefined) throw lacks(databaseId, lacking);
}

/**
 * The places, with commas in between, that the log of `peer` has to have: tombstones were purged by them; null: there are none. One that was never met, and is a copy of another one, has to
 * have those of that one; afterwards it goes its own way, and is waited for itself. Throws `peer_too_old`.
 */
export function reliedOn(
  view: ReadView,
  own: DatabaseId,
  databaseId: DatabaseId,
  formerly: readonly DatabaseId[],
): string | null {
  return placesOf(view, own, databaseId, peer(view, databaseId), formerly);
}

/** `known`: what is kept of it. */
function placesOf(
  view: ReadView,
  own: DatabaseId,
  databaseId: DatabaseId,
  known: Peer | null,
  formerly: readonly DatabaseId[],
): string | null {
  const places = known?.relied == null ? [] : [known.relied];
  for (const id of known === null ? formerly : []) {
    const former = peer(view, id), relied = id === own ? purgedUpTo(view) : former?.relied ?? null;
    if (former?.purgedSince === true) throw copyOfForgotten(databaseId, id);
    if (relied !== null) places.push(relied);
  }
  return places.length === 0 ? null : places.map(placeText).join();
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
