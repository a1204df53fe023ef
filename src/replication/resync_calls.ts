import { InvariantError } from "../base/assert.ts";
import { DfdbError, messageOf } from "../base/errors.ts";
import type { ResyncEffect, ResyncInput } from "./follower_events.ts";
import type { Resync } from "./types.ts";

/**
 * Makes the calls of `resync` one after the other and tells what came of each. After one that failed, those that were asked for
 * before `give` was told of it fail with the same error, without being made.
 */
export class ResyncCalls {
  readonly #resync: Resync;
  readonly #give: (input: ResyncInput) => void;
  #chain: Promise<void> = Promise.resolve();
  #waiting = 0;
  #failure: DfdbError | null = null;
  #stopped = false;

  constructor(resync: Resync, give: (input: ResyncInput) => void) {
    this.#resync = resync;
    this.#give = give;
  }

  /** Resolves when the call is made and told of; rejects only with failures of our own code. */
  make(effect: ResyncEffect): Promise<void> {
    this.#waiting++;
    return this.#chain = this.#chain.then(() => this.#next(effect));
  }

  /** What has not begun is not begun any more. */
  stop(): void {
    this.#stopped = true;
  }

  async #next(effect: ResyncEffect): Promise<void> {
    const input = await this.#outcome(effect);
    if (--this.#waiting === 0) this.#failure = null;
    this.#give(input);
  }

  async #outcome(effect: ResyncEffect): Promise<ResyncInput> {
    const stopped = this.#stopped ? new DfdbError("going_away", "this node stops following") : null;
    const error = this.#failure ?? stopped;
    if (error !== null) return { type: "resyncFailed", error };
    try {
      return await this.#call(effect);
    } catch (thrown) {
      if (thrown instanceof InvariantError) throw thrown;
      this.#failure = asDfdbError(thrown);
      return { type: "resyncFailed", error: this.#failure };
    }
  }

  async #call(effect: ResyncEffect): Promise<ResyncInput> {
    switch (effect.type) {
      case "rescue":
        await this.#resync.rescue(effect.common);
        return { type: "rescued" };
      case "resumable":
        return { type: "resumable", resume: await this.#resync.resumable() };
      case "begin":
        await this.#resync.begin(effect.offer);
        return { type: "begun" };
      case "write":
        await this.#resync.write(effect.offset, effect.bytes);
        return { type: "written", bytes: effect.bytes.length };
      case "install":
        return { type: "installed", position: await this.#resync.install(effect.checksum) };
    }
  }
}

/** What a part of this node threw, with a code: `internal` when it has none. */
export function asDfdbError(thrown: unknown): DfdbError {
  if (thrown instanceof DfdbError) return thrown;
  return new DfdbError("internal", messageOf(thrown), { cause: thrown });
}
