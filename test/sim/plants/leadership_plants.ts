/** Mistakes in who leads: promotions, fencing, handovers. */
import type { MonotonicMs } from "../../../src/base/ids.ts";
import type { SilenceEffect, SilenceInput } from "../../../src/cluster/silence.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import { Fence } from "../../../src/node/fence.ts";
import { SqliteNodeStore } from "../../../src/storage/sqlite/sqlite_node_store.ts";
import type { NodeState } from "../../../src/storage/storage.ts";
import { all, onNode, type Plant, wrap } from "./plant.ts";
import { engines, silenceWatches } from "./prototypes.ts";

/** What `lost` chooses of a node's own state does not get to its disk. */
function notKept(lost: (state: NodeState) => boolean): () => void {
  return wrap(
    SqliteNodeStore.prototype,
    "setState",
    (setState) =>
      function (this: SqliteNodeStore, id, state) {
        if (!lost(state)) setState.call(this, id, state);
      },
  );
}

/** Nothing waits, and nothing is barred: one of the two alone would be made up for by the other. */
function handoverWithoutDrain(): () => void {
  const gates = onNode(({ role }) => {
    const { gate } = role;
    role.gate = () => {
      try {
        return gate();
      } catch (thrown) {
        const { leadership, readOnly: { reason } } = role;
        if (leadership === null || (reason !== "handover" && reason !== "handover_in_doubt")) throw thrown;
        return leadership;
      }
    };
  });
  return all(
    gates,
    wrap(
      engines,
      "submit",
      (submit) =>
        function (this: Engine, plan: { readonly bytes: number; readonly beginsRun?: boolean }) {
          if (plan.bytes === 0 && plan.beginsRun !== true) {
            return Promise.resolve({ value: null });
          }
          return submit.call(this, plan as never);
        } as Engine["submit"],
    ),
  );
}

/** Each look that came too late is made up for, as if this node had listened; and the last attempt, which would tell, is not made. */
function silenceWhileBlocked(): () => void {
  return wrap(silenceWatches, "step", (step) =>
    function (this: typeof silenceWatches, input, now) {
      const effects: SilenceEffect[] = [];
      const take = (given: SilenceInput, at: MonotonicMs): void => {
        for (const effect of step.call(this, given, at)) {
          if (effect.type === "lastAttempt") take({ type: "answered", yes: false }, at);
          else effects.push(effect);
        }
      };
      for (let due = this.deadline; due !== null && due < now; due = this.deadline) {
        take({ type: "tick" }, due);
        if (this.deadline === due) break;
      }
      take(input, now);
      return effects;
    });
}

export const leadershipPlants: Readonly<Record<string, Plant>> = {
  promotion_not_kept: {
    mistake: "a promoted node does not keep that it leads",
    plant: () => notKept(({ role, term }) => role === "leader" && term !== null),
  },
  claims_ignored: {
    mistake: "a leader does not hear that another one leads in a higher epoch",
    plant: () => wrap(Fence.prototype, "met", () => () => {}),
  },
  handover_without_drain: {
    mistake: "a leader goes on writing while it hands over",
    plant: handoverWithoutDrain,
  },
  silence_while_blocked: {
    mistake: "a candidate that stood still believes that its leader was silent, and does not ask it",
    plant: silenceWhileBlocked,
  },
  doubt_not_kept: {
    mistake: "a leader that has told another one to lead does not keep that",
    plant: () => notKept(({ handover }) => handover !== null),
  },
};
