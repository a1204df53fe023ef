/** What the plans of a committed group are told, and when. */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { Emitter } from "../base/signal.ts";
import type { Position } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import type { Committed, LostRight } from "./plan.ts";

export interface Answer {
  readonly resolve: (committed: Committed<unknown>) => void;
  readonly reject: (error: unknown) => void;
}

/** `wrote`: the plan's own entries are in the log, or it is answered as if they were. */
export type Outcome =
  | { readonly value: unknown; readonly position: Position; readonly wrote: boolean }
  | { readonly error: unknown };

export interface GroupAnswersOptions {
  readonly committed: Emitter<Position>;
  /** As in `EngineOptions`. */
  readonly replicated: (position: Position) => Promise<void> | null;
  /** As in `EngineOptions`. */
  readonly stillLeads: () => LostRight | null;
  /** A group that waited for followers was answered. */
  readonly onAnswered: () => void;
}

export class GroupAnswers {
  /** Plans that are committed and wait for followers. */
  waiting = 0;
  readonly #options: GroupAnswersOptions;

  constructor(options: GroupAnswersOptions) {
    this.#options = options;
  }

  /** After COMMIT, in its macrotask: tells the new end of the log and answers, those that wrote when the followers have it. */
  committed(group: readonly Answer[], outcomes: readonly Outcome[], before: Position, after: Position): void {
    const unchanged = samePosition(before, after);
    const asWrites = !unchanged || outcomes.some((outcome) => "wrote" in outcome && outcome.wrote);
    const lost = asWrites ? this.#options.stillLeads() : null;
    const wait = !asWrites || lost !== null ? null : this.#options.replicated(after);
    // The followers have to get it before they can hold it; without a wait the clients come first.
    if (wait !== null && !unchanged) this.#options.committed.emit(after);
    const waiting: (() => void)[] = [], rejects: Answer["reject"][] = [];
    group.forEach(({ resolve, reject }, i) => {
      const outcome = outcomes[i];
      assert(outcome !== undefined, "every plan of a committed group has an outcome");
      if ("error" in outcome) return reject(outcome.error);
      const { value } = outcome;
      // Where nothing was kept, a position inside the transaction (after the run's term entry) never came to be.
      const position = unchanged ? after : outcome.position;
      if (outcome.wrote && lost !== null) return reject(lost.error);
      if (wait === null || !outcome.wrote) return resolve({ value, position });
      waiting.push(() => resolve({ value, position }));
      rejects.push((error) => reject(ofWrite(error, position)));
    });
    if (wait !== null) this.#wait(wait, waiting, rejects);
    // Where it is certain that this node may not lead, its tail is nobody's business.
    else if (!unchanged && lost?.quiet !== true) this.#options.committed.emit(after);
  }

  #wait(
    wait: Promise<void>,
    resolves: readonly (() => void)[],
    rejects: readonly ((error: unknown) => void)[],
  ): void {
    this.waiting += resolves.length;
    const over = (answer: () => void): void => {
      this.waiting -= resolves.length;
      answer();
      this.#options.onAnswered();
    };
    wait.then(
      () => over(() => resolves.forEach((resolve) => resolve())),
      (error: unknown) => over(() => rejects.forEach((reject) => reject(error))),
    );
  }
}

/** The group's failure as one of its writes is told it: `seq` is that write's own. */
function ofWrite(error: unknown, { seq }: Position): unknown {
  if (!(error instanceof DfdbError) || error.code !== "replication_timeout") return error;
  return new DfdbError(error.code, error.message, { details: { ...error.details, seq }, cause: error });
}
