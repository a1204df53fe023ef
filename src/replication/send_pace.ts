/** Bytes are sent ahead of the rate for so long at most: timers are no finer than milliseconds. */
const burstMs = 50;

/** Limits a rate: after a piece the next one waits until the time that the piece is worth has passed. */
export class SendPace {
  /** Everything sent so far is paid for at this time. */
  #paidAt = 0;

  /** From when on the next piece may go. */
  get freeAt(): number {
    return this.#paidAt - burstMs;
  }

  sent(bytes: number, now: number, bytesPerSecond: number): void {
    this.#paidAt = Math.max(this.#paidAt, now) + bytes / bytesPerSecond * 1000;
  }
}
