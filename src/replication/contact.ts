import type { MonotonicMs } from "../base/ids.ts";

/**
 * When did the peer last show a sign of life, and for how long has it been silent *while this node listened*? A step
 * that comes late (this process was blocked or stopped) begins the silence anew: what the peer sent meanwhile
 * waits unread in the socket.
 */
export class Contact {
  readonly #lostMs: number;
  readonly #lateMs: number;
  #heardAt: number;
  #silentFrom: number;

  /** `lostMs` of silence are too much; a look that is more than `lateMs` late says nothing. */
  constructor(lostMs: number, lateMs: number, now: MonotonicMs) {
    this.#lostMs = lostMs;
    this.#lateMs = lateMs;
    this.#heardAt = now;
    this.#silentFrom = now;
  }

  /** When the last byte came. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** When the next look is due. */
  get deadline(): number {
    return this.#silentFrom + this.#lostMs;
  }

  heard(now: MonotonicMs): void {
    this.#heardAt = now;
    this.#silentFrom = now;
  }

  /** This node did not read: the silence begins anew. */
  excuse(now: MonotonicMs): void {
    this.#silentFrom = now;
  }

  /** True when the peer was silent for too long. */
  lost(now: MonotonicMs): boolean {
    if (now < this.deadline) return false;
    if (now - this.deadline <= this.#lateMs) return true;
    this.#silentFrom = now;
    return false;
  }
}
