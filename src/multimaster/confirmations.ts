/** What a peer has said that it holds, and whether that is a deletion of this database. */
import type { DatabaseId, Seq } from "../base/ids.ts";
import { collectionKey } from "../document/names.ts";
import type { Dot, RunTree } from "../document/run_tree.ts";
import type { LogReader, Term } from "../storage/log.ts";
import type { KeyVersions } from "../storage/versions.ts";
import { isInHistory } from "./find_common.ts";
import type { Cursor } from "./outgoing_events.ts";
import type { HistoryRun } from "./receiver_history.ts";
import { ReceiverHistory } from "./receiver_history.ts";

/** All of `sender`'s up to `cursor` that passes `filter` was stored. */
export interface Holding {
  readonly sender: DatabaseId;
  readonly filter: string;
  readonly cursor: Cursor;
}

/** What a peer said last; another leadership of it may have lost all of that. */
export interface Confirmation {
  readonly databaseId: DatabaseId;
  readonly term: Term;
  /** Where its log ended, in that term, when it held all this; null: it did not say. */
  readonly seq: Seq | null;
  /** The newest runs of its history, oldest first. */
  readonly history: readonly HistoryRun[];
  readonly holds: readonly Holding[];
}

/** This database, as it is now. */
export interface Confirmed {
  readonly databaseId: DatabaseId;
  readonly tree: RunTree;
  readonly log: LogReader;
}

type Deleted = Pick<KeyVersions, "name" | "change" | "versions">;

/**
 * True when `peer` is known to hold all versions of the key, or what has seen them, so that it will never send what they have deleted. It does where it
 * was sent all up to their change; and each one where it wrote it itself and has not lost it since, or has received all of the one who wrote it up to there. False where
 * that is not known.
 */
export function isConfirmed(own: Confirmed, peer: Confirmation, key: Deleted): boolean {
  if (peer.holds.some((holding) => holding.sender === own.databaseId && wasSent(own, peer, holding, key))) {
    return true;
  }
  const history = new ReceiverHistory(peer, peer.history);
  return key.versions.every(({ dot }) =>
    history.has(own.tree, dot) || peer.holds.some((holding) => wasReceived(own, holding, key.name, dot))
  );
}

/** A key is sent with all its versions (`to_send.ts`), at its last change. */
function wasSent(
  { tree, log, databaseId }: Confirmed,
  peer: Confirmation,
  holding: Holding,
  key: Deleted,
): boolean {
  const { cursor } = holding, filter = readFilter(holding.filter);
  if (cursor.seq < key.change || cursor.seq > cursor.asOf.seq || !filter.passes(key.name)) return false;
  if (!isInHistory(log, cursor) || !isInHistory(log, cursor.asOf)) return false;
  return key.versions.some(({ dot }) => {
    const writer = tree.get(dot.run)?.database;
    return writer !== peer.databaseId && (filter.transitive || writer === databaseId);
  });
}

/** Of another sender. Only at its very end: what it had superseded by then, and not sent yet, is behind a cursor in the middle. */
function wasReceived(
  { tree, databaseId }: Confirmed,
  { sender, filter, cursor }: Holding,
  name: string,
  dot: Dot,
): boolean {
  const { run, seq, asOf } = cursor;
  if (sender === databaseId) return false;
  if (tree.get(dot.run)?.database !== sender || asOf.seq !== seq || asOf.run !== run || seq === 0) {
    return false;
  }
  return tree.get(run)?.database === sender && readFilter(filter).passes(name) &&
    tree.covers({ run, seq }, dot);
}

/** Newer ones take the place of older ones of the same sender and filter, where the older ones are not further; under another term all do. */
export function joinConfirmations(
  { databaseId, log }: Pick<Confirmed, "databaseId" | "log">,
  older: Confirmation | null,
  newer: Confirmation,
): Confirmation {
  if (older === null || older.term.run !== newer.term.run || older.term.epoch !== newer.term.epoch) {
    return newer;
  }
  const holds = new Map(older.holds.map((holding) => [keyOf(holding), holding]));
  for (const holding of newer.holds) {
    const { cursor, sender } = holding, known = holds.get(keyOf(holding))?.cursor;
    // Of one history the further one: an answer may have been overtaken, and what a peer keeps lags behind what it was sent.
    const isFurther = known !== undefined && known.seq > cursor.seq &&
      (sender === databaseId
        ? isInHistory(log, known) && isInHistory(log, known.asOf)
        : known.run === cursor.run);
    if (!isFurther) holds.set(keyOf(holding), holding);
  }
  return {
    ...newer,
    history: newer.history.length > 0 ? newer.history : older.history,
    holds: [...holds.values()].sort((a, b) => keyOf(a) < keyOf(b) ? -1 : 1),
  };
}

function keyOf({ sender, filter }: Holding): string {
  return `${sender} ${filter}`;
}

interface Filter {
  readonly transitive: boolean;
  passes(name: string): boolean;
}

/** `Destination.filter`; of what it cannot be nothing passes. */
function readFilter(text: string): Filter {
  const match = /^(transitive)?(?:(^|:)only=(.+))?$/.exec(text), only = match?.[3];
  const collections = only === undefined ? null : new Set(only.split(","));
  return {
    transitive: match?.[1] !== undefined,
    passes: (name) => match !== null && (collections === null || collections.has(collectionKey(name))),
  };
}
