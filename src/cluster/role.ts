/**
 * The one mutable thing that all parts share: what this node is in the cluster, and whether it may write now.
 */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { NodeId, RunId } from "../base/ids.ts";
import { epochOf } from "../base/ids.ts";
import type { Term, TermRecord } from "../storage/log.ts";

export type RoleKind = "none" | "leader" | "follower";

/**
 * Why a node that may lead does not write; several may hold at once. `mirror_ahead`: the data file is older than its
 * sidecar; `follower_ahead`: a follower said that it holds more; both are shown as `behind_followers`. `unconfirmed`: whoever might
 * lead by now has not answered yet. `handover`: the role is being given away; `in_doubt`: it may have been given away.
 * `fenced`: a higher epoch is known. `no_lease`: the authority does not let this node lead now.
 */
export type ReadOnlyCause =
  | "operator"
  | "mirror_ahead"
  | "follower_ahead"
  | "unconfirmed"
  | "handover"
  | "in_doubt"
  | "fenced"
  | "no_lease";

export type ReadOnlyReason =
  | "operator"
  | "behind_followers"
  | "unconfirmed_leadership"
  | "handover"
  | "handover_in_doubt"
  | "fenced"
  | "no_lease";

/** What is told of several causes: first those that an operator's `read-write` does not end. */
const reasons: readonly (readonly [cause: ReadOnlyCause, reason: ReadOnlyReason])[] = [
  ["mirror_ahead", "behind_followers"],
  ["follower_ahead", "behind_followers"],
  ["fenced", "fenced"],
  ["in_doubt", "handover_in_doubt"],
  ["no_lease", "no_lease"],
  ["unconfirmed", "unconfirmed_leadership"],
  ["handover", "handover"],
  ["operator", "operator"],
];

/** One leadership, from its start to its end. `none` leads too: it is a leader that nobody follows. */
export interface LeadershipTerm extends Term {
  readonly nodeId: NodeId;
  /** Aborted when the leadership ends: whatever may run only while leading is started with it. */
  readonly signal: AbortSignal;
}

export interface Role {
  readonly kind: RoleKind;
  readonly leadership: LeadershipTerm | null;
  readonly readOnly: { readonly on: boolean; readonly reason: ReadOnlyReason | null };
  readonly readOnlyCauses: ReadonlySet<ReadOnlyCause>;
  /** Follower: the leader's HTTP URL as it told, null when unknown. */
  readonly leaderHttpUrl: string | null;
  lead(kind: "none" | "leader", term: Term): LeadershipTerm;
  /** Goes on with the same leadership, as the other kind of leader: with a listener or without. */
  leadAs(kind: "none" | "leader"): void;
  follow(): void;
  setReadOnly(cause: ReadOnlyCause, on: boolean): void;
  setLeaderHttpUrl(url: string | null): void;
  /** The gate of the commit path: the leadership to write under, or `not_leader`, `read_only`, `closing`. */
  gate(): LeadershipTerm;
  /** Ends the leadership for good: the node is stopping. */
  close(): void;
}

export function role(nodeId: NodeId): Role {
  let kind: RoleKind = "none";
  let leadership: LeadershipTerm | null = null;
  let ending = new AbortController();
  const causes = new Set<ReadOnlyCause>();
  let leaderHttpUrl: string | null = null;
  let closed = false;
  const endLeadership = (): void => {
    ending.abort();
    leadership = null;
  };
  return {
    get kind() {
      return kind;
    },
    get leadership() {
      return leadership;
    },
    get readOnly() {
      const reason = reasonOf(causes);
      return { on: reason !== null, reason };
    },
    readOnlyCauses: causes,
    get leaderHttpUrl() {
      return leaderHttpUrl;
    },
    lead(as, term) {
      endLeadership();
      ending = new AbortController();
      kind = as;
      leaderHttpUrl = null;
      leadership = { epoch: term.epoch, run: term.run, nodeId, signal: ending.signal };
      return leadership;
    },
    leadAs(as) {
      assert(leadership !== null, "only a leader goes on leading");
      kind = as;
    },
    follow() {
      endLeadership();
      kind = "follower";
    },
    setReadOnly(cause, on) {
      if (on) causes.add(cause);
      else causes.delete(cause);
    },
    setLeaderHttpUrl(url) {
      leaderHttpUrl = url;
    },
    gate() {
      if (closed) throw new DfdbError("closing", "This node is stopping");
      if (leadership === null) {
        const where = leaderHttpUrl === null
          ? "its leader is not known yet"
          : `write to its leader at ${leaderHttpUrl}`;
        throw new DfdbError("not_leader", `This node is a follower; ${where}`, {
          details: { leader: leaderHttpUrl },
        });
      }
      if (causes.size > 0) {
        const reason = reasonOf(causes);
        throw new DfdbError("read_only", `Database is in read-only mode (${reason})`, {
          details: { reason },
        });
      }
      return leadership;
    },
    close() {
      closed = true;
      endLeadership();
    },
  };
}

function reasonOf(causes: ReadonlySet<ReadOnlyCause>): ReadOnlyReason | null {
  return reasons.find(([cause]) => causes.has(cause))?.[1] ?? null;
}

/**
 * The term to lead under when this node starts: a restart of the last leader keeps the epoch and begins a new run;
 * a database whose last run was another node's begins an epoch above all that were seen (replication contract, section 3).
 */
export function nextTerm(
  last: TermRecord | undefined,
  nodeId: NodeId,
  highestEpoch: number,
  run: RunId,
): Term {
  assert(last === undefined || last.run !== run, "a run is drawn once");
  // Also where a higher epoch was heard of: to go above it would make whoever has entries of it diverge by a restart.
  if (last?.nodeId === nodeId) return { epoch: last.epoch, run };
  return { epoch: epochOf(Math.max(last?.epoch ?? 0, highestEpoch) + 1), run };
}
