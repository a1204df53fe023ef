/** Was a log trimmed too early? It is to keep what is within its bytes and its age; a little more than the excess may go. */
import type { LogReader, TermRecord } from "../../src/storage/log.ts";
import type { History, Seen } from "./history.ts";
import type { Entry } from "./history_tree.ts";
import { ancestorAt, parentOf, tokenOf } from "./history_tree.ts";
import { type Observed, Violation } from "./types.ts";

/** What a node was told to keep. */
export interface Retention {
  readonly logBytesMax: number;
  readonly logAgeMs: number;
  /** The node's clock, wall ms. */
  readonly wallMs: number;
}

/** A snapshot that was made, by the id under which followers take it. */
export interface MadeSnapshot {
  readonly seq: number;
  readonly bytes: number;
}

/** How a log looked. */
interface Look {
  readonly process: string;
  readonly log: LogReader;
  readonly first: number;
  readonly last: number;
  readonly terms: readonly TermRecord[];
  /** The latest that the process' clock ever showed. */
  readonly wallMs: number;
}

export class RetentionCheck {
  readonly #history: History;
  readonly #looks = new Map<string, Look>();
  readonly #snapshots = new Map<string, MadeSnapshot>();

  constructor(history: History) {
    this.#history = history;
  }

  /** A snapshot was made: while a follower takes it, the log after it stays. */
  made(id: string, snapshot: MadeSnapshot): void {
    this.#snapshots.set(id, snapshot);
  }

  /** To be called after each event of the node, when it was observed: what went since the last call went by trimming. */
  check(
    node: Seen & Partial<Pick<Observed, "followers">>,
    { logBytesMax, logAgeMs, wallMs }: Retention,
  ): void {
    const { machine, process } = node, { log } = node.storage, before = this.#looks.get(machine);
    if (
      before?.log === log && before.first === log.first && before.last === log.last.seq &&
      before.wallMs >= wallMs
    ) {
      return;
    }
    const same = before?.process === process && before.log === log;
    const latest = same ? Math.max(before.wallMs, wallMs) : wallMs;
    this.#looks.set(machine, {
      process,
      log,
      first: log.first,
      last: log.last.seq,
      terms: log.terms,
      wallMs: latest,
    });
    // A snapshot that was installed brings a log of its own, and terms that were read anew.
    if (!same || before.last !== log.last.seq || before.terms !== log.terms || log.first <= before.first) {
      return;
    }
    const tip = this.#history.tip(machine);
    const trim = { from: before.first, to: log.first - 1, logBytesMax, logAgeMs, wallMs: latest };
    checkTrim(process, tip, trim);
    for (const { nodeName, snapshot } of node.followers?.() ?? []) {
      const made = snapshot === null ? undefined : this.#snapshots.get(snapshot.id);
      if (made !== undefined) checkHeld(process, tip, { ...trim, made, nodeName });
    }
  }
}

interface Trim extends Retention {
  /** First and last entry that went. */
  readonly from: number;
  readonly to: number;
}

/** The log may be longer by the snapshot's size for a follower that takes it. */
function checkHeld(
  process: string,
  tip: Entry,
  { from, to, logBytesMax, made: { seq, bytes }, nodeName }: Trim & {
    readonly made: MadeSnapshot;
    readonly nodeName: string;
  },
): void {
  const first = ancestorAt(tip, from), before = first === null ? null : parentOf(first);
  const total = tip.endBytes - (before?.endBytes ?? 0);
  if (to <= seq || total > logBytesMax + bytes) return;
  throw new Violation(
    "retention",
    `${process} trimmed its log of ${total} bytes up to entry ${to} while ${nodeName} takes a snapshot of ${bytes} bytes ` +
      `that ends at ${seq}`,
  );
}

function checkTrim(process: string, tip: Entry, { from, to, logBytesMax, logAgeMs, wallMs }: Trim): void {
  const bytesFrom = (seq: number): number => {
    const entry = ancestorAt(tip, seq), before = entry === null ? null : parentOf(entry);
    return tip.endBytes - (before?.endBytes ?? 0);
  };
  const total = bytesFrom(from), kept = logBytesMax - logBytesMax / 8;
  const oldBefore = Math.min(wallMs, tip.wallMs) - logAgeMs;
  for (let seq = from; seq <= to; seq++) {
    const entry = ancestorAt(tip, seq) as Entry, old = entry.wallMs < oldBefore;
    if (old || (total > logBytesMax && bytesFrom(seq) > kept)) continue;
    throw new Violation(
      "retention",
      `${process} trimmed ${tokenOf(entry)} too early: the log was of ${total} bytes, ${
        bytesFrom(seq)
      } of them from ` +
        `there on, ${logBytesMax} are to be kept; it is ${
          Math.min(wallMs, tip.wallMs) - entry.wallMs
        } ms old, ` +
        `${logAgeMs} ms are to be kept`,
    );
  }
  if (to >= tip.seq) throw new Violation("retention", `${process} trimmed its last entry, ${tokenOf(tip)}`);
}
