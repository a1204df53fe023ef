/** A batch in its transaction: versions, what cannot be kept, and the cursor, or nothing of it. */
import { DfdbError } from "../base/errors.ts";
import type { RunId, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { Operation } from "../document/operation.ts";
import type { RunNode } from "../document/run_tree.ts";
import type { Plan, SlicedPlan } from "../engine/plan.ts";
import type { Term } from "../storage/log.ts";
import type { ReadView, WriteTransaction } from "../storage/storage.ts";
import type { VersionView } from "../storage/versions.ts";
import type { ReceivedBatch, ReceivedKey } from "./batch_read.ts";
import { CollectionMaker } from "./collection_maker.ts";
import { EntryWriter } from "./entry_writer.ts";
import type { Judging } from "./incoming_key.ts";
import { judgeKey } from "./incoming_key.ts";
import { toldRuns } from "./incoming_runs.ts";
import type { IncomingOptions, Sender, Target } from "./incoming_types.ts";
import { rejectedAt, rejectedId, rejectedStart, rejectedText } from "./rejected.ts";
import { sourceId, sourceText } from "./sources.ts";
import { systemDocument, SystemWriter } from "./system_documents.ts";

/** What a sender wants stored. */
export interface Delivery {
  readonly sender: Sender;
  readonly target: Target;
  /** Null: the cursor alone. */
  readonly batch: ReceivedBatch | null;
  readonly bytes: number;
}

/** Keys by their texts. */
export interface Taken {
  /** `elsewhere`: it is for another database or term. `large`: for {@linkcode takeInSlices}: it tells runs, or makes more than it is. */
  readonly kind: "taken" | "elsewhere" | "large";
  readonly stored: number;
  /** Put aside now; not those that were before. */
  readonly rejected: readonly { readonly key: string; readonly reason: string }[];
  readonly disagreements: readonly string[];
  readonly failures: readonly { readonly key: string; readonly reason: string }[];
  /** Runs that are not what is known here. */
  readonly refused: ReadonlyMap<RunId, string>;
}

type Options = Pick<IncomingOptions, "storage" | "sha256" | "policy" | "admit">;

/** What is written in one macrotask, together with other writes. */
const smallKeys = 64, smallBytes = 128 * 1024;
/** What a key weighs in a slice beside its bytes: 100 of them fill one. */
const keyBytes = limits.sliceBytes / 100;

/** Throws `bundle_not_active`, and what `admit` throws, before anything is written. */
export function take(options: Options, delivery: Delivery): Plan<Taken> | SlicedPlan<Taken> {
  const { batch, bytes } = delivery;
  const small = batch === null ||
    (bytes <= smallBytes && batch.keys.length <= smallKeys && batch.runs.length <= smallKeys);
  return small ? takeAtOnce(options, delivery) : takeInSlices(options, delivery);
}

function takeAtOnce(options: Options, delivery: Delivery): Plan<Taken> {
  return {
    bytes: delivery.bytes,
    // A repeat finds what a request before it wrote, which followers may not have yet.
    asWrite: true,
    run(tx, wallMs) {
      const writer = new EntryWriter(tx, wallMs),
        steps = new Taking(options, delivery, tx, writer, wallMs).steps(false);
      for (;;) {
        const step = steps.next();
        if (step.done !== true) continue;
        if (step.value.kind === "taken") writer.finish();
        return step.value;
      }
    },
  };
}

export function takeInSlices(options: Options, delivery: Delivery): SlicedPlan<Taken> {
  return {
    bytes: delivery.bytes,
    asWrite: true,
    *slices(tx, wallMs) {
      const writer = new EntryWriter(tx, wallMs);
      const taken = yield* new Taking(options, delivery, tx, writer, wallMs).steps(true);
      yield* writer.flush();
      return taken;
    },
  };
}

class Taking {
  readonly #options: Options;
  readonly #delivery: Delivery;
  readonly #tx: WriteTransaction;
  readonly #writer: EntryWriter;
  readonly #wallMs: WallMs;
  readonly #system: SystemWriter;
  readonly #collections: CollectionMaker;
  readonly #rejected: { readonly key: string; readonly reason: string }[] = [];
  readonly #disagreements: string[] = [];
  readonly #failures: { readonly key: string; readonly reason: string }[] = [];
  #refused: ReadonlyMap<RunId, string> = new Map();
  #stored = 0;

  constructor(
    options: Options,
    delivery: Delivery,
    tx: WriteTransaction,
    writer: EntryWriter,
    wallMs: WallMs,
  ) {
    this.#options = options;
    this.#delivery = delivery;
    this.#tx = tx;
    this.#writer = writer;
    this.#wallMs = wallMs;
    this.#system = new SystemWriter(tx);
    this.#collections = new CollectionMaker(tx);
  }

  /** Adds to the writer; appends only with `mayAppend`. Of what is not `taken` nothing is to be kept. */
  *steps(mayAppend: boolean): Generator<void, Taken, void> {
    const tx = this.#tx,
      { sender, target, batch } = this.#delivery,
      { admit, storage, policy } = this.#options;
    versionsOf(tx);
    admit?.(tx, sender);
    if (!isFor(target, storage.databaseId, tx.position)) return this.#taken("elsewhere");
    const next = { run: tx.position.run, seq: seqOf(tx.position.seq + 1) };
    if (batch !== null) {
      const { learn, refused } = yield* toldRuns(versionsOf(tx).tree, batch.runs);
      this.#refused = refused;
      if (learn.length > 0 && !mayAppend) return this.#taken("large");
      yield* this.#learn(learn);
      const { sha256 } = this.#options, versions = versionsOf(tx);
      const judging: Judging = { versions, policy: policy(), sha256, next, refused };
      let bytes = 0;
      for (const key of batch.keys) {
        const due = this.#writer.add(this.#key(key, judging));
        if (due && !mayAppend) return this.#taken("large");
        if (due) yield* this.#writer.flush();
        // Reading and judging a key costs more than an operation.
        bytes += keyBytes;
        for (const { length } of key.elements) bytes += length;
        if (bytes < limits.sliceBytes) continue;
        bytes = 0;
        yield;
      }
    }
    this.#cursor(batch === null);
    return this.#taken("taken");
  }

  /** In entries of their own: a tree knows them from then on. */
  *#learn(runs: readonly RunNode[]): Generator<void, void, void> {
    for (let at = 0; at < runs.length; at += limits.operationItemsMax) {
      this.#writer.add([{ kind: "learnRuns", runs: runs.slice(at, at + limits.operationItemsMax) }]);
      yield* this.#writer.flush();
      yield;
    }
  }

  #key(key: ReceivedKey, judging: Judging): readonly Operation[] {
    const outcome = judgeKey(this.#tx, key, judging), { sender } = this.#delivery, { sha256 } = this.#options;
    if (outcome.kind === "same") return [];
    if (outcome.kind === "rejected") return this.#reject(key, outcome.reason);
    const { operation, disagreement, failure } = outcome;
    const made = operation.shown.kind === "deleted" ? [] : this.#collections.missing(operation.name);
    if (typeof made === "string") return this.#reject(key, made);
    this.#stored++;
    if (disagreement) this.#disagreements.push(key.text);
    if (failure !== null) this.#failures.push({ key: key.text, reason: failure });
    // What it has now takes the place of what it had then.
    const before = this.#system.remove(rejectedId(key.text, sha256), rejectedStart(key.text, sender));
    return [...made, operation, ...before];
  }

  #reject(key: ReceivedKey, reason: string): readonly Operation[] {
    const { sender } = this.#delivery, id = rejectedId(key.text, this.#options.sha256);
    const text = rejectedText(key, reason, sender);
    if (systemDocument(this.#tx, id)?.startsWith(text) === true) return [];
    this.#rejected.push({ key: key.text, reason });
    return this.#system.put(id, text + rejectedAt(this.#wallMs));
  }

  /** `alone`: also where nothing else is written. */
  #cursor(alone: boolean): void {
    const { sender, target, batch } = this.#delivery, cursor = target.cursor ?? batch?.cursor ?? null;
    if (cursor === null || (!alone && this.#writer.count === 0)) return;
    this.#writer.add(this.#system.put(sourceId(sender, this.#options.sha256), sourceText(sender, cursor)));
  }

  #taken(kind: Taken["kind"]): Taken {
    return {
      kind,
      stored: this.#stored,
      rejected: this.#rejected,
      disagreements: this.#disagreements,
      failures: this.#failures,
      refused: this.#refused,
    };
  }
}

/** Throws `bundle_not_active`. */
export function versionsOf(view: ReadView): VersionView {
  if (view.versions !== null) return view.versions;
  throw new DfdbError("bundle_not_active", "This database was made without the replication bundle");
}

function isFor({ databaseId, term }: Target, own: string, { epoch, run }: Term): boolean {
  if (databaseId !== null && databaseId !== own) return false;
  return term === null || (term.epoch === epoch && term.run === run);
}
