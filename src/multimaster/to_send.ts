/** Which of the keys that have changed a destination is sent. */
import type { DatabaseId } from "../base/ids.ts";
import { collectionKey } from "../document/names.ts";
import type { RunTree } from "../document/run_tree.ts";
import type { Version } from "../document/version_set.ts";
import type { KeyVersions } from "../storage/versions.ts";
import type { Destination } from "./destinations.ts";
import type { ReceiverHistory } from "./receiver_history.ts";

export interface Sending {
  /** Of the database that sends. */
  readonly own: DatabaseId;
  readonly destination: Pick<Destination, "collections" | "transitive">;
  readonly history: ReceiverHistory;
}

/**
 * True when the key goes there, with all its versions. It does when one of them has to: a set of several versions has not been written by anybody, so
 * "last written" is said of each of its versions, and each is last written by the database of its dot.
 *
 * - A version that the receiver wrote has to go where the receiver's present history is not known to have it: a failover has lost it there, and without
 *   `transitive`, too, nobody else would bring it back.
 * - Any other one has to where this database wrote it, or `transitive` says that the others are sent as well.
 *
 * So a conflict with a version of this database is sent until somebody has resolved it, also where another database's version is the latest of it, is shown, or
 * came here before the own one was sent. One that was resolved elsewhere is a document that was last written elsewhere. System documents have no versions.
 */
export function isToSend(
  tree: RunTree,
  { name, versions }: Pick<KeyVersions, "name" | "versions">,
  { own, destination, history }: Sending,
): boolean {
  const { collections, transitive } = destination;
  if (collections !== null && !collections.includes(collectionKey(name))) return false;
  return versions.some(({ dot }: Version) => {
    const writer = tree.get(dot.run)?.database;
    if (writer === history.receiver.databaseId) return !history.has(tree, dot);
    return transitive || writer === own;
  });
}
