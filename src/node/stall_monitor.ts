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
  /**
   * How long ago this was looked at last, ms: no more than a look's interval while the thread runs. To be asked before something that
   * must not follow a standstill, because what waits in the queue runs before the timer that would tell.
   */
  standstillMs(): number;
  /** Calls `listener` as the option says. Returns what ends that. */
  onStandstill(listener: (ms: number) => void): () => void;
  stop(): void;
}

export interface StallMonitorOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The thread, or the whole machine, stood still for so long: more than `limits.stallMs`. */
  readonly onStandstill?: (ms: number) => void;
}

const warnEveryMs = 60_000;

/** The wall clock may run ahead of the monotonic one by so much between two looks. */
const wallAheadMs = 1_000;

export function stallMonitor({ clock, logger, onStandstill = () => {} }: StallMonitorOptions): StallMonitor {
  let longestMs = 0, recentMs = 0, over = 0, warnedAt: number | null = null;
  const listeners = new Set([onStandstill]);
  let looked = { at: clock.monotonic(), wallMs: clock.wall() };
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
  /** While a machine sleeps its monotonic clock may stand still; a wall clock that is set looks the same. */
  const standstillMs = (): number => {
    const ms = clock.monotonic() - looked.at, wallMs = clock.wall() - looked.wallMs;
    return wallMs - ms > wallAheadMs ? wallMs : ms;
  };
  const next = (): void => {
    const everyMs = limits.stallLookMs;
    const due = clock.monotonic() + everyMs;
    timer = clock.timer(everyMs, () => {
      const stoodMs = standstillMs();
      looked = { at: clock.monotonic(), wallMs: clock.wall() };
      note(Math.max(0, looked.at - due));
      if (stoodMs > limits.stallMs) listeners.forEach((listener) => listener(stoodMs));
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
    standstillMs,
    onStandstill(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    stop: () => timer.cancel(),
  };
}
