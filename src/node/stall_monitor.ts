/** How long the thread was held by one piece of work: a timer that comes late tells by how much. */
import type { Logger } from "../base/logger.ts";
import { limits } from "../base/limits.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";

/** Ms. A suspended process counts as held, too. */
export interface Stalls {
  /** The longest since the start. */
  readonly longestMs: number;
  /** The longest since {@linkcode StallMonitor.take} was last called. */
  readonly recentMs: number;
  /** How many were over `limits.stallMs`. */
  readonly over: number;
}

export interface StallMonitor {
  look(): Stalls;
  /** As `look`; `recentMs` begins anew. */
  take(): Stalls;
  stop(): void;
}

const warnEveryMs = 60_000;

export function stallMonitor(clock: Clock, logger: Logger): StallMonitor {
  let longestMs = 0, recentMs = 0, over = 0, warnedAt: number | null = null;
  let timer: Timer;
  const note = (lateMs: number): void => {
    longestMs = Math.max(longestMs, lateMs);
    recentMs = Math.max(recentMs, lateMs);
    if (lateMs <= limits.stallMs) return;
    over++;
    const now = clock.monotonic();
    if (warnedAt !== null && now - warnedAt < warnEveryMs) return;
    warnedAt = now;
    logger.warn("the main thread was held", { ms: Math.round(lateMs), timesSinceStart: over });
  };
  const next = (): void => {
    const everyMs = limits.stallLookMs;
    const due = clock.monotonic() + everyMs;
    timer = clock.timer(everyMs, () => {
      note(Math.max(0, clock.monotonic() - due));
      next();
    });
  };
  next();
  const look = (): Stalls => ({ longestMs: Math.round(longestMs), recentMs: Math.round(recentMs), over });
  return {
    look,
    take() {
      const stalls = look();
      recentMs = 0;
      return stalls;
    },
    stop: () => timer.cancel(),
  };
}
