import { DfdbError } from "../base/errors.ts";
import type { DocumentId } from "../base/ids.ts";
import type { BulkOutcome, NewDocument } from "../engine/commands.ts";
import { bulkInsert } from "../engine/commands.ts";
import type { Engine } from "../engine/engine.ts";
import type { Committed } from "../engine/plan.ts";
import type { Position } from "../storage/log.ts";

/** Slices between here and the disk: while one commits the next are parsed, and they share its fsync. */
const inFlightMax = 2;

/** An element that was not written. */
export interface ElementError {
  readonly index: number;
  readonly error: string;
  readonly code: string;
}

/** A slice that committed. */
interface Settled {
  readonly indexes: readonly number[];
  readonly committed: Committed<readonly BulkOutcome[]>;
}

/** Of several failures the answer tells the one that says least about what was kept: the higher. */
const rank = (error: unknown): number => {
  const code = error instanceof DfdbError ? error.code : "outcome_unknown";
  return code === "outcome_unknown" ? 2 : code === "replication_timeout" ? 1 : 0;
};

/** A bulk on its way: what is collected, what is in flight, what has come of it. */
export class BulkLoad {
  /** Why a slice failed as a whole; nothing more is sent after it. */
  failure: { readonly error: unknown } | null = null;
  /** The log's end after the last slice that committed. */
  position: Position | null = null;
  readonly #engine: Engine;
  readonly #collection: string;
  readonly #ids: DocumentId[] = [];
  readonly #errors: ElementError[] = [];
  /** In the order sent; null: the slice failed as a whole. */
  readonly #inFlight: Promise<Settled | null>[] = [];
  #documents: NewDocument[] = [];
  #indexes: number[] = [];

  constructor(engine: Engine, collection: string) {
    this.#engine = engine;
    this.#collection = collection;
  }

  /** Adds a document to the slice that is sent next. */
  add(index: number, document: NewDocument): void {
    this.#indexes.push(index);
    this.#documents.push(document);
  }

  /** Notes an element that cannot be written. */
  reject(index: number, error: DfdbError): void {
    this.#errors.push({ index, error: error.message, code: error.code });
  }

  /** Sends the collected slice; resolves as soon as there is room for one more in flight. */
  async send(): Promise<void> {
    if (this.#documents.length > 0) {
      const indexes = this.#indexes;
      this.#inFlight.push(
        this.#engine.submit(bulkInsert(this.#collection, this.#documents)).then(
          (committed) => ({ indexes, committed }),
          (error: unknown) => {
            if (this.failure === null || rank(error) > rank(this.failure.error)) this.failure = { error };
            return null;
          },
        ),
      );
      this.#documents = [];
      this.#indexes = [];
    }
    if (this.#inFlight.length >= inFlightMax) await this.#settleOldest();
  }

  /** Resolves when nothing is in flight any more. */
  async settle(): Promise<void> {
    while (this.#inFlight.length > 0) await this.#settleOldest();
  }

  async #settleOldest(): Promise<void> {
    const settled = await this.#inFlight.shift();
    if (settled === undefined || settled === null) return;
    // A slice that was already in flight behind a failed one may have committed all the same.
    this.position = settled.committed.position;
    settled.committed.value.forEach((outcome, i) => {
      if ("error" in outcome) this.reject(settled.indexes[i] as number, outcome.error);
      else this.#ids.push(outcome.id);
    });
  }

  /** The body of the answer: what was written, to the last document, also when the rest failed. */
  result(tookMs: number): Readonly<Record<string, unknown>> {
    const errors = this.#errors.sort((a, b) => a.index - b.index);
    const failed = this.failure !== null;
    return bulkResult({ ids: this.#ids, errors, atomic: false, failed }, tookMs);
  }
}

/** What has become of a bulk. */
export interface BulkEnd {
  /** What was written. */
  readonly ids: readonly DocumentId[];
  readonly errors: readonly ElementError[];
  readonly atomic: boolean;
  /** Failed as a whole. */
  readonly failed?: boolean;
  readonly rolledBack?: boolean;
}

/** The body of the answer to a bulk, as the reference has it. */
export function bulkResult(
  { ids, errors, atomic, failed = false, rolledBack = false }: BulkEnd,
  tookMs: number,
): Readonly<Record<string, unknown>> {
  return {
    success: !failed && errors.length === 0,
    count: ids.length,
    ids,
    errors,
    rolledBack,
    atomic,
    indexesRebuilt: 0,
    indexesSkipped: 0,
    timeSeconds: Math.round(tookMs) / 1000,
  };
}
