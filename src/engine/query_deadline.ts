import { DfdbError } from "../base/errors.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";

/** What may end a statement from outside: its time, whoever asked, the end of the node. */
export class Deadline {
  readonly #reasons: DeadlineReasons;
  readonly #timer: Timer;
  readonly #aborted: () => void;
  #over = false;

  /** Calls `stop` once with why, not before this has returned. */
  constructor(reasons: DeadlineReasons, stop: (reason: unknown) => void) {
    const { clock, beganMs, timeoutMs, signal, all } = reasons;
    const end = (reason: unknown): void => {
      if (this.#over) return;
      this.clear();
      stop(reason);
    };
    this.#reasons = reasons;
    this.#aborted = () => end(signal?.reason);
    this.#timer = clock.timer(
      Math.max(0, beganMs + timeoutMs - clock.monotonic()),
      () => end(timedOut(timeoutMs)),
    );
    signal?.addEventListener("abort", this.#aborted);
    all.add(this.end = end);
  }

  readonly end: (reason: unknown) => void;

  /** From now on nothing ends it. */
  clear(): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer.cancel();
    this.#reasons.signal?.removeEventListener("abort", this.#aborted);
    this.#reasons.all.delete(this.end);
  }
}

export interface DeadlineReasons {
  readonly clock: Clock;
  /** Monotonic. */
  readonly beganMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** All that are under way: what ends them when the node ends. */
  readonly all: Set<(reason: unknown) => void>;
}

function timedOut(timeoutMs: number): DfdbError {
  const message = `The query was not done in ${
    timeoutMs / 1000
  } s: give it more time, or ask for less (an index, a LIMIT)`;
  return new DfdbError("query_timeout", message, { details: { timeoutMs } });
}
