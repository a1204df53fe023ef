import { DfdbError, type ErrorCode } from "../base/errors.ts";
import { type LogReader, type Position, samePosition } from "../storage/log.ts";

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
export function sameTerm(a: Position, b: Position): boolean {
  return a.epoch === b.epoch && a.run === b.run;
}

/** True when the terms of `log` say that entry `position.seq` was written in the position's run. */
function runHolds(log: LogReader, position: Position): boolean {
  const index = log.terms.findIndex((term) => term.run === position.run && term.epoch === position.epoch);
  const begin = log.terms[index]?.firstSeq;
  if (begin === undefined || position.seq < begin || position.seq > log.last.seq) return false;
  const end = log.terms[index + 1]?.firstSeq;
  return end === undefined || position.seq < end;
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
