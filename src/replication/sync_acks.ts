/**
 * Semi-synchronous replication: holds back answers until enough followers hold the writes durably, among them every one
 * that may promote itself, since it would lead without them otherwise.
 */
import type { NodeId, Seq } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { DfdbError } from "../base/errors.ts";
import type { Clock, Timer } from "../runtime/runtime.ts";
import type { Position } from "../storage/log.ts";
import type { DurableFollower, FollowerServer } from "./types.ts";

export interface SyncAcksOptions {
  readonly clock: Clock;
  /** Asked again each time; `SyncAcks.recheck` after a change. */
  readonly settings: () => SyncSettings;
  /**
   * Who must be among the followers that hold a write, by an outside authority's list; null: the candidates. Where it returns null the
   * authority does not say it now, and nothing is answered.
   */
  readonly members?: (() => readonly NodeId[] | null) | null;
  /** The end of the log when this leadership began: whatever is there may have been answered. Default 0. */
  readonly from?: Seq;
}

export interface SyncSettings {
  /** Followers that must hold a write before it is answered; 0: none, nothing waits. */
  readonly required: number;
  readonly timeoutMs: number;
  /** "required": every follower with auto-failover that was connected in this run or is remembered must be among them, also while it is away. */
  readonly candidates: "required" | "any";
}

/** What the status shows. */
export interface SyncState {
  /** Groups of writes that wait. */
  readonly waiting: number;
  /** Last entry that as many followers hold as the settings want, 0: none. */
  readonly confirmedSeq: Seq;
  /** Names of the followers that must be among them. */
  readonly candidates: readonly string[];
}

export interface SyncAcks {
  /** The newest entry whose write was answered, or may have been. */
  readonly answeredSeq: Seq;
  /** From now on these followers count. */
  attach(followers: Pick<FollowerServer, "durable" | "onAcknowledged">): void;
  /** A follower's position was found in this leader's history: one with auto-failover is remembered, one without no longer. */
  found(follower: DurableFollower): void;
  /** A candidate that is known from before and is away: it counts as missing until it comes or is forgotten. */
  remember(nodeId: NodeId, nodeName: string): void;
  /** This node will not come back. */
  forget(nodeId: NodeId): void;
  /**
   * Null when nothing has to be waited for; else resolves when enough followers hold the entry. Rejects with
   * `replication_timeout` (details: seq, required, achieved), the write is durable here then, or as {@linkcode end} says.
   */
  wait(position: Position): Promise<void> | null;
  /** After the settings changed. */
  recheck(): void;
  state(): SyncState;
  /** Leadership is lost: all who wait, and all who come, get `error` (`outcome_unknown`). */
  end(error: DfdbError): void;
  /** The node stops as a leader: all who wait get `replication_timeout` now, since no ack can come any more. */
  close(): void;
}

export function syncAcks(options: SyncAcksOptions): SyncAcks {
  return new Acks(options);
}

interface Waiter {
  readonly seq: Seq;
  readonly timer: Timer;
  readonly resolve: () => void;
  readonly reject: (error: DfdbError) => void;
}

class Acks implements SyncAcks {
  readonly #options: SyncAcksOptions;
  /** Names of those that may promote themselves, by id. */
  readonly #candidates = new Map<NodeId, string>();
  /** By seq, lowest first: commits come in order. */
  #waiters: Waiter[] = [];
  #followers: Pick<FollowerServer, "durable" | "onAcknowledged"> | null = null;
  #detach: () => void = () => {};
  #ended: DfdbError | null = null;
  #closed = false;
  answeredSeq: Seq;

  constructor(options: SyncAcksOptions) {
    this.#options = options;
    this.answeredSeq = options.from ?? seqOf(0);
  }

  attach(followers: Pick<FollowerServer, "durable" | "onAcknowledged">): void {
    this.#detach();
    this.#followers = followers;
    this.#detach = followers.onAcknowledged(() => this.#acknowledged());
    followers.durable().forEach((follower) => this.found(follower));
    this.recheck();
  }

  found({ nodeId, nodeName, candidate }: DurableFollower): void {
    if (candidate) this.#candidates.set(nodeId, nodeName);
    else this.#candidates.delete(nodeId);
  }

