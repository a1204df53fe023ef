/** Mistakes in who may write under which term, and in what is given up. */
import { DfdbError } from "../../../src/base/errors.ts";
import type { LeadershipTerm } from "../../../src/cluster/role.ts";
import type { RunningNode } from "../../../src/node/node.ts";
import type { FollowerEffect, FollowerSession } from "../../../src/replication/follower_events.ts";
import { type Seq, seqOf } from "../../../src/base/ids.ts";
import { Transaction } from "../../../src/storage/sqlite/write_transaction.ts";
import { every, onNode, type Plant, wrap } from "./plant.ts";
import { followerSessions } from "./prototypes.ts";

function sidecarIgnored(): () => void {
  return onNode(({ role }) => role.setReadOnly("mirror_ahead", false));
}

function writesWhileReadOnly(): () => void {
  return onNode(({ role }) => {
    const { gate } = role;
    role.gate = () => {
      try {
        return gate();
      } catch (thrown) {
        const { leadership, readOnly: { reason } } = role;
        if (leadership === null || reason !== "operator") throw thrown;
        if (!(thrown instanceof DfdbError) || thrown.code !== "read_only") throw thrown;
        return leadership;
      }
    };
  });
}

/** Every fifth question who it is, a follower believes that it leads. */
function followerWrites(): () => void {
  return onNode(({ role, storage }: RunningNode) => {
    if (role.kind !== "follower") return;
    const due = every(5), { gate } = role;
    Object.defineProperty(role, "kind", { get: () => due() ? "leader" : "follower" });
    role.gate = () => {
      const last = storage.log.terms.at(-1);
      if (last === undefined) return gate();
      return { ...last, signal: new AbortController().signal } as LeadershipTerm;
    };
  });
}

/** Of a leader whose log was last written by itself; else null. */
function ownLastTerm({ role, storage, nodeId }: RunningNode) {
  const last = storage.log.terms.at(-1);
  return role.leadership === null || last?.nodeId !== nodeId ? null : last;
}

function runReused(): () => void {
  return onNode((node) => {
    const last = ownLastTerm(node), { role } = node;
    if (last !== null && role.kind !== "follower") role.lead(role.kind, last);
  });
}

function termNotWritten(): () => void {
  return wrap(Transaction.prototype, "append", (append) =>
    function (this: Transaction, operations, wallMs) {
      if (operations[0]?.kind === "term" && this.position.seq > 0) return this.position;
      return append.call(this, operations, wallMs);
    });
}

/** `change` says from where on a follower rescues, instead of after `common`, when its log ends at `last`. */
function otherRescue(change: (common: Seq | null, last: Seq) => Seq | null): () => void {
  const ends = new WeakMap<FollowerSession, Seq>();
  return wrap(followerSessions, "step", (step) =>
    function (this: FollowerSession, input, now) {
      const effects = step.call(this, input, now);
      return effects.map((effect): FollowerEffect => {
        if (effect.type === "send" && effect.message.type === "hello") {
          ends.set(this, effect.message.position.seq);
        }
        if (effect.type !== "rescue") {
          return effect;
        }
        return { ...effect, common: change(effect.common, ends.get(this) ?? seqOf(0)) };
      });
    });
}

export const historyPlants: Readonly<Record<string, Plant>> = {
  sidecar_ignored: {
    mistake: "a leader older than its sidecar is writable at once",
    plant: sidecarIgnored,
    from: 2_001,
  },
  writes_while_read_only: { mistake: "a read-only leader goes on writing", plant: writesWhileReadOnly },
  follower_writes: { mistake: "a follower takes writes now and then", plant: followerWrites },
  run_reused: { mistake: "a leader goes on with its old run after a restart", plant: runReused },
  term_not_written: { mistake: "a run begins without its term entry", plant: termNotWritten },
  discard_before_rescue: {
    mistake: "a follower takes over another history and has rescued nothing",
    plant: () => otherRescue((_, last) => last),
  },
  rescue_one_too_few: {
    mistake: "the first entry that is given up is not rescued",
    plant: () => otherRescue((common, last) => common === null ? null : seqOf(Math.min(common + 1, last))),
  },
};
