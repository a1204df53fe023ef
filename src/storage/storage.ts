import type {
  CollectionNumber,
  DatabaseId,
  DocumentId,
  IndexNumber,
  NodeId,
  Seq,
  WallMs,
} from "../base/ids.ts";
import type { IndexDefinition, Operation } from "../document/operation.ts";
import type { LogEntry, Position, Term, TermRecord, TimedLogReader } from "./log.ts";
import type { VersionView } from "./versions.ts";

/**
 * One database: documents, log and terms in one file. Every call is synchronous. One write transaction at a time;
 * reads never see what is not committed.
 */
export interface Storage {
  readonly databaseId: DatabaseId;
  readonly log: TimedLogReader;
  /** Runs `run` over one consistent state. The view must not be used after `run` returned. */
  read<Result>(run: (view: ReadView) => Result): Result;
  /**
   * Runs `run` in a transaction: all of it is on disk (fsync) when this returns, or, if it throws, none of it is kept.
   * What must hold at the moment of COMMIT is checked at the end of `run`: nothing runs in between.
   * Throws what `run` throws; `disk_full` (nothing kept); `io_error` or `data_corrupt`: the outcome is unknown and
   * the process must end.
   */
  write<Result>(run: (tx: WriteTransaction) => Result): Result;
  /**
   * Opens a write transaction that stays open over macrotasks, for what would take too long in one. Until it is over
   * nothing else is written (`write` and `begin` are misuse, maintenance does nothing) and reads see the old state.
   * Throws `busy` during an {@linkcode exchange}.
   */
  begin(): OpenWrite;
  /**
   * Takes over the id of another database: only while the log is at 0 and there is no document (a new follower).
   * Throws `wrong_database` otherwise.
   */
  adoptDatabaseId(id: DatabaseId): void;
  /**
   * Lets `run` replace the content of the file through another connection (SQLite's online backup, in a worker). Until it settled nothing is
   * written here (`busy`), maintenance does nothing, and reads see the old content; then the state is read anew, also
   * when `run` failed, and reads see what is there. Rejects with what `run` rejects with, `data_corrupt` when the
   * new content is no database of ours.
   */
  exchange(run: () => Promise<void>): Promise<void>;
  /**
   * What another connection has read at `position` may be told when this has resolved; null: at once. Only an {@linkcode exchange} under way has
   * others see what reads here do not see yet; it resolves when that is over, however it ends. Throws as `log.at`.
   */
  untilSeen(position: Position): Promise<void> | null;
  /** Frees one slice of what dropped collections and indexes left behind, or writes one of their tombstones. True when more is left. */
  reclaim(): boolean;
  /**
   * Leader: an index that nobody sees yet, empty, kept with every write from now on; {@linkcode buildSlice} fills it. It is durable only by the
   * `createIndex` entry, which links it once it is whole; a restart forgets it. Throws `bad_request` where no index can be so,
   * `collection_not_found`, `conflict` where the collection has one of that name or of the same paths, or too many
   * (`limits.indexesMax`); `busy` during an {@linkcode exchange} or an open write.
   */
  prepareIndex(collection: CollectionNumber, definition: IndexDefinition): IndexNumber;
  /**
   * One slice of filling (a prepared index too, and of a prepared unique one: of looking for keys that are there twice), of whichever index is
   * next. True: call again, there is more. False, and nothing is done, also during an {@linkcode exchange} or an open write.
   */
  buildSlice(): boolean;
  /**
   * How far the filling is, 0 to 1, where it is whole; null: there is no such index (it was abandoned or its collection dropped).
   * Throws `duplicate_key` (details: `index`, its name; `id` and `otherId`, of two documents), once, for a prepared unique index in which
   * keys were found twice, whoever called {@linkcode buildSlice}: it is abandoned then.
   */
  built(index: IndexNumber): number | null;
  /** Gives up an index that was prepared. Does nothing where it was linked or is gone; does not fail. */
  abandonIndex(index: IndexNumber): void;
  /**
   * Empties a linked index and fills it anew, in slices; until then it is not used, and a unique one is not enforced by it but
   * refuses writes as one being filled does. Does nothing where there is none. Throws as {@linkcode prepareIndex} `busy`.
   */
  rebuildIndex(index: IndexNumber): void;
  /**
   * Deletes one slice (`limits.trimEntries`, `limits.trimBytes`) of entries from the front of the log, as far as
   * `policy` says and never the last one; readers then get "compacted". True: call again, there may be more.
   */
  trimLog(policy: TrimPolicy): boolean;
  /**
   * Moves the WAL into the data file as far as readers allow, when it has grown enough; off the commit path. True: it has
   * grown beyond what one call may move, so a worker should (task `sqlite.checkpoint`).
   */
  checkpointIfDue(): boolean;
  stats(): StorageStats;
  /** Checkpoints, marks the file as cleanly closed, releases the lock. Idempotent. Throws `busy` during an {@linkcode exchange}. */
  close(): void;
}

