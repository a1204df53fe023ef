import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs } from "../base/ids.ts";
import type { Hello } from "../wire/message.ts";
import type { LeaderSession } from "./leader_events.ts";
import type { StreamTuning } from "./types.ts";

/** A connection as the rules of admission see it. */
export interface RosterMember {
  readonly session: LeaderSession;
  /** A byte has arrived on it. */
  readonly heard: boolean;
  /** Ends it; the peer is told why. */
  refuse(error: DfdbError): void;
}

/** A follower that was silent for more than so many heartbeats (it answers each) may have been replaced. */
const aliveHeartbeats = 2.5;

/** All connections of a leader, and who may join them (PROTOCOL.md section 5). */
export class Roster<Member extends RosterMember> {
  readonly #members = new Set<Member>();
  readonly #tuning: StreamTuning;

  constructor(tuning: StreamTuning) {
    this.#tuning = tuning;
  }

  /** Oldest first. */
  get members(): readonly Member[] {
    return [...this.#members];
  }

  get size(): number {
    return this.#members.size;
  }

  /** Those whose handshake is complete. */
  get followers(): readonly Member[] {
    return this.members.filter((member) => member.session.established);
  }

  remove(member: Member): void {
    this.#members.delete(member);
  }

  /** Takes in a new connection; when too many are in the handshake one of them has to go. */
  add(member: Member): void {
    const shaking = this.members.filter((other) => !other.session.established);
    this.#members.add(member);
    if (shaking.length < this.#tuning.handshakesMax) return;
    const victim = shaking.find((other) => !other.heard) ?? shaking[0];
    victim?.refuse(
      new DfdbError("timeout", "too many connections wait for a handshake; this was the oldest"),
    );
  }

  /** The follower of `member` has proved itself: its process has one connection at a time, so an older one is dead. */
  supersede(member: Member): void {
    const hello = member.session.hello;
    for (const other of this.followers) {
      const theirs = other.session.hello;
      if (other === member || theirs?.nodeId !== hello?.nodeId || theirs?.instance !== hello?.instance) {
        continue;
      }
      other.refuse(replacedError());
    }
  }

  /**
   * Decides whether `member`, whose hello is proved, may stream; ends the connections that it replaces. `last` is asked when
   * nothing else stands against it.
   */
  admit(
    member: Member,
    now: MonotonicMs,
    last: (hello: Hello) => DfdbError | null = () => null,
  ): DfdbError | null {
    const hello = member.session.hello;
    if (hello === null) return new DfdbError("bad_frame", "no hello");
    const replaced: Member[] = [];
    for (const other of this.followers) {
      const theirs = other.session.hello;
      if (other === member || theirs?.nodeId !== hello.nodeId) continue;
      const alive = other.session.silentMs(now) <= aliveHeartbeats * this.#tuning.heartbeatMs;
      if (alive && theirs.instance !== hello.instance) return duplicate(theirs.nodeName);
      replaced.push(other);
    }
    if (this.followers.length - replaced.length >= this.#tuning.followersMax) {
      return new DfdbError("too_many_followers", `this leader takes ${this.#tuning.followersMax} followers`);
    }
    const error = last(hello);
    if (error === null) replaced.forEach((other) => other.refuse(replacedError()));
    return error;
  }
}

function replacedError(): DfdbError {
  return new DfdbError("going_away", "a newer connection of the same node took over");
}

function duplicate(name: string): DfdbError {
  return new DfdbError("duplicate_node", `a live node ("${name}") is connected with the same node id`);
}
