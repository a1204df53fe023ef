import type { MonotonicMs, NodeId, WallMs } from "../base/ids.ts";
import type { Position, TermRecord } from "../storage/log.ts";
import type { Append, Challenge, Heartbeat, Welcome } from "../wire/message.ts";
import { positionOf } from "./send_window.ts";

/** What a follower knows of its leader, as last heard; kept over reconnects. */
export class LeaderView {
  nodeId: NodeId | null = null;
  httpUrl: string | null = null;
  term: TermRecord | null = null;
  /** The leader's last entry. */
  position: Position | null = null;
  readOnly: boolean | null = null;
  /** The leader's wall clock and when it was told. */
  #wall: { readonly ms: number; readonly at: number } | null = null;

  challenged(challenge: Challenge): void {
    this.nodeId = challenge.nodeId;
  }

  welcomed(welcome: Welcome, now: MonotonicMs): void {
    this.httpUrl = welcome.httpUrl;
    this.#told(welcome, now);
  }

  beat(heartbeat: Heartbeat, now: MonotonicMs): void {
    this.#told(heartbeat, now);
  }

  /** The end of an append may be newer than the last heartbeat. */
  appended(append: Append): void {
    const last = append.entries[append.entries.length - 1];
    if (last === undefined || (this.position !== null && last.seq <= this.position.seq)) return;
    this.position = positionOf(last);
  }

  /** The age of something that the leader did at `wallMs`, by the leader's own clock; null when never told. */
  ageOf(wallMs: WallMs, now: MonotonicMs): number | null {
    if (this.#wall === null) return null;
    return Math.max(0, this.#wall.ms + (now - this.#wall.at) - wallMs);
  }

  #told(message: Welcome | Heartbeat, now: MonotonicMs): void {
    this.term = message.term;
    this.position = message.position;
    this.readOnly = message.readOnly;
    this.#wall = { ms: message.wallMs, at: now };
  }
}
