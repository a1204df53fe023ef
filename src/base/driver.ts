import type { MonotonicMs } from "./ids.ts";
import type { Machine, Tick } from "./machine.ts";

/** What is needed of the `Clock` of a runtime. */
interface Clock {
  monotonic(): MonotonicMs;
  timer(delayMs: number, run: () => void): Timer;
  macrotask(run: () => void): void;
}

interface Timer {
  cancel(): void;
}

/**
 * Runs a machine: inputs one after the other, the effects of each in order before the next input, and one timer. The timer
 * is moved only when the deadline comes nearer; one that rings early finds nothing to do and is set again.
 */
export class Driver<Input, Effect> {
  readonly #machine: Machine<Input | Tick, Effect>;
  readonly #clock: Clock;
  readonly #perform: (effect: Effect) => void;
  readonly #inputs: (Input | Tick)[] = [];
  #running = false;
  #timer: { readonly timer: Timer; readonly at: MonotonicMs } | null = null;

  constructor(machine: Machine<Input | Tick, Effect>, clock: Clock, perform: (effect: Effect) => void) {
    this.#machine = machine;
    this.#clock = clock;
    this.#perform = perform;
  }

  /** Takes an input; while effects are performed it waits its turn. */
  feed(input: Input | Tick): void {
    this.#inputs.push(input);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        for (const effect of this.#machine.step(next, this.#clock.monotonic())) this.#perform(effect);
      }
    } finally {
      this.#running = false;
    }
    this.aim();
  }

  /** Sets the timer to the machine's deadline. */
  aim(): void {
    const at = this.#machine.deadline;
    if (this.#timer !== null && at !== null && this.#timer.at <= at) return;
    this.#timer?.timer.cancel();
    this.#timer = null;
    if (at === null) return;
    const delayMs = Math.max(0, at - this.#clock.monotonic());
    const timer = this.#clock.timer(delayMs, () => {
      this.#timer = null;
      this.feed({ type: "tick" });
    });
    this.#timer = { timer, at };
  }
}

/** Ends the process by an uncaught error: for failures of our own code, which no promise may swallow. */
export function crash(clock: Clock, thrown: unknown): void {
  clock.macrotask(() => {
    throw thrown;
  });
}

/** Promises that run beside the caller and that a close waits for. */
export class Tasks {
  readonly #running = new Set<Promise<void>>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `task` must handle what can be expected; anything else that it throws ends the process. */
  add(task: Promise<void>): void {
    const own: Promise<void> = task.catch((thrown) => crash(this.#clock, thrown)).then(() => {
      this.#running.delete(own);
    });
    this.#running.add(own);
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
