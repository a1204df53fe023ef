/** Where a receiver begins to lack something: what the effect `findCommon` asks for. */
import type { Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { LogReader } from "../storage/log.ts";
import { origin } from "../storage/log.ts";
import { termAt } from "../storage/position_text.ts";
import type { Storage } from "../storage/storage.ts";
import type { DotPlace } from "../storage/versions.ts";
import type { Cursor, Place } from "./outgoing_events.ts";
import type { ReceiverHistory } from "./receiver_history.ts";
import type { RunHeights } from "./run_heights.ts";

export function placeAt({ terms }: Pick<LogReader, "terms">, seq: Seq): Place {
  const { epoch, run } = termAt(terms, seq);
  return { epoch, run, seq };
}

/** All up to `seq`, as it is now. */
export function cursorAt(log: LogReader, seq: Seq): Cursor {
  return { ...placeAt(log, seq), asOf: placeAt(log, log.last.seq) };
}

/** True when that entry is in this node's present history. */
export function isInHistory(log: LogReader, { epoch, run, seq }: Place): boolean {
  if (seq > log.last.seq) return false;
  const here = seq === 0 ? origin : termAt(log.terms, seq);
  return here.epoch === epoch && here.run === run;
}

/**
 * At most `cursor`, if all of it is in this history, else the origin; and before the first version here that the receiver wrote and its history lacks.
 * Yields after each slice. `heights` is brought up to date.
 */
export function* findCommon(
  storage: Storage,
  cursor: Cursor | null,
  history: ReceiverHistory,
  heights: RunHeights,
): Generator<void, Cursor, void> {
  const { log } = storage,
    safe = cursor !== null && isInHistory(log, cursor) && isInHistory(log, cursor.asOf);
  const end = safe && cursor.seq <= cursor.asOf.seq ? cursor.seq : seqOf(0);
  if (end === 0) return cursorAt(log, end);
  yield* heights.raise(storage);
  const tree = storage.read(({ versions }) => versions?.tree ?? null);
  if (tree === null || !heights.mayLack(tree, history)) return cursorAt(log, end);
  const lost = yield* firstLost(storage, end, history);
  return cursorAt(log, lost === null ? end : seqOf(lost - 1));
}

/** The entry that brought the first version, up to `end`, that was written there and lost; null: there is none. */
function* firstLost(storage: Storage, end: Seq, history: ReceiverHistory): Generator<void, Seq | null, void> {
  let after: Seq | DotPlace | null = seqOf(0);
  while (after !== null) {
    const from: Seq | DotPlace = after;
    const { lost, next } = storage.read(({ versions }): { lost: Seq | null; next: DotPlace | null } => {
      if (versions === null) return { lost: null, next: null };
      const { tree } = versions, page = versions.dotsSince(from, limits.masterSliceDots);
      for (const { change, dot } of page.dots) {
        if (change > end) return { lost: null, next: null };
        const theirs = tree.get(dot.run)?.database === history.receiver.databaseId;
        if (theirs && !history.has(tree, dot)) return { lost: change, next: null };
      }
      return { lost: null, next: page.next };
    });
    if (lost !== null) return lost;
    after = next;
    yield;
  }
  return null;
}