/** A write transaction in slices. */
export interface OpenWrite {
  /**
   * Runs one slice. What it throws ends the transaction: nothing of it is kept. Throws what `run` throws, and as
   * `Storage.write`.
   */
  slice<Result>(run: (tx: WriteTransaction) => Result): Result;
  /** All of it is on disk (fsync) when this returns, or, if it throws, none of it is kept. Throws as `Storage.write`. */
  commit(): void;
  /** Keeps nothing. Does nothing when the transaction is over. */
  rollback(): void;
}

/** What the log is kept to: what is over either limit goes. */
export interface TrimPolicy {
  /** Sum of payload bytes. A little more than the excess goes, so that not every commit brings a trimming. */
  readonly bytesMax: number;
  /**
   * Entries of more than `msMax` before `now`, or before the newest entry if that is earlier, are old; they go up to
   * the first one that is not old, so one that a wrong clock stamped waits for its turn. Null: age does not count.
   */
  readonly age: { readonly msMax: number; readonly now: WallMs } | null;
  /**
   * Somebody will need the entries from `from` on (a follower that receives a snapshot): they do not go by their age, and by
   * bytes only while the log is above this `bytesMax`, where it is the larger one.
   */
  readonly hold?: LogHold;
}

export interface LogHold {
  readonly from: Seq;
  readonly bytesMax: number;
}

export interface StorageStats {
  readonly path: string;
  readonly fileBytes: number;
  readonly pageCount: number;
  readonly logEntries: number;
  readonly logBytes: number;
  /** Wall time of the first entry kept; null when there is none. */
  readonly logFirstMs: WallMs | null;
  /** Collections that were dropped and whose space is not free yet. */
  readonly collectionsDropped: number;
  /** Indexes that are being filled. */
  readonly indexesBuilding: number;
}

export interface CollectionInfo {
  readonly number: CollectionNumber;
  /** As first written; compared without regard to case. */
  readonly name: string;
  /** Kept with every change, never counted. */
  readonly documents: number;
}

export interface IndexInfo extends IndexDefinition {
  readonly number: IndexNumber;
  readonly collection: CollectionNumber;
  /** Filled: queries may use it. */
  readonly ready: boolean;
  /** Keys in it: kept, never counted; while it is filled, about. */
  readonly entries: number;
}

/** What SQLite binds and gives back. */
export type SqlValue = string | number | bigint | null;

export interface StoredDocument {
  readonly id: DocumentId;
  /** JSON text of one object, without `_id` and `_etag`. */
  readonly body: string;
  /** Entry of its last change. */
  readonly seq: Seq;
  readonly createdMs: WallMs;
  readonly modifiedMs: WallMs;
}

export interface DocumentPage {
  readonly documents: readonly StoredDocument[];
  /** Pass as `after` for the next page; null at the end. */
  readonly next: number | null;
}

export interface ReadView {
  readonly position: Position;
  /** All terms of this state, oldest first; inside a transaction also one that it has begun: what makes etags of its documents. */
  readonly terms: readonly TermRecord[];
  /** Another number, never one that was there before, after every change of collections or indexes. */
  readonly version: number;
  /** The same for the documents of the collections `_settings` and `_keys`. */
  readonly settingsVersion: number;
  /** Null: this database has not the bundle. */
  readonly versions: VersionView | null;
  collections(): readonly CollectionInfo[];
  /** Finds by name, without regard to case. */
  collection(name: string): CollectionInfo | null;
  document(collection: CollectionNumber, id: DocumentId): StoredDocument | null;
  /** Seq of the document's last change, 0 when there is none: cheaper than `document`. */
  documentSeq(collection: CollectionNumber, id: DocumentId): Seq;
  /** Documents in the order of their creation here; `after` is 0 or a `next`. */
  page(
    collection: CollectionNumber,
    after: number,
    limits: { documentsMax: number; bytesMax: number },
  ): DocumentPage;
  /** Linked indexes, in the order of their creation; what is being filled is not `ready`. */
  indexes(collection: CollectionNumber): readonly IndexInfo[];
  /**
   * Rows of a SELECT as arrays, one by one as they are asked for; whoever stops early returns the iterator. Not to be used after `read`
   * returned. Prepared statements are kept by their text. Tables are `docs_<collection>` and `index_<index>`.
   * `few`: there are but some rows, which are read at once; that is faster.
   */
  select(sql: string, values: readonly SqlValue[], few?: boolean): IterableIterator<readonly SqlValue[]>;
  /** Column `detail` of `EXPLAIN QUERY PLAN`. */
  explain(sql: string, values: readonly SqlValue[]): readonly string[];
}

