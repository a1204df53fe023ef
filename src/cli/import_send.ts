/** Batches of documents on their way to a node: sent together, repeated where that is safe, settled document by document. */
import { DfdbError } from "../base/errors.ts";
import type { Clock } from "../runtime/runtime.ts";
import type { Fields } from "./fields.ts";
import { fieldsOf, listIn, numberIn, textIn } from "./fields.ts";
import type { ImportDocument, RefusedRecord } from "./import_document.ts";
import type { Target } from "./target.ts";

/** What is done with a document whose id is there already. */
export type OnConflict = "fail" | "skip" | "replace";

export interface BatchResult {
  readonly written: number;
  /** Were there already, and left as they were. */
  readonly skipped: number;
  readonly refused: readonly RefusedRecord[];
  /** Why the batch ended early; null: all of it is settled. */
  readonly failure: DfdbError | null;
  /** Not written for certain, and perhaps written; empty where nothing failed. */
  readonly left: readonly ImportDocument[];
  readonly inDoubt: readonly ImportDocument[];
}

const attemptsMax = 6, delayMsMin = 200, delayMsMax = 5_000;
/** PUTs and looks at single documents at a time. */
const together = 32;

/** The node will take it later. */
const later: ReadonlySet<string> = new Set(["busy", "not_ready"]);
/** It may have been written, or not. */
const unknown: ReadonlySet<string> = new Set([
  "outcome_unknown",
  "replication_timeout",
  "unreachable",
  "timeout",
  "bad_frame",
]);

export class BatchSender {
  readonly #target: Target;
  readonly #clock: Clock;
  readonly #path: string;
  readonly #onConflict: OnConflict;
  readonly #signal: AbortSignal;

  constructor(
    { target, clock, collection, onConflict, signal }: {
      readonly target: Target;
      readonly clock: Clock;
      readonly collection: string;
      readonly onConflict: OnConflict;
      /** Nothing is repeated after it; what is on its way is waited for. */
      readonly signal: AbortSignal;
    },
  ) {
    this.#target = target;
    this.#clock = clock;
    this.#path = `/collections/${encodeURIComponent(collection)}`;
    this.#onConflict = onConflict;
    this.#signal = signal;
  }

