/** What clients read must have been the state of that node at some time while they asked. */
import type { History } from "./history.ts";
import { contains, entriesAfter, type Entry, parentOf, tokenOf } from "./history_tree.ts";
import type { IndexMakings } from "./index_makings.ts";
import type { Replay } from "./replay.ts";
import { State } from "./state.ts";
import { type ReadSeen, type RefusedRead, type StateSeen, Violation } from "./types.ts";
import type { WrittenTags } from "./written_tags.ts";

export interface ReadCheckOptions {
  readonly history: History;
  readonly replay: Replay;
  readonly tags: WrittenTags;
  /** None: nobody makes indexes beside others who write. */
  readonly makings?: IndexMakings;
}

/**
 * Compares one document with what it was at the ends that the machine's log had between request and answer. Since a machine's log never goes
 * back, a client that was promised a write there before it asked sees that or a newer one; a read on a follower is of a state that
 * its leader had, because both are of one history.
 */
export function checkRead(read: ReadSeen, { history, replay, tags }: ReadCheckOptions): void {
  const { machine, collection, id, seen, sentAt, knownAt } = read;
  const { notBefore } = read, least = notBefore === undefined ? null : history.byToken(notBefore);
  const all = history.tipsBetween(machine, sentAt, knownAt);
  const tips = least === null ? all : all.filter((tip) => contains(tip, least));
  if (tips.length === 0) throw wrong(read, `it never was at ${notBefore} meanwhile`);
  const written = seen === null ? null : entrySeen(read, seen, { history, tags });
  if (tips.some((tip) => (replay.valueAt(tip, collection, id)?.entry ?? null) === written)) return;
  const first = tips[0] as Entry, last = tips.at(-1) as Entry;
  const was = (tip: Entry): string => {
    const value = replay.valueAt(tip, collection, id);
    return value === null ? "no document" : `of ${tokenOf(value.entry)}`;
  };
  const why = written !== null && !contains(last, written) ? ", and it never had that" : "";
  throw wrong(
    read,
    `it was ${was(first)} at ${tokenOf(first)} and ${was(last)} at ${
      tokenOf(last)
    }, where ${machine} was meanwhile${why}`,
  );
}

/** What was seen must hold of a state that the machine had meanwhile; a write sees those between the entries of one commit, too. */
export function checkState(
  { client, machine, what, holds, making, within, sentAt, knownAt }: StateSeen,
  { history, replay, makings }: Pick<ReadCheckOptions, "history" | "replay" | "makings">,
): void {
  const tips = history.tipsBetween(machine, sentAt, knownAt);
  const entries = within ? allBetween(tips) : tips;
  if (entries.some((entry) => holds(new State(replay, entry)))) return;
  if (making !== undefined && makings?.some(machine, sentAt, knownAt, making) === true) return;
  throw new Violation(
    "states",
    `${client} was told by ${machine} between ${sentAt.toFixed(2)} and ${knownAt.toFixed(2)}: ${what}; ` +
      `that was never so from ${tokenOf(tips[0] as Entry)} to ${tokenOf(tips.at(-1) as Entry)}`,
  );
}

/** With the entries in between: what a write finds may be overtaken in its own commit. */
function allBetween(tips: readonly Entry[]): readonly Entry[] {
  const all: Entry[] = [];
  for (const tip of tips) {
    const before = all.at(-1);
    if (before === undefined) all.push(tip);
    else all.push(...(contains(tip, before) ? entriesAfter(tip, before) : [parentOf(tip) ?? tip, tip]));
  }
  return all;
}

/** A machine that holds a position all the time does not refuse to read at it. */
export function checkBehind(
  { client, machine, position, code, sentAt, knownAt }: RefusedRead,
  { history }: Pick<ReadCheckOptions, "history">,
): void {
  const entry = history.byToken(position), tips = history.tipsBetween(machine, sentAt, knownAt);
  if (entry === null || tips.some((tip) => !contains(tip, entry))) return;
  throw new Violation(
    "reads",
    `${client} was told ${code} by ${machine} between ${sentAt.toFixed(2)} and ${
      knownAt.toFixed(2)
    }, which had ${position} all the time`,
  );
}

function entrySeen(
  read: ReadSeen,
  { tag, etag }: NonNullable<ReadSeen["seen"]>,
  { history, tags }: Pick<ReadCheckOptions, "history" | "tags">,
): Entry {
  const entry = history.byToken(etag), writer = tags.entry(tag);
  if (entry === null) throw wrong(read, "no node ever had an entry of this etag");
  if (tags.entries(tag).includes(entry)) return entry;
  throw wrong(read, `the document was written by ${writer === null ? "no entry" : tokenOf(writer)}`);
}

function wrong(
  { client, machine, collection, id, seen, sentAt, knownAt }: ReadSeen,
  what: string,
): Violation {
  const saw = seen === null ? "nothing" : `${seen.tag} (${seen.etag})`;
  return new Violation(
    "reads",
    `${client} saw ${saw} as ${collection}/${id} on ${machine} between ${sentAt.toFixed(2)} and ` +
      `${knownAt.toFixed(2)}: ${what}`,
  );
}
