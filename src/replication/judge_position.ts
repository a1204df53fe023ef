import { DfdbError, type ErrorCode } from "../base/errors.ts";
import type { Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { type LogReader, type Position, samePosition, type Term, type TermRecord } from "../storage/log.ts";
import { termAt as termIn } from "../storage/position_text.ts";
import type { Hello, Probed, Welcome } from "../wire/message.ts";

/** How a follower goes on after its welcome. */
export interface Verdict {
  readonly follow: Welcome["follow"];
  /** Its last entry is in this history, compared by chain. */
  readonly found: boolean;
}

/** Whose leadership it is, and under which epoch: its log has entries of that one only after the first write. */
export type Leading = Pick<TermRecord, "nodeId" | "epoch">;

/** How the follower of `hello` is brought to this leader's state, or why it is refused (PROTOCOL.md section 4). */
export function judgeFollow(
  log: LogReader,
  leading: Leading,
  hello: Hello,
  snapshotAboveEntries: number,
): Verdict | DfdbError {
  const { position, resync } = hello, wrong = judgePosition(log, position);
  if (wrong === null) {
    const empty = position.seq === 0;
    const anew = empty ? log.last.seq >= snapshotAboveEntries : resync;
    return { follow: anew ? "snapshot" : "stream", found: !empty };
  }
  if (wrong.code === "compacted") return { follow: "snapshot", found: false };
  if (wrong.code === "diverged") return { follow: "rescue", found: false };
  // Nothing damaged is given up by itself; who asks for a new copy keeps what he has in `rescued/` first.
  if (wrong.code === "corrupt" && resync) return { follow: "snapshot", found: false };
  return wrong.code === "stale_epoch" && isOwnLoss(leading, hello) ? refusal("ahead", log) : wrong;
}

/**
 * True when the follower's entries are of the epoch in which this node is about to write, and of a run of its own: there is no other
 * leader to look for, older files were put back.
 */
function isOwnLoss({ nodeId, epoch }: Leading, { position, terms }: Hello): boolean {
  const newest = terms.at(-1);
  return position.epoch === epoch && newest !== undefined && sameTerm(newest, position) &&
    newest.nodeId === nodeId;
}

/** What this log has at `seq`, as far as it still knows. */
export function probedAt(log: LogReader, seq: Seq): Probed {
  const here = log.at(seq);
  if (here === "ahead") return { type: "probed", seq, term: null, chain: null };
  if (here === "compacted") return { type: "probed", seq, term: termAt(log, seq), chain: null };
  return { type: "probed", seq, term: { epoch: here.epoch, run: here.run }, chain: here.chain };
}

/** The term of entry `seq`, also of one that was trimmed away; null before the first term and after the last entry. */
export function termAt(log: LogReader, seq: Seq): Term | null {
  if (seq === 0 || seq > log.last.seq) return null;
  const { epoch, run } = termIn(log.terms, seq);
  return { epoch, run };
}

/** True when the log went through this position, or must have, because it was trimmed behind it. */
export function isInHistory(log: LogReader, position: Position): boolean {
  const wrong = judgePosition(log, position);
  return wrong === null || wrong.code === "compacted";
}

/**
 * The least that a snapshot for a follower at `position` must hold, so that it is not refused as older. What is to be
 * rescued is not in this history: the last entry in common is before the first one of a higher epoch here.
 */
export function snapshotNotBefore(log: LogReader, { seq, epoch }: Position, follow: Welcome["follow"]): Seq {
  const above = follow === "rescue" ? log.terms.find((term) => term.epoch > epoch) : undefined;
  return above === undefined ? seq : seqOf(Math.min(seq, above.firstSeq - 1));
}

/**
 * Is `position` of a follower in the history of `log`, so that the stream can continue it? Null: yes. Otherwise why
 * not: `compacted`, `corrupt`, `stale_epoch`, `diverged` or `ahead` (PROTOCOL.md section 4), with the leader's position
 * in the details.
 */
export function judgePosition(log: LogReader, position: Position): DfdbError | null {
  const trimmed = position.seq + 1 < log.first;
  if (position.seq === 0) return trimmed ? refusal("compacted", log) : null;
  const here = trimmed ? "compacted" : log.at(position.seq);
  if (typeof here === "object") {
    if (samePosition(here, position)) return null;
    if (sameTerm(here, position)) return refusal("corrupt", log);
  }
  if (here === "compacted" && runHolds(log, position)) return refusal("compacted", log);
  const epoch = log.last.epoch;
  if (position.epoch > epoch) return refusal("stale_epoch", log);
  return refusal(position.epoch < epoch ? "diverged" : "ahead", log);
}

/** True when both belong to one leadership. */
export function sameTerm(a: Term, b: Term): boolean {
  return a.epoch === b.epoch && a.run === b.run;
}

/** True when the terms of `log` say that entry `position.seq` was written in the position's run. */
function runHolds(log: LogReader, position: Position): boolean {
  const term = termAt(log, position.seq);
  return term !== null && sameTerm(term, position);
}

type PositionRefusal = Extract<ErrorCode, "compacted" | "corrupt" | "stale_epoch" | "diverged" | "ahead">;

const sentences: Readonly<Record<PositionRefusal, string>> = {
  compacted: "the leader's log no longer reaches back to the follower's position",
  corrupt: "the follower's last entry differs from the leader's inside one run: one of the two is damaged",
  stale_epoch: "the follower has entries of a higher epoch than this leader's",
  diverged: "the follower's last entries are not in the leader's history: their run ended before",
  ahead: "the follower holds entries of this epoch that the leader does not have",
};

function refusal(code: PositionRefusal, log: LogReader): DfdbError {
  const { seq, epoch, run } = log.last;
  const details = { seq, epoch, run, ...(code === "compacted" ? { firstSeq: log.first } : {}) };
  return new DfdbError(code, `${sentences[code]} (leader at ${epoch}.${run.slice(0, 8)}-${seq})`, {
    details,
  });
}
