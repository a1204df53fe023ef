/** What `/verify` needs of the node: declared here, implemented by `node/`. */
import type { Seq } from "../base/ids.ts";
import type { IndexDefinition } from "../document/operation.ts";
import type { Position } from "../storage/log.ts";
import type { PositionToken } from "../storage/position_text.ts";

export interface VerifyRequest {
  /** Null: the state as it is now. */
  readonly at: PositionToken | null;
  /** Null: all. */
  readonly collection: string | null;
  /** Also every document; one collection only. */
  readonly documents: boolean;
  /** Also whether each index holds what its documents say. */
  readonly indexes: boolean;
  /** Only what is the same on each master. */
  readonly masters: boolean;
}

/** What a verification finds, in order. */
export type VerifyProgress =
  /** `lines`: NDJSON of `{id, seq, hash}`, in the order of ids. */
  | { readonly type: "documents"; readonly lines: string }
  | {
    readonly type: "collection";
    readonly name: string;
    /** Counted. */
    readonly count: number;
    /** What the catalog says. */
    readonly keptCount: number;
    /** 16 hex digits. */
    readonly checksum: string;
    /** Its indexes, by name. */
    readonly indexes: readonly (IndexDefinition & { readonly ready: boolean })[];
  }
  /** After all collections, as it is then: entries go on to be written. */
  | {
    readonly type: "index";
    readonly collection: string;
    readonly name: string;
    /** Counted. */
    readonly entries: number;
    /** What the catalog says; null: of this kind nothing is kept. */
    readonly keptEntries: number | null;
    /** Documents of which a key is missing. */
    readonly missing: number;
    /** Entries that no document has, or not any more. */
    readonly tooMany: number;
  }
  /** It goes on. */
  | { readonly type: "alive" };

export interface VerifySum {
  readonly collections: number;
  readonly documents: number;
  /** Over names, counts and checksums of all collections. */
  readonly checksum: string;
  /** Collections whose kept count is not the real one. */
  readonly wrongCounts: number;
  /** Indexes that were compared with their documents, and those of them that are not what these say; null: not asked for. */
  readonly indexes: number | null;
  readonly wrongIndexes: number | null;
}

/** A verification under way. */
export interface Verification {
  /** The state that is being read. */
  readonly position: Position;
  /** Calls `listener` with what was found so far, then with everything that comes. To be called once. */
  onProgress(listener: (progress: VerifyProgress) => void): void;
  /** To be called for each batch of documents that was passed on: the reading waits for a slow client. */
  taken(): void;
  /** Resolves after the last progress; rejects also with the reason of the signal. */
  readonly done: Promise<VerifySum>;
}

export interface Verify {
  /**
   * Follower: applies nothing more until `begin` with a position here or later, `release`, or the time is over. A node
   * that follows nobody goes on. Answers where this node is.
   */
  hold(ms: number): Position;
  release(): void;
  /**
   * Resolves once a read transaction at the position is open; a follower goes on applying then. Rejects with `busy`,
   * `position_lost` (passed already, or not of this history), `not_caught_up` (not reached in time),
   * `collection_not_found`, `closing`, or the reason of `signal`.
   */
  begin(request: VerifyRequest, signal: AbortSignal): Promise<Verification>;
  /** Computes the chain of all kept entries of the log again. Rejects with `busy`, `closing`, `io_error`. */
  log(): Promise<LogVerification>;
}

/** What the log looks like from its own bytes. Entries are named by their seq. */
export interface LogVerification {
  readonly first: Seq;
  readonly last: Seq;
  /** Entries that were computed again and are right. */
  readonly entries: number;
  /** The first that is missing or whose bytes do not make its chain; null: all is well. */
  readonly bad: Seq | null;
}
