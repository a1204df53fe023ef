import type { Clock, Timer } from "../runtime/runtime.ts";

/** A shorter call needs no rest, ms: timers are coarser. */
const unnoticedMs = 0.5;
const restMsMax = 5;

/**
 * A call for everything that asked since the last one, in a later macrotask: the clients of a commit are answered first, and what
 * is committed meanwhile goes along. After a call that took long (many followers) the next one waits as long again, so that
 * however many follow, sending leaves half of the thread to writes, and one message carries more of them.
 */
export class SpacedCalls {
  readonly #clock: Clock;
  readonly #call: () => void;
  #asked = false;
  #stopped = false;
  #notBefore = 0;
  #timer: Timer | null = null;

  constructor(clock: Clock, call: () => void) {
    this.#clock = clock;
    this.#call = call;
  }

  ask(): void {
    if (this.#asked || this.#stopped) return;
    this.#asked = true;
    const restMs = this.#notBefore === 0 ? 0 : this.#notBefore - this.#clock.monotonic();
    if (restMs > 0) this.#timer = this.#clock.timer(restMs, () => this.#run());
    else this.#clock.macrotask(() => this.#run());
  }

  /** No call comes any more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #run(): void {
    if (this.#stopped) return;
    this.#asked = false;
    const from = this.#clock.monotonic();
    this.#call();
    const now = this.#clock.monotonic(), tookMs = now - from;
    this.#notBefore = tookMs < unnoticedMs ? 0 : now + Math.min(tookMs, restMsMax);
  }
}
