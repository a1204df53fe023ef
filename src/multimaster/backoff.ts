/** How often a destination that fails is tried. */

/** From how many failures in a row on, and in which passes then: the last band that fits counts. */
export interface ThinningBand {
  readonly above: number;
  /** Only in passes whose number this divides. */
  readonly every: number;
}

export const thinningDefault: readonly ThinningBand[] = [
  { above: 10, every: 10 },
  { above: 100, every: 100 },
  { above: 1_000, every: 1_000 },
];

/** True when pass number `pass` tries a destination that failed `failures` times in a row. A count equal to a bound belongs to the band below. */
export function isDue(
  failures: number,
  pass: number,
  bands: readonly ThinningBand[] = thinningDefault,
): boolean {
  const band = bands.findLast(({ above }) => failures > above);
  return band === undefined || pass % band.every === 0;
}

/** What was tried: to learn where the receiver stands, or to send. */
export type Attempt = "ask" | "send";

/**
 * Failures of one destination in a row. The first one is tried again at once, with the same request, and only when that fails, too,
 * it counts. A receiver that answers where it stands but takes no batch is not well: what failed to be sent is made good by something that was sent, or
 * by a run that found nothing left to send.
 */
export class FailureCount {
  #count: number;
  /** One that counts was of a send. */
  #ofSend = false;
  #retrying = false;

  constructor(count = 0) {
    this.#count = count;
  }

  get count(): number {
    return this.#count;
  }

  /** True: try the same again, now. False: the failure counts. */
  failed(attempt: Attempt): boolean {
    if (this.#count === 0 && !this.#retrying) {
      this.#retrying = true;
      return true;
    }
    this.#retrying = false;
    this.#count++;
    this.#ofSend ||= attempt === "send";
    return false;
  }

  /** True: there was a failure that counts, and now there is none. */
  succeeded(attempt: Attempt): boolean {
    this.#retrying = false;
    return attempt === "ask" && this.#ofSend ? false : this.reset();
  }

  /** As {@linkcode succeeded}: it was heard from in another way, or has nothing left to be sent. */
  reset(): boolean {
    const failed = this.#count > 0;
    this.#count = 0;
    this.#retrying = this.#ofSend = false;
    return failed;
  }
}
