/** How a handover is going, for people: a line that is rewritten on a terminal, one line for each step elsewhere. */
import type { ProcessHost } from "../runtime/runtime.ts";
import type { HandoverStatus } from "./cluster_status.ts";
import { stepText } from "./status_notes.ts";
import { cut, duration, number, plain } from "./table.ts";

/** One look at the leader. */
export interface Look {
  /** Null before it has begun. */
  readonly handover: HandoverStatus | null;
  /** Since it was asked for. */
  readonly elapsedMs: number;
  /** The leader has not answered a look for so long; 0: it just has. */
  readonly unansweredMs: number;
}

export interface ProgressView {
  show(look: Look): void;
  /** A line that stays. */
  say(line: string): void;
  /** The rewritten line goes. */
  end(): void;
}

/** Without progress for so long: that is said. */
const stalledMs = 3_000;
const clearLine = "\r\u001b[K";

/** `target`: what the target is called before the leader has named it. */
export function progressView(
  process: Pick<ProcessHost, "stdout" | "stdoutIsTerminal" | "columns">,
  target: string,
): ProgressView {
  const stall = stallMeter();
  let drawn = false, told = "";
  const clear = (): void => {
    if (drawn) process.stdout(clearLine);
    drawn = false;
  };
  return {
    show(look) {
      const stalled = stall(look), step = stepLine(look.handover, target);
      const trouble = look.unansweredMs >= stalledMs
        ? ` (no answer for ${duration(look.unansweredMs)})`
        : stalled >= stalledMs
        ? ` (no progress for ${duration(stalled)})`
        : "";
      const text = plain(`[${duration(look.elapsedMs)}] ${step}${trouble}`);
      if (process.stdoutIsTerminal) {
        process.stdout(`\r${cut(text, (process.columns ?? 80) - 1)}\u001b[K`);
        drawn = true;
        return;
      }
      const key = `${look.handover?.step} ${trouble !== ""}`;
      if (key !== told && (trouble !== "" || look.handover !== null)) process.stdout(`${text}\n`);
      told = key;
    },
    say(line) {
      clear();
      process.stdout(`${plain(line)}\n`);
    },
    end: clear,
  };
}

/** How long neither the step nor the target's position has changed. */
function stallMeter(): (look: Look) => number {
  let key = "", since = 0;
  return ({ handover, elapsedMs }) => {
    const now = `${handover?.step} ${handover?.targetSeq}`;
    if (now !== key) since = elapsedMs;
    key = now;
    return elapsedMs - since;
  };
}

function stepLine(handover: HandoverStatus | null, target: string): string {
  if (handover === null) return `asking for a handover to ${target}`;
  const { step, finalSeq, targetSeq } = handover, to = handover.to ?? target;
  const final = finalSeq === null ? "" : ` at ${number(finalSeq)}`;
  switch (step) {
    case "draining":
      return "draining: no write begins any more, those in progress end";
    case "catching_up":
      return `catching up: ${leftText(finalSeq, targetSeq, to)}`;
    case "preparing":
      return `preparing: ${to} holds everything${final} and gets ready to lead`;
    case "committing":
      return `committing: ${to} was told to lead${final}`;
    case "in_doubt":
      return `in doubt: ${to} was told to lead${final} and has not answered`;
    default:
      return stepText(step);
  }
}

function leftText(finalSeq: number | null, targetSeq: number | null, to: string): string {
  if (finalSeq === null) return `${to} gets what it lacks`;
  const left = targetSeq === null ? null : Math.max(0, finalSeq - targetSeq);
  return `${to} lacks ${number(left)} ${left === 1 ? "entry" : "entries"} of final position ${
    number(finalSeq)
  }`;
}