  /** Never rejects with a DfdbError. */
  async send(documents: readonly ImportDocument[]): Promise<BatchResult> {
    const batch = new Batch(documents);
    let failure: DfdbError | null = null;
    for (let attempt = 1; batch.left.length > 0; attempt++) {
      failure = await this.#once(batch);
      if (failure === null || !(unknown.has(failure.code) || later.has(failure.code))) break;
      if (attempt === attemptsMax || this.#signal.aborted) break;
      if (batch.inDoubt.some((document) => !this.#mayRepeat(document))) break;
      await this.#pause(Math.min(delayMsMax, delayMsMin * 2 ** (attempt - 1)));
    }
    return { ...batch.result(), failure };
  }

  /** A second insert of what was written is told from one that meets another document. */
  #mayRepeat({ minted }: ImportDocument): boolean {
    return minted || this.#onConflict !== "fail";
  }

  async #once(batch: Batch): Promise<DfdbError | null> {
    const sent = batch.left;
    try {
      const body = `[${sent.map(({ text }) => text).join(",")}]`;
      const { body: answer, error } = await this.#target.client.answer("POST", `${this.#path}/bulk`, body);
      const conflicts = batch.settle(sent, fieldsOf(answer));
      await this.#resolve(batch, conflicts);
      if (error !== null && unknown.has(error.code)) batch.doubt(batch.left);
      return error;
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      if (unknown.has(error.code)) batch.doubt(batch.left);
      return error;
    }
  }

  /** Those of which the node said `duplicate_key`. */
  async #resolve(batch: Batch, conflicts: readonly Conflict[]): Promise<void> {
    const queue = [...conflicts];
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await this.#resolveOne(batch, next);
      }
    };
    // All are waited for: none may write after this has ended.
    const ends = await Promise.allSettled(Array.from({ length: together }, work));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  async #resolveOne(batch: Batch, { document, error }: Conflict): Promise<void> {
    const path = `${this.#path}/${encodeURIComponent(document.id)}`;
    if (document.minted && batch.wasInDoubt(document)) {
      if (await this.#exists(path, document, error)) batch.wrote(document);
      else batch.refuse(document, error, "duplicate_key");
    } else if (this.#onConflict === "skip") {
      if (await this.#exists(path, document, error)) batch.skip(document);
      else batch.refuse(document, error, "duplicate_key");
    } else if (this.#onConflict === "replace") {
      const { error: refused } = await this.#target.client.answer("PUT", path, document.text);
      if (refused === null) batch.wrote(document);
      else if (unknown.has(refused.code) || later.has(refused.code) || isForAll(refused)) throw refused;
      else batch.refuse(document, sentence(refused, this.#target.name), refused.code);
    } else batch.refuse(document, error, "duplicate_key");
  }

  /** A unique index says `duplicate_key` as well: then there is no document of that id. */
  async #exists(path: string, { id }: ImportDocument, said: string): Promise<boolean> {
    if (said.startsWith(`A document "${id}" exists`)) return true;
    const { error } = await this.#target.client.answer("GET", path);
    if (error === null || error.code === "not_found" || error.code === "collection_not_found") {
      return error === null;
    }
    throw error;
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.timer(ms, resolve);
    this.#signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    timer.cancel();
  }
}

interface Conflict {
  readonly document: ImportDocument;
  readonly error: string;
}

/** The documents of one batch, until each is settled. */
class Batch {
  #written = 0;
  #skipped = 0;
  readonly #refused: RefusedRecord[] = [];
  readonly #open: Map<string, ImportDocument>;
  readonly #doubted = new Set<string>();

  /** Ids may be there twice in the input: the second one is told by the node, so they are told apart by their place. */
  constructor(documents: Iterable<ImportDocument>) {
    this.#open = new Map([...documents].map((document) => [keyOf(document), document]));
  }

  get left(): readonly ImportDocument[] {
    return [...this.#open.values()];
  }

  get inDoubt(): readonly ImportDocument[] {
    return this.left.filter((document) => this.#doubted.has(keyOf(document)));
  }

  wasInDoubt(document: ImportDocument): boolean {
    return this.#doubted.has(keyOf(document));
  }

  doubt(documents: readonly ImportDocument[]): void {
    for (const document of documents) this.#doubted.add(keyOf(document));
  }

  wrote(document: ImportDocument): void {
    if (this.#open.delete(keyOf(document))) this.#written++;
  }

  skip(document: ImportDocument): void {
    if (this.#open.delete(keyOf(document))) this.#skipped++;
  }

  refuse(document: ImportDocument, error: string, code: string): void {
    if (this.#open.delete(keyOf(document))) this.#refused.push({ place: document.place, error, code });
  }

  /** Settles what the answer to `sent` tells of; answers the conflicts, which stay open. */
  settle(sent: readonly ImportDocument[], answer: Fields): readonly Conflict[] {
    const conflicts: Conflict[] = [], failed = new Set<ImportDocument>();
    for (const told of listIn(answer, "errors")) {
      const document = sent[numberIn(told, "index") ?? -1];
      if (document === undefined) continue;
      failed.add(document);
      const error = textIn(told, "error") ?? "refused", code = textIn(told, "code") ?? "internal";
      if (code === "duplicate_key") conflicts.push({ document, error });
      else this.refuse(document, error, code);
    }
    const ids = new Set(Array.isArray(answer["ids"]) ? answer["ids"] : []);
    // Of two documents with one id the first was written.
    for (const document of sent) {
      if (!failed.has(document) && ids.delete(document.id)) this.wrote(document);
    }
    return conflicts;
  }

  result(): Omit<BatchResult, "failure"> {
    const { inDoubt } = this;
    const left = this.left.filter((document) => !this.#doubted.has(keyOf(document)));
    return { written: this.#written, skipped: this.#skipped, refused: this.#refused, left, inDoubt };
  }
}

const keyOf = ({ place }: ImportDocument): string => String(place);

/** It is not about this document. */
function isForAll({ code }: DfdbError): boolean {
  return ["unauthorized", "forbidden", "not_leader", "read_only", "disk_full", "closing", "no_lease"]
    .includes(code);
}

const sentence = ({ message }: DfdbError, name: string): string =>
  message.startsWith(`${name}: `) ? message.slice(name.length + 2) : message;
