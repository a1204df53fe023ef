/** Mistakes on the way of a write from a client to the log. */
import { DfdbError } from "../../../src/base/errors.ts";
import { wallMsOf } from "../../../src/base/ids.ts";
import type { Operation } from "../../../src/document/operation.ts";
import type { Engine } from "../../../src/engine/engine.ts";
import type { Committed, Plan, SlicedPlan } from "../../../src/engine/plan.ts";
import type { RunningNode } from "../../../src/node/node.ts";
import { Transaction } from "../../../src/storage/sqlite/write_transaction.ts";
import { all, every, onNode, type Plant, wrap } from "./plant.ts";
import { engines } from "./prototypes.ts";

type AnyPlan = Plan<unknown> | SlicedPlan<unknown>;
type Submit = (plan: AnyPlan) => Promise<Committed<unknown>>;

/** `make` makes another `submit` for the engine of each node. */
function otherSubmit(make: (submit: Submit, node: RunningNode) => Submit): () => void {
  return onNode((node) => {
    const { engine } = node, submit = engine.submit.bind(engine) as Submit;
    engine.submit = make(submit, node) as Engine["submit"];
  });
}

class NotYet extends Error {}

/** What the plan would be answered if it were carried out now; null: nobody knows. */
function foretold({ storage, role }: RunningNode, plan: AnyPlan): Committed<unknown> | null {
  let found: Committed<unknown> | null = null;
  if (!("run" in plan) || storage.log.last.run !== role.leadership?.run) return null;
  try {
    role.gate();
    storage.write((tx) => {
      const before = tx.position, value = plan.run(tx, wallMsOf(1)), { position } = tx;
      if (position !== before) found = { value, position };
      throw new NotYet();
    });
  } catch (thrown) {
    if (!(thrown instanceof NotYet)) return null;
  }
  return found;
}

function answerBeforeCommit(): () => void {
  return otherSubmit((submit, node) => (plan) => {
    const early = foretold(node, plan), done = submit(plan);
    if (early === null) return done;
    done.catch(() => {});
    return Promise.resolve(early);
  });
}

function droppedFromGroup(): () => void {
  const due = every(15);
  return otherSubmit((submit, node) => (plan) => {
    const early = due() ? foretold(node, plan) : null;
    return early === null ? submit(plan) : Promise.resolve(early);
  });
}

function executedTwice(): () => void {
  const due = every(10);
  return wrap(engines, "submit", (submit) =>
    function (this: Engine, plan: AnyPlan) {
      const done = submit.call(this, plan);
      if (due()) done.then(() => submit.call(this, plan)).catch(() => {});
      return done;
    } as Engine["submit"]);
}

function refusedButKept(): () => void {
  const due = every(15);
  return otherSubmit((submit) => async (plan) => {
    const done = await submit(plan);
    if (due()) throw new DfdbError("busy", "Too many writes are waiting; try again in a moment");
    return done;
  });
}

/** Without the last change, when there are several. */
function torn(operations: readonly Operation[]): readonly Operation[] {
  const changes = operations.filter(({ kind }) => kind === "put" || kind === "delete");
  return changes.length < 2 ? operations : operations.filter((operation) => operation !== changes.at(-1));
}

function tornTransaction(): () => void {
  return all(
    wrap(Transaction.prototype, "append", (append) =>
      function (this: Transaction, operations, wallMs) {
        return append.call(this, torn(operations), wallMs);
      }),
    wrap(
      Transaction.prototype,
      "appendInSlices",
      (append) =>
        function (this: Transaction, operations, wallMs) {
          return append.call(this, torn(operations), wallMs);
        },
    ),
  );
}

function ifMatchIgnored(): () => void {
  const due = every(2);
  return wrap(Headers.prototype, "get", (get) =>
    function (this: Headers, name) {
      return name === "if-match" && due() ? null : get.call(this, name);
    });
}

export const writePlants: Readonly<Record<string, Plant>> = {
  answer_before_commit: { mistake: "a write is answered before its transaction", plant: answerBeforeCommit },
  dropped_from_group: {
    mistake: "now and then a member of a commit group is answered and left out",
    plant: droppedFromGroup,
  },
  executed_twice: { mistake: "now and then a write is carried out a second time", plant: executedTwice },
  refused_but_kept: { mistake: "now and then a write that was kept is refused", plant: refusedButKept },
  torn_transaction: { mistake: "a transaction loses its last operation", plant: tornTransaction },
  if_match_ignored: { mistake: "every second If-Match is not looked at", plant: ifMatchIgnored },
};