  remember(nodeId: NodeId, nodeName: string): void {
    if (!this.#candidates.has(nodeId)) this.#candidates.set(nodeId, nodeName);
  }

  forget(nodeId: NodeId): void {
    if (this.#candidates.delete(nodeId)) this.recheck();
  }

  wait({ seq }: Position): Promise<void> | null {
    const { required, timeoutMs } = this.#options.settings();
    if (required === 0) return this.#answered(seq);
    if (this.#ended !== null) return Promise.reject(this.#ended);
    if (this.#confirmed(required) >= seq) return this.#answered(seq);
    if (this.#closed) return Promise.reject(this.#timeout(seq));
    return new Promise((resolve, reject) => {
      const timer = this.#options.clock.timer(timeoutMs, () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(this.#timeout(seq));
      });
      const waiter: Waiter = { seq, timer, resolve, reject };
      this.#waiters.push(waiter);
    });
  }

  recheck(): void {
    const { required } = this.#options.settings();
    const confirmed = required === 0 ? Infinity : this.#confirmed(required);
    let count = 0;
    for (const { seq, timer, resolve } of this.#waiters) {
      if (seq > confirmed) break;
      count++;
      timer.cancel();
      this.#answered(seq);
      resolve();
    }
    if (count > 0) this.#waiters = this.#waiters.slice(count);
  }

  state(): SyncState {
    const { required } = this.#options.settings();
    return {
      waiting: this.#waiters.length,
      confirmedSeq: required === 0 ? seqOf(0) : this.#confirmed(required),
      candidates: [...this.#needed().values()],
    };
  }

  end(error: DfdbError): void {
    this.#ended = error;
    this.#detach();
    this.#rejectAll(() => error);
  }

  close(): void {
    this.#closed = true;
    this.#detach();
    this.#rejectAll((seq) => this.#timeout(seq));
    this.#followers = null;
  }

  #acknowledged(): void {
    if (this.#waiters.length > 0) this.recheck();
  }

  #rejectAll(errorAt: (seq: Seq) => DfdbError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { seq, timer, reject } of waiters) {
      timer.cancel();
      reject(errorAt(seq));
    }
  }

  /** Nothing has to be waited for. */
  #answered(seq: Seq): null {
    if (seq > this.answeredSeq) this.answeredSeq = seq;
    return null;
  }

  /** Who must be among those that hold it, with a name for people. */
  #needed(): ReadonlyMap<NodeId, string> {
    const { members: listed, settings } = this.#options;
    if (listed === undefined || listed === null) {
      return settings().candidates === "any" ? new Map() : this.#candidates;
    }
    const members = listed() ?? [];
    return new Map(members.map((nodeId) => [nodeId, this.#candidates.get(nodeId) ?? nodeId]));
  }

  /** What each follower holds, once for each node: where an old connection of it still counts, the lower. */
  #held(): Map<NodeId, Seq> {
    const held = new Map<NodeId, Seq>();
    for (const follower of this.#followers?.durable() ?? []) {
      const { nodeId, seq } = follower, other = held.get(nodeId);
      if (follower.candidate) this.#candidates.set(nodeId, follower.nodeName);
      held.set(nodeId, other === undefined || seq < other ? seq : other);
    }
    return held;
  }

  /** The last seq that `required` followers hold, and every candidate that is asked for. */
  #confirmed(required: number): Seq {
    if (this.#options.members?.() === null) return seqOf(0);
    const held = this.#held();
    const falling = [...held.values()].sort((a, b) => b - a);
    let confirmed = falling[required - 1] ?? seqOf(0);
    for (const nodeId of this.#needed().keys()) {
      const seq = held.get(nodeId) ?? seqOf(0);
      if (seq < confirmed) confirmed = seq;
    }
    return confirmed;
  }

  #timeout(seq: Seq): DfdbError {
    const { required, timeoutMs } = this.#options.settings(), held = this.#held();
    const achieved = [...held.values()].filter((at) => at >= seq).length;
    const missing = [...this.#needed()].find(([nodeId]) => (held.get(nodeId) ?? 0) < seq)?.[1];
    const want = missing === undefined
      ? ""
      : `, and "${missing}", which may promote itself, must be among them`;
    const when = this.#closed ? "when this node stopped" : `within ${timeoutMs} ms`;
    return new DfdbError(
      "replication_timeout",
      `The write is durable here; ${achieved} of ${required} followers confirmed it ${when}${want}`,
      { details: { seq, required, achieved } },
    );
  }
}