export interface WriteTransaction extends ReadView {
  /** A number for a new collection, never given before. */
  newCollectionNumber(): CollectionNumber;
  /**
   * Leader: makes the next entry of the log out of `operations`, applies it, and returns its position. The entry's
   * term is the last one of the log, or the one that a `term` operation begins.
   * Throws `payload_too_large` above `limits.entryBytesMax` before anything is written; `duplicate_key` (details: `index`, its name; `id`
   * of the document that has the key; `operation`, place in `operations`) where a unique index forbids it, for one document before
   * anything is written, for several afterwards: then nothing of this transaction can be kept. `busy` while a unique index of the collection is being filled.
   */
  append(operations: readonly Operation[], wallMs: WallMs): Position;
  /**
   * As {@linkcode append}, of operations that are no `term`, a slice (`limits.slice…`) a step. Nothing else may be
   * written before it is taken to its end.
   */
  appendInSlices(operations: readonly Operation[], wallMs: WallMs): Generator<void, Position, void>;
  /**
   * Follower: applies an entry of the leader. Throws `gap` (not the next seq), `diverged` (term or document history
   * does not fit), `corrupt` (chain or payload does not fit), `version` (an operation this version does not know).
   */
  apply(entry: LogEntry): Position;
  /** As {@linkcode apply}, in slices; see {@linkcode appendInSlices}. */
  applyInSlices(entry: LogEntry): Generator<void, Position, void>;
}

/** What belongs to the node and must not travel with a copy of the data file. */
export interface NodeStore {
  readonly nodeId: NodeId;
  /** The node's state for a database, or null when it never met it. Throws `data_corrupt` when it cannot be read. */
  state(databaseId: DatabaseId): NodeState | null;
  /** All of it at once; durable when it returns. */
  setState(databaseId: DatabaseId, state: NodeState): void;
  /** Other nodes of a database, seen latest first. */
  peers(databaseId: DatabaseId): readonly KnownPeer[];
  /**
   * In the place of what is kept of the same node; durable when it returns. Of more than `limits.knownPeersMax` the one seen
   * longest ago goes, a candidate last.
   */
  keepPeer(databaseId: DatabaseId, peer: KnownPeer): void;
  /** Durable when it returns; false: there was none. */
  forgetPeer(databaseId: DatabaseId, nodeId: NodeId): boolean;
  /** Destinations of a database, as a master, that failed when they were last tried; by URL. */
  failures(databaseId: DatabaseId): readonly NotedFailure[];
  /** In the place of what is kept of the same URL; durable when it returns. Of more than `limits.destinationsMax` the oldest goes. */
  keepFailure(databaseId: DatabaseId, failure: NotedFailure): void;
  /** Durable when it returns; false: there was none. */
  clearFailure(databaseId: DatabaseId, url: string): boolean;
  close(): void;
}

export interface NodeState {
  /** The role in force; null before the first start. */
  readonly role: "none" | "leader" | "follower" | null;
  /** Highest epoch ever seen, of anyone. */
  readonly highestEpoch: number;
  readonly readOnly: boolean;
  readonly readOnlyReason: string | null;
  readonly origin: RoleOrigin;
  /** Port on which it leads since it was promoted or started by hand; null: as its settings say. */
  readonly leadPort: number | null;
  /** Taken by a promotion, which is unfinished while the log has no entry of this epoch; null: by none. */
  readonly term: Term | null;
  /** `host:port` of the wire that last welcomed this node. */
  readonly leaderAddress: string | null;
  /** A handover of which this node does not know whether the target leads now. */
  readonly handover: HandoverInDoubt | null;
}

/** How a node came to its role; `fenced`: by a higher term, `failover`: by itself. */
export type RoleOrigin = "settings" | "operator" | "promoted" | "failover" | "handover" | "fenced";

export interface HandoverInDoubt {
  /** 32 hex digits. */
  readonly id: string;
  readonly target: NodeContact;
}

/** A node, and where it is. */
export interface NodeContact {
  readonly nodeId: NodeId;
  readonly nodeName: string;
  /** Base URL of its HTTP API. */
  readonly httpUrl: string | null;
  /** `host:port` where it leads or would lead. */
  readonly wireAddress: string | null;
}

export interface KnownPeer extends NodeContact {
  /** Has auto-failover on, and was told that it may: it may lead by now. */
  readonly candidate: boolean;
  /** Silence after which it promotes itself, null while it does not. */
  readonly silenceMs: number | null;
  /** When it was last met itself; 0: only others told of it. */
  readonly seenMs: WallMs;
}

/** A destination of a master that fails. */
export interface NotedFailure {
  readonly url: string;
  /** In a row. */
  readonly count: number;
  readonly error: { readonly code: string; readonly message: string };
  readonly atMs: WallMs;
}
