/** A Storage in memory for tests of what stands on it: all or nothing as the real one, with faults on demand. */
import { assert } from "../../src/base/assert.ts";
import { databaseIdOf, seqOf } from "../../src/base/ids.ts";
import type { CollectionNumber, DocumentId, Seq, WallMs } from "../../src/base/ids.ts";
import { collectionNumberOf } from "../../src/base/ids.ts";
import { utf8Text } from "../../src/base/bytes.ts";
import type { Operation } from "../../src/document/operation.ts";
import type { LogEntry, Position, TermRecord, TimedLogReader } from "../../src/storage/log.ts";
import { origin } from "../../src/storage/log.ts";
import type {
  CollectionInfo,
  ReadView,
  Storage,
  StoredDocument,
  WriteTransaction,
} from "../../src/storage/storage.ts";

interface State {
  position: Position;
  terms: TermRecord[];
  collections: CollectionInfo[];
  lastNumber: number;
  documents: Map<string, StoredDocument>;
}

export interface MemoryStorage extends Storage {
  /** Operations of every entry, in order. */
  readonly entries: readonly (readonly Operation[])[];
  /** Number of transactions that committed. */
  readonly commits: number;
  /** Thrown in place of the next commits, oldest first; null lets one through. */
  readonly commitFaults: (Error | null)[];
}

export function memoryStorage(): MemoryStorage {
  let state: State = { position: origin, terms: [], collections: [], lastNumber: 0, documents: new Map() };
  let entries: (readonly Operation[])[] = [];
  let commits = 0;
  const commitFaults: (Error | null)[] = [];
  let writing = false;
  const commit = (draft: State, made: readonly (readonly Operation[])[]): void => {
    const fault = commitFaults.shift() ?? null;
    if (fault !== null) throw fault;
    state = draft;
    entries = [...entries, ...made];
    commits++;
  };
  const log: TimedLogReader = {
    first: seqOf(1),
    get last() {
      return state.position;
    },
    get terms() {
      return state.terms;
    },
    at: () => "compacted",
    entries: () => [],
    bytesAfter: () => 0,
    wallMsAt: () => null,
  };
  return {
    databaseId: databaseIdOf("0".repeat(32)),
    log,
    commitFaults,
    get entries() {
      return entries;
    },
    get commits() {
      return commits;
    },
    read: (run) => run(viewOf(state)),
    write(run) {
      assert(!writing, "one write transaction at a time");
      const draft = copy(state), made: (readonly Operation[])[] = [];
      const result = run(transactionOf(draft, made));
      commit(draft, made);
      return result;
    },
    begin() {
      assert(!writing, "one write transaction at a time");
      const draft = copy(state), made: (readonly Operation[])[] = [], tx = transactionOf(draft, made);
      writing = true;
      const ending = <Result>(run: () => Result): Result => {
        writing = false;
        return run();
      };
      return {
        slice(run) {
          assert(writing, "a transaction is used until it is over");
          try {
            return run(tx);
          } catch (error) {
            return ending(() => {
              throw error;
            });
          }
        },
        commit: () => ending(() => commit(draft, made)),
        rollback: () => void (writing = false),
      };
    },
    adoptDatabaseId: () => {},
    exchange: (run) => run(),
    untilSeen: () => null,
    reclaim: () => false,
    trimLog: () => false,
    checkpointIfDue: () => false,
    stats: () => ({
      path: "memory",
      fileBytes: 0,
      pageCount: 0,
      logEntries: entries.length,
      logBytes: 0,
      logFirstMs: null,
      collectionsDropped: 0,
      indexesBuilding: 0,
    }),
    prepareIndex: () => {
      throw new Error("indexes are not kept in memory");
    },
    buildSlice: () => false,
    built: () => null,
    abandonIndex: () => {},
    rebuildIndex: () => {},
    close: () => {},
  };
}

function copy(state: State): State {
  return {
    ...state,
    terms: [...state.terms],
    collections: [...state.collections],
    documents: new Map(state.documents),
  };
}

const keyOf = (collection: CollectionNumber, id: DocumentId): string => `${collection}/${id}`;

function viewOf(state: State): ReadView {
  const document = (collection: CollectionNumber, id: DocumentId): StoredDocument | null =>
    state.documents.get(keyOf(collection, id)) ?? null;
  return {
    versions: null,
    get position() {
      return state.position;
    },
    get terms() {
      return state.terms;
    },
    // Any write may have changed anything.
    get version() {
      return state.position.seq;
    },
    get settingsVersion() {
      return state.position.seq;
    },
    indexes: () => [],
    select: () => {
      throw new Error("there is no SQL in memory");
    },
    explain: () => [],
    collections: () => state.collections,
    collection: (name) =>
      state.collections.find((info) => info.name.toLowerCase() === name.toLowerCase()) ?? null,
    document,
    documentSeq: (collection, id) => document(collection, id)?.seq ?? seqOf(0),
    page(collection, after, { documentsMax }) {
      const own = [...state.documents].filter(([key]) => key.startsWith(`${collection}/`)).map(([, value]) =>
        value
      );
      const next = after + documentsMax;
      return { documents: own.slice(after, next), next: next < own.length ? next : null };
    },
  };
}

function transactionOf(state: State, made: (readonly Operation[])[]): WriteTransaction {
  const view = viewOf(state);
  const append = (operations: readonly Operation[], wallMs: WallMs): Position => {
    const seq = seqOf(state.position.seq + 1);
    state.position = { ...state.position, seq, chain: seq };
    for (const operation of operations) applyTo(state, operation, seq, wallMs);
    made.push(operations);
    return state.position;
  };
  return Object.assign(Object.create(view) as ReadView, {
    newCollectionNumber: () => collectionNumberOf(++state.lastNumber),
    append,
    *appendInSlices(operations: readonly Operation[], wallMs: WallMs) {
      yield;
      const position = append(operations, wallMs);
      yield;
      return position;
    },
    apply: (entry: LogEntry) => append([], entry.wallMs),
    *applyInSlices(entry: LogEntry) {
      yield;
      const position = append([], entry.wallMs);
      yield;
      return position;
    },
  });
}

function applyTo(state: State, operation: Operation, seq: Seq, wallMs: WallMs): void {
  if (operation.kind === "term") {
    const { epoch, run, nodeId } = operation;
    state.terms.push({ epoch, run, nodeId, firstSeq: seq });
    state.position = { ...state.position, epoch, run };
  } else if (operation.kind === "createCollection") {
    state.collections.push({ number: operation.collection, name: operation.name, documents: 0 });
  } else if (operation.kind === "dropCollection") {
    state.collections = state.collections.filter(({ number }) => number !== operation.collection);
  } else if (operation.kind === "put" || operation.kind === "delete") {
    const key = keyOf(operation.collection, operation.id);
    const before = state.documents.get(key);
    const change = operation.kind === "put" ? (before === undefined ? 1 : 0) : -1;
    state.collections = state.collections.map((info) =>
      info.number === operation.collection ? { ...info, documents: info.documents + change } : info
    );
    if (operation.kind === "delete") return void state.documents.delete(key);
    const body = utf8Text(operation.body), createdMs = before?.createdMs ?? wallMs;
    state.documents.set(key, { id: operation.id, body, seq, createdMs, modifiedMs: wallMs });
  }
}
