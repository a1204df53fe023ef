/** What happened to documents, as the log tells it: for feeds that clients follow. */
import { DfdbError } from "../base/errors.ts";
import type { CollectionNumber, DocumentId, Seq, WallMs } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { compareRuns } from "../document/change_vector.ts";
import { collectionKey, isReservedName } from "../document/names.ts";
import type { Operation, SetVersions } from "../document/operation.ts";
import { versionId } from "../document/version_id.ts";
import { decodeEntry, decodeEntryInSlices, isLarge, Slice } from "../storage/entry_codec.ts";
import type { LogEntry, LogReader, Position, Term } from "../storage/log.ts";
import { samePosition } from "../storage/log.ts";
import { positionText } from "../storage/position_text.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import type { CollectionNames } from "./collection_names.ts";
import type { LogPieces } from "./log_pieces.ts";

export interface Change {
  readonly seq: Seq;
  readonly term: Term;
  /** The leader's clock when it wrote it. */
  readonly wallMs: WallMs;
  readonly op: "put" | "delete" | "conflict" | "createCollection" | "dropCollection";
  /** As first written. */
  readonly collection: string;
  /** Null where the change is one of the whole collection. */
  readonly id: DocumentId | null;
  /** `put`: UTF-8 JSON text of the document, without `_id` and `_etag`. */
  readonly body: Uint8Array | null;
  /** `conflict`: the ids of the versions of which a person has to make a document; until then there is none. */
  readonly conflicts: readonly string[] | null;
  /** The last one that is told of its entry: whoever has it may go on after the entry. */
  readonly last: boolean;
}

type Told = Pick<Change, "op" | "collection" | "id" | "body" | "conflicts">;

export interface ChangeSource {
  readonly storage: Pick<Storage, "read" | "log">;
  readonly names: CollectionNames;
  readonly pieces: LogPieces;
}

const searchBounds = { bytesMax: limits.feedReadBytes, entriesMax: limits.feedReadEntries };

/** Follows the log for one reader. Holds one piece of the log at most, and only between two steps of `read`. */
export class ChangeReader {
  readonly #source: ChangeSource;
  readonly #log: LogReader;
  readonly #only: string | null;
  #position: Position;

  /** `from`: a position of this history; `collection`: the only one to be told of, null: all. */
  constructor(source: ChangeSource, from: Position, collection: string | null) {
    this.#source = source;
    this.#log = source.storage.log;
    this.#position = from;
    this.#only = collection === null ? null : collectionKey(collection);
  }

  /** Everything up to here was told. */
  get position(): Position {
    return this.#position;
  }

