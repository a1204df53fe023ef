import type { MonotonicMs, NodeId, Seq, WallMs } from "../base/ids.ts";
import type { Position, TermRecord } from "../storage/log.ts";
import type { Append, Heartbeat, KnownNode, Welcome } from "../wire/message.ts";
import { positionOf } from "./send_window.ts";

/** What a follower knows of its leader, as last heard; kept over reconnects. */
export class LeaderView {
  /** Who welcomed this node last, with the host of its wire filled in; null before. */
  node: KnownNode | null = null;
  /** As its welcome told. */
  heartbeatMs: number | null = null;
  /** Its welcome accepted this node as the one that may take its place. */
  candidate = false;
  /** This node has streamed from it. */
  streamed = false;
  term: TermRecord | null = null;
  /** The leader's last entry. */
  position: Position | null = null;
  readOnly: boolean | null = null;
  /** The end of the leader's log at its welcome. */
  #welcomedSeq = 0;
  /** The leader's wall clock and when it was told. */
  #wall: { readonly ms: number; readonly at: number } | null = null;

  get nodeId(): NodeId | null {
    return this.node?.nodeId ?? null;
  }

  get httpUrl(): string | null {
    return this.node?.httpUrl ?? null;
  }

  welcomed(node: KnownNode, welcome: Welcome, now: MonotonicMs): void {
    this.streamed = welcome.follow === "stream" || (this.streamed && this.nodeId === node.nodeId);
    this.node = node;
    this.heartbeatMs = welcome.heartbeatMs;
    this.candidate = welcome.candidate;
    this.#welcomedSeq = welcome.position.seq;
    this.#told(welcome, now);
  }

  /** Whether a follower whose log ends with `seq` has not yet got all that the leader had at its welcome. */
  lacks(seq: Seq): boolean {
    return seq < this.#welcomedSeq;
  }

  /** What was there when this node was accepted as a candidate may have been answered without it. */
  unfit(seq: Seq): string | null {
    return this.lacks(seq) ? "it has not caught up with its leader yet" : null;
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
