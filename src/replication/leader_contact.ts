import type { MonotonicMs } from "../base/ids.ts";
import { Contact } from "./contact.ts";

/** No leader needs to hear more often that a follower lives, whatever interval it tells. */
const signMsMin = 50;

/**
 * The line between a follower and the leader that welcomed it. While the follower reads: is the leader silent? While it does
 * not: when does it say by itself that it lives? As often as the leader beats, because it is the leader that waits for it.
 */
export class LeaderContact {
  /** When the last byte came, also before a welcome. */
  heardAt: MonotonicMs | null = null;
  readonly #lostMs: number;
  #contact: Contact | null = null;
  #heartbeatMs = 0;
  /** When this node, which does not read, next says that it lives; null: it reads. */
  #signAt: number | null = null;

  constructor(lostMs: number) {
    this.#lostMs = lostMs;
  }

  /** A leader has welcomed this node, and the connection is there. */
  get open(): boolean {
    return this.#contact !== null;
  }

  /** When the next look is due. */
  get deadline(): number | null {
    return this.#contact === null ? null : Math.min(this.#contact.deadline, this.#signAt ?? Infinity);
  }

  welcomed(heartbeatMs: number, now: MonotonicMs): void {
    this.#heartbeatMs = Math.max(signMsMin, heartbeatMs);
    this.#contact = new Contact(Math.max(this.#lostMs, 3 * heartbeatMs), heartbeatMs / 2, now);
  }

  heard(now: MonotonicMs): void {
    this.heardAt = now;
    this.#contact?.heard(now);
  }

  /** This node stops reading, or goes on. */
  reads(reading: boolean, now: MonotonicMs): void {
    this.#contact?.excuse(now);
    this.#signAt = reading ? null : now + this.#heartbeatMs;
  }

  /** What is due: to `sign`, or to give up because the leader was `silent`. */
  look(now: MonotonicMs): "sign" | "silent" | null {
    if (this.#contact === null) return null;
    if (this.#signAt === null) return this.#contact.lost(now) ? "silent" : null;
    this.#contact.excuse(now);
    if (now < this.#signAt) return null;
    this.#signAt = now + this.#heartbeatMs;
    return "sign";
  }

  ended(): void {
    this.#contact = null;
  }
}
