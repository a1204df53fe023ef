/** Mistakes in what comes with features: repeated requests, expiry, rules, statements and edits. */
import { utf8 } from "../../../src/base/bytes.ts";
import { wallMsOf } from "../../../src/base/ids.ts";
import type { Operation, Put } from "../../../src/document/operation.ts";
import { Rules } from "../../../src/engine/rules.ts";
import { UniqueKeys } from "../../../src/storage/sqlite/unique_keys.ts";
import { View } from "../../../src/storage/sqlite/view.ts";
import { Transaction } from "../../../src/storage/sqlite/write_transaction.ts";
import { every, type Plant, wrap } from "./plant.ts";

const head = [...utf8('{"request":"')];

function isNote(operation: Operation): operation is Put {
  return operation.kind === "put" && head.every((byte, i) => operation.body[i] === byte);
}

/** An entry whose answer is remembered, in two: first the write, then the answer. */
function rememberedApart(): () => void {
  return wrap(Transaction.prototype, "append", (append) =>
    function (this: Transaction, operations, wallMs) {
      const note = operations.findIndex(isNote), writes = operations.findIndex(({ kind }) => kind === "put");
      if (note < 0 || writes === note) return append.call(this, operations, wallMs);
      append.call(this, operations.filter((one) => one.kind === "createCollection" || !isNote(one)), wallMs);
      return append.call(this, operations.filter(isNote), wallMs);
    });
}

/** Every third look for what is remembered finds nothing, as a node would that kept it in its own memory. */
function rememberedLost(): () => void {
  const due = every(3);
  return wrap(View.prototype, "document", (document) =>
    function (this: View, collection, id) {
      const own = this.collection("_remembered")?.number === collection;
      return own && due() ? null : document.call(this, collection, id);
    });
}

/** Searches of the sweeper look so far ahead, ms. */
function sweptTooEarly(): () => void {
  return wrap(View.prototype, "select", (select) =>
    function (this: View, sql, values, few) {
      const [now, ...rest] = values;
      const early = sql.includes("i.k1 <= ?") ? [wallMsOf(Number(now) + 5_000), ...rest] : values;
      return select.call(this, sql, early, few);
    });
}

function uniqueInEntryNotChecked(): () => void {
  return wrap(UniqueKeys.prototype, "collides", () => () => null);
}

/** Every fourth write is looked over by nobody. */
function schemaPassedBy(): () => void {
  const due = every(4);
  return wrap(Rules.prototype, "over", (over) =>
    function (this: Rules, tx) {
      return due() ? tx : over.call(this, tx);
    });
}

/** A change of many documents leaves one of them out. */
function oneLeftOut(): () => void {
  const due = every(2);
  const fewer = (operations: readonly Operation[]): readonly Operation[] => {
    const changed = operations.filter(({ kind }) => kind === "put" || kind === "delete");
    const first = changed[0];
    const same = changed.every((one) => one.kind === first?.kind && "previous" in one && one.previous > 0);
    return changed.length > 1 && same && due() ? operations.filter((one) => one !== first) : operations;
  };
  return wrap(Transaction.prototype, "append", (append) =>
    function (this: Transaction, operations, wallMs) {
      return append.call(this, fewer(operations), wallMs);
    });
}

const featureMistakes: Readonly<Record<string, Omit<Plant, "features">>> = {
  remembered_apart: {
    mistake: "the answer to a request with a key is remembered in an entry of its own",
    plant: rememberedApart,
  },
  remembered_lost: {
    mistake: "what is remembered of a request is now and then not found",
    plant: rememberedLost,
  },
  swept_too_early: { mistake: "documents expire five seconds before their time", plant: sweptTooEarly },
  unique_in_entry_not_checked: {
    mistake: "a unique index does not hold for entries of several documents",
    plant: uniqueInEntryNotChecked,
  },
  schema_passed_by: { mistake: "now and then a write is not held against the schema", plant: schemaPassedBy },
  one_left_out: { mistake: "a statement now and then leaves out one of its documents", plant: oneLeftOut },
};

export const featurePlants: Readonly<Record<string, Plant>> = Object.fromEntries(
  Object.entries(featureMistakes).map(([name, plant]) => [name, { ...plant, features: true }]),
);