  /**
   * The changes of the next piece of the log, none beyond entry `until`; null: a slice of work was done. Throws `position_lost` when the
   * log does not go on from `position` any more, or names a collection that nobody knows any more.
   */
  *read(until: Seq): Generator<Change | null, void, void> {
    const { pieces, names } = this.#source, { seq } = this.#position;
    const here = this.#log.at(seq);
    if (here === "compacted") throw trimmed(this.#log);
    if (here === "ahead" || !samePosition(here, this.#position)) throw otherHistory(this.#position);
    if (seq >= until) return;
    names.check();
    const entries = pieces.after(seq, until - seq);
    if (entries === "compacted") throw trimmed(this.#log);
    for (const entry of entries) yield* this.#changes(entry);
  }

  *#changes(entry: LogEntry): Generator<Change | null, void, void> {
    const operations = yield* decoded(entry.payload), slice = new Slice();
    const { seq, term, chain, wallMs } = entry, after: Position = { ...term, seq, chain };
    let found: Omit<Change, "last"> | null = null;
    for (const operation of operations) {
      if (operation.kind === "createCollection") {
        this.#source.names.begins(operation.collection, operation.name, after);
      }
      if ("collection" in operation && this.#isUnknown(operation.collection)) yield* this.#search(seq);
      const told = this.#told(operation);
      if (told === null) {
        if (slice.full(0)) yield null;
        continue;
      }
      if (found !== null) yield { ...found, last: false };
      found = { seq, term, wallMs, ...told };
    }
    this.#position = after;
    yield found === null ? null : { ...found, last: true };
  }

  /** What is told of an operation; null: nothing. */
  #told(operation: Operation): Told | null {
    const { kind } = operation, conflicts = null;
    if (kind === "setVersions") return this.#shown(operation);
    if (kind === "term" || kind === "createIndex" || kind === "dropIndex") return null;
    if (kind === "activateBundle" || kind === "learnRuns" || kind === "purgeTombstones") return null;
    const collection = this.#name(operation.collection);
    if (collection === null) return null;
    if (kind === "put") return { op: kind, collection, id: operation.id, body: operation.body, conflicts };
    return { op: kind, collection, id: kind === "delete" ? operation.id : null, body: null, conflicts };
  }

  /** What a peer's versions made of a document. */
  #shown({ name, id, kept, added, shown }: SetVersions): Told | null {
    const wanted = this.#only === null || collectionKey(name) === this.#only;
    if (!wanted || isReservedName(name)) return null;
    const document = { collection: name, id, body: null, conflicts: null };
    // Also where there was no document before: it may be the end of a conflict, which the operation alone does not say.
    if (shown.kind === "deleted") return { op: "delete", ...document };
    if (shown.kind === "conflict") {
      const dots = [...kept, ...added.map(({ dot }) => dot)].sort((a, b) => compareRuns(a.run, b.run));
      return { op: "conflict", ...document, conflicts: dots.map(versionId) };
    }
    const theirs = shown.kind === "made"
      ? undefined
      : added.find(({ dot }) => dot.run === shown.dot.run && dot.seq === shown.dot.seq);
    const body = theirs?.body ?? shown.body;
    // Null: the document is what it was.
    return body === null ? null : { op: "put", ...document, body };
  }

  #isUnknown(number: CollectionNumber): boolean {
    const { names } = this.#source;
    return names.of(number) === null && names.searchedTo < this.#position.seq && !this.#isAnother(number);
  }

  /** Looks for names in what is kept of the log before entry `before`: it has those of collections that began not long ago. */
  *#search(before: Seq): Generator<null, void, void> {
    const { names } = this.#source;
    let at = seqOf(Math.max(names.searchedTo, this.#log.first - 1));
    while (at < before - 1) {
      const entries = this.#log.entries(at, searchBounds);
      if (entries === "compacted") return; // what is not found is not known
      for (const { seq, term, chain, payload } of entries) {
        at = seq;
        for (const operation of yield* decoded(payload)) {
          if (operation.kind !== "createCollection") continue;
          names.begins(operation.collection, operation.name, { ...term, seq, chain });
        }
      }
      yield null;
    }
    names.searchedTo = at;
  }

  /** Null: a collection of which nothing is to be told. */
  #name(number: CollectionNumber): string | null {
    const name = this.#source.names.of(number);
    if (name !== null) {
      const wanted = this.#only === null || collectionKey(name) === this.#only;
      return wanted && !isReservedName(name) ? name : null;
    }
    if (this.#isAnother(number)) return null;
    throw new DfdbError(
      "position_lost",
      "A collection that was dropped after this position is not known by name any more: read the documents anew, then follow from now on",
    );
  }

  /** The wanted collection is there since before `number` began, so it is not that one. */
  #isAnother(number: CollectionNumber): boolean {
    const only = this.#only;
    if (only === null) return false;
    const current = this.#source.storage.read((view: ReadView) => view.collection(only));
    return current !== null && current.number < number;
  }
}

function* decoded(payload: Uint8Array): Generator<null, readonly Operation[], void> {
  if (!isLarge(payload)) return decodeEntry(payload);
  const slices = decodeEntryInSlices(payload);
  for (;;) {
    const step = slices.next();
    if (step.done) return step.value;
    yield null;
  }
}

/** The log does not reach back to a reader's position. */
export function trimmed({ first }: Pick<LogReader, "first">): DfdbError {
  const message =
    `The log no longer reaches back to this position, its first entry is ${first}: read the documents anew, then follow from now on`;
  return new DfdbError("position_lost", message, { details: { firstSeq: first } });
}

function otherHistory(position: Position): DfdbError {
  const text = positionText(position, position.seq);
  return new DfdbError("position_lost", `${text} is not in the history of this database any more`);
}
