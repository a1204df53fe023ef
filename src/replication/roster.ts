import { DfdbError } from "../base/errors.ts";
import type { MonotonicMs } from "../base/ids.ts";
import type { KnownNode } from "../wire/message.ts";
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
  readonly #severalCandidates: boolean;

  constructor(tuning: StreamTuning, severalCandidates: boolean) {
    this.#tuning = tuning;
    this.#severalCandidates = severalCandidates;
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

  /** Decides whether `member`, whose hello is proved, may stream; ends the connections that it replaces. */
  admit(member: Member, now: MonotonicMs): DfdbError | null {
    const hello = member.session.hello;
    if (hello === null) return new DfdbError("bad_frame", "no hello");
    const replaced: Member[] = [];
    for (const other of this.followers) {
      const theirs = other.session.hello;
      if (theirs === null || other === member) continue;
      if (theirs.nodeId !== hello.nodeId) {
        if (hello.autoFailover && theirs.autoFailover && !this.#severalCandidates) {
          return secondCandidate(theirs.nodeName);
        }
        continue;
      }
      const alive = other.session.silentMs(now) <= aliveHeartbeats * this.#tuning.heartbeatMs;
      if (alive && theirs.instance !== hello.instance) return duplicate(theirs.nodeName);
      replaced.push(other);
    }
    if (this.followers.length - replaced.length >= this.#tuning.followersMax) {
      return new DfdbError("too_many_followers", `this leader takes ${this.#tuning.followersMax} followers`);
    }
    for (const other of replaced) {
      other.refuse(new DfdbError("going_away", "a newer connection of the same node took over"));
    }
    return null;
  }

  knownNodes(max: number): KnownNode[] {
    const hellos = this.followers.map((member) => member.session.hello).filter((hello) => hello !== null);
    return hellos.slice(-max).map(({ nodeId, nodeName, httpUrl, wireAddress }) => ({
      nodeId,
      nodeName,
      httpUrl,
      wireAddress,
    }));
  }
}

function secondCandidate(name: string): DfdbError {
  return new DfdbError(
    "second_candidate",
    `auto-failover is already on at "${name}"; one follower may have it`,
  );
}

function duplicate(name: string): DfdbError {
  return new DfdbError("duplicate_node", `a live node ("${name}") is connected with the same node id`);
}
