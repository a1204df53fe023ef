import { DfdbError } from "../base/errors.ts";
import type { Clock } from "../runtime/runtime.ts";

interface Job {
  /** One slice; true: there is more. */
  readonly step: () => boolean;
}

/** Pieces of work that take turns: one slice of one of them in a macrotask. */
export class Slices {
  readonly #clock: Clock;
  #jobs: Job[] = [];
  #scheduled = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Works through `work` from a later macrotask on; then one of the two is called, `failed` with a DfdbError that was thrown. The function that is
   * returned gives it up: neither is called then.
   */
  add<Result>(
    work: Generator<void, Result, void>,
    done: (result: Result) => void,
    failed: (error: DfdbError) => void,
  ): () => void {
    const step = (): boolean => {
      let next: IteratorResult<void, Result>;
      try {
        next = work.next();
      } catch (thrown) {
        if (!(thrown instanceof DfdbError)) throw thrown;
        failed(thrown);
        return false;
      }
      if (next.done === true) done(next.value);
      return next.done !== true;
    };
    const job = { step };
    this.#jobs.push(job);
    this.#schedule();
    return () => {
      this.#jobs = this.#jobs.filter((one) => one !== job);
    };
  }

  #schedule(): void {
    if (this.#scheduled || this.#jobs.length === 0) return;
    this.#scheduled = true;
    this.#clock.macrotask(() => {
      this.#scheduled = false;
      const job = this.#jobs.shift();
      if (job === undefined) return;
      // At the end of the queue before it is known to go on, so that it can be given up by what it calls.
      this.#jobs.push(job);
      if (!job.step()) this.#jobs = this.#jobs.filter((one) => one !== job);
      this.#schedule();
    });
  }
}
