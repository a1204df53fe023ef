import { DfdbError } from "../base/errors.ts";
import type { Plan } from "../engine/plan.ts";
import type { ReceivedBatch } from "./batch_read.ts";
import { readBatch } from "./batch_read.ts";
import type { Delivery, Taken } from "./incoming_plan.ts";
import { take, takeInSlices, versionsOf } from "./incoming_plan.ts";
import type { Incoming, IncomingCounts, IncomingOptions, Sender, Target } from "./incoming_types.ts";
import type { ReceiverAnswer } from "./outgoing_events.ts";
import { cursorOf } from "./sources.ts";

export type { Incoming, IncomingCounts, IncomingOptions, Sender, Target } from "./incoming_types.ts";

/** Makes the term of this leadership the last one of the log though nothing else is written. */
const beginRun: Plan<null> = { bytes: 0, beginsRun: true, run: () => null };

/** Lines about one batch, of each kind. */
const toldMax = 100;

export function incoming(options: IncomingOptions): Incoming {
  return new Receiving(options);
}

class Receiving implements Incoming {
  readonly #options: IncomingOptions;
  #counts = { batches: 0, stored: 0, rejected: 0, ignored: 0, disagreements: 0 };
  #begun = false;

  constructor(options: IncomingOptions) {
    this.#options = options;
  }

  get counts(): IncomingCounts {
    return this.#counts;
  }

  async lastEtag(sender: Sender): Promise<ReceiverAnswer> {
    this.#admit(sender);
    await this.#begin();
    return this.#answer(sender);
  }

  async replicate(sender: Sender, target: Target, bytes: Uint8Array): Promise<ReceiverAnswer> {
    this.#admit(sender);
    const batch = await this.#read(bytes), { keys, ignored } = batch;
    this.#counts.batches++;
    this.#counts.ignored += ignored;
    if (keys.length > 0 || ignored > 0) await this.#take({ sender, target, batch, bytes: bytes.length });
    return this.#answer(sender);
  }

  async putCursor(sender: Sender, target: Target): Promise<ReceiverAnswer> {
    this.#admit(sender);
    if (target.cursor !== null) await this.#take({ sender, target, batch: null, bytes: 0 });
    return this.#answer(sender);
  }

  async #take(delivery: Delivery): Promise<void> {
    const { engine } = this.#options;
    let { value } = await engine.submit(take(this.#options, delivery));
    if (value.kind === "large") ({ value } = await engine.submit(takeInSlices(this.#options, delivery)));
    // For the term before this one, which is not in the log yet: the sender is to be told the one that is.
    if (value.kind === "elsewhere") await this.#begin();
    this.#counts.stored += value.stored;
    this.#counts.rejected += value.rejected.length;
    this.#counts.disagreements += value.disagreements.length;
    this.#tell(delivery.sender, value);
  }

  /** Once: a leadership may have written nothing yet, and the log then ends in another term than the one that a batch is stored in. */
  async #begin(): Promise<void> {
    if (this.#begun) return;
    await this.#options.engine.submit(beginRun);
    this.#begun = true;
  }

  /** What is long is read in several macrotasks. */
  async #read(bytes: Uint8Array): Promise<ReceivedBatch> {
    const steps = readBatch(bytes, this.#options.documents);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await new Promise<void>((resolve) => this.#options.clock.macrotask(resolve));
    }
  }

  #answer(sender: Sender): ReceiverAnswer {
    const { storage, sha256 } = this.#options;
    return storage.read((view) => {
      const { epoch, run } = view.position;
      return { databaseId: storage.databaseId, term: { epoch, run }, cursor: cursorOf(view, sender, sha256) };
    });
  }

  /** Also before the transaction: what is refused need not be read. */
  #admit(sender: Sender): void {
    const { storage, admit } = this.#options;
    storage.read((view) => {
      versionsOf(view);
      if (sender.databaseId === storage.databaseId) {
        throw new DfdbError(
          "same_database",
          "The sender has the id of this database: it is this one, or a copy of it that needs an id of its own (dfdb new-identity)",
        );
      }
      admit?.(view, sender);
    });
  }

  #tell({ databaseId, url }: Sender, { rejected, disagreements, failures, refused }: Taken): void {
    const { logger } = this.#options, from = { from: url, databaseId };
    for (const { key, reason } of rejected.slice(0, toldMax)) {
      logger.warn("a document from another master cannot be kept: it is in Raven/Replication/Rejected", {
        ...from,
        key,
        reason,
      });
    }
    for (const key of disagreements.slice(0, toldMax)) {
      const message = "another master shows another content of the same versions: it is a conflict now";
      logger.warn(message, { ...from, key, code: "policy_disagreement" });
    }
    for (const { key, reason } of failures.slice(0, toldMax)) {
      logger.warn("the conflict policy left a document to people", { ...from, key, reason });
    }
    const most = Math.max(rejected.length, disagreements.length, failures.length);
    if (most > toldMax) {
      logger.warn("and more of that batch", {
        ...from,
        rejected: rejected.length,
        disagreements: disagreements.length,
        failures: failures.length,
      });
    }
    if (refused.size > 0) {
      const [run, reason] = [...refused][0] as [string, string];
      logger.warn("another master tells runs that cannot be", { ...from, count: refused.size, run, reason });
    }
  }
}
