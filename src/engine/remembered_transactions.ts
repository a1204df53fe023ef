/** The two runs of a plan whose answer goes into its own entry: one to learn what it comes to, one that writes. */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, WallMs } from "../base/ids.ts";
import type { Operation } from "../document/operation.ts";
import type { Position } from "../storage/log.ts";
import type { WriteTransaction } from "../storage/storage.ts";
import { CheckedTransaction } from "./rules_transaction.ts";

/** Reads go through, the one append is only noted. */
export class Rehearsal extends CheckedTransaction {
  /** What the plan appends; null: nothing. */
  operations: readonly Operation[] | null = null;
  /** Numbers of collections that it took. */
  readonly numbers: CollectionNumber[] = [];

  constructor(tx: WriteTransaction, at: Position) {
    const note = (operations: readonly Operation[]): Position => {
      if (this.operations !== null) {
        throw new DfdbError(
          "bad_request",
          "This write makes more than one entry of the log, so that its answer cannot be remembered; send it without Idempotency-Key",
        );
      }
      this.operations = operations;
      return at;
    };
    super(tx, {
      append: note,
      // deno-lint-ignore require-yield -- as long as the real one takes, this one has nothing to wait for
      *appendInSlices(operations) {
        return note(operations);
      },
    });
  }

  override newCollectionNumber(): CollectionNumber {
    const number = super.newCollectionNumber();
    this.numbers.push(number);
    return number;
  }
}

/** Appends what was rehearsed, and `more` with it. */
export class CarriedOut extends CheckedTransaction {
  appended = false;
  readonly #numbers: CollectionNumber[];

  constructor(
    tx: WriteTransaction,
    { operations: rehearsed, numbers }: Rehearsal,
    more: readonly Operation[],
  ) {
    const whole = (operations: readonly Operation[]): readonly Operation[] => {
      checkSame(rehearsed ?? [], operations);
      this.appended = true;
      return [...operations, ...more];
    };
    super(tx, {
      append: (operations, wallMs: WallMs) => tx.append(whole(operations), wallMs),
      appendInSlices: (operations, wallMs: WallMs) => tx.appendInSlices(whole(operations), wallMs),
    });
    this.#numbers = [...numbers];
  }

  override newCollectionNumber(): CollectionNumber {
    const number = this.#numbers.shift();
    assert(number !== undefined, "a plan that runs again takes the same numbers");
    return number;
  }
}

/** The answer was made for the operations of the rehearsal. */
function checkSame(rehearsed: readonly Operation[], operations: readonly Operation[]): void {
  const same = rehearsed.length === operations.length &&
    operations.every((operation, i) => sameTarget(operation, rehearsed[i] as Operation));
  if (!same) {
    throw new DfdbError("internal", "A plan did other things when it was run again; nothing was written");
  }
}

function sameTarget(a: Operation, b: Operation): boolean {
  if (a.kind !== b.kind || !("collection" in a) || !("collection" in b)) return false;
  return a.collection === b.collection && ("id" in a ? a.id : null) === ("id" in b ? b.id : null);
}
