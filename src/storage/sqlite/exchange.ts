import type { LogReader, Position } from "../log.ts";
import { samePosition } from "../log.ts";

/** Whether another connection may be replacing the content, and what waits for the end of that. */
export class Exchange {
  #over: PromiseWithResolvers<void> | null = null;

  get underWay(): boolean {
    return this.#over !== null;
  }

  begin(): void {
    this.#over = Promise.withResolvers();
  }

  /** `reload` makes memory agree with what there is now; who waits is told afterwards. */
  end(reload: () => void): void {
    const over = this.#over;
    this.#over = null;
    try {
      reload();
    } finally {
      over?.resolve();
    }
  }

  /** As `Storage.untilSeen`. */
  untilSeen(position: Position, log: LogReader): Promise<void> | null {
    if (this.#over === null) return null;
    const here = log.at(position.seq);
    return typeof here === "object" && samePosition(here, position) ? null : this.#over.promise;
  }
}
