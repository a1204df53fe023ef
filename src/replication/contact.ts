import type { MonotonicMs } from "../base/ids.ts";

/**
 * For how long has the peer been silent *while this node listened*? A look that comes late (this process was blocked or
 * stopped) begins the silence anew: what the peer sent meanwhile waits unread in the socket.
 */
export class Contact {
  readonly #lostMs: number;
  readonly #lateMs: number;
  readonly #lookMs: number;
  #lookedAt: number;
  #silentFrom: number;

  /**
   * `lostMs` of silence are too much. Somebody looks every `lookMs` at least; a look that is more than `lateMs` late says
   * nothing.
   */
  constructor(lostMs: number, lateMs: number, now: MonotonicMs, lookMs: number = lostMs) {
    this.#lostMs = lostMs;
    this.#lateMs = lateMs;
    this.#lookMs = lookMs;
    this.#lookedAt = now;
    this.#silentFrom = now;
  }

  /** When the next look is due. */
  get deadline(): number {
    return this.#silentFrom + this.#lostMs;
  }

  heard(now: MonotonicMs): void {
    this.excuse(now);
  }

  /** This node did not read: the silence begins anew. */
  excuse(now: MonotonicMs): void {
    this.#lookedAt = now;
    this.#silentFrom = now;
  }

  /** How long the peer has been silent. */
  silentMs(now: MonotonicMs): number {
    if (now - this.#lookedAt > this.#lookMs + this.#lateMs) this.#silentFrom = now;
    this.#lookedAt = now;
    return now - this.#silentFrom;
  }

  /** True when the peer was silent for too long. */
  lost(now: MonotonicMs): boolean {
    if (this.silentMs(now) < this.#lostMs) return false;
    if (now - this.deadline <= this.#lateMs) return true;
    this.#silentFrom = now;
    return false;
  }
}
