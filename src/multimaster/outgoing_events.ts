/** What happens to the outgoing task of a database, and what it wants done. */
import type { DfdbError, ErrorCode } from "../base/errors.ts";
import type { DatabaseId, MonotonicMs, Seq } from "../base/ids.ts";
import type { LogFields } from "../base/logger.ts";
import type { Machine, Tick } from "../base/machine.ts";
import type { Term } from "../storage/log.ts";
import type { Destination, DestinationProblem, Destinations } from "./destinations.ts";

/** An entry of the sender. */
export interface Place extends Term {
  readonly seq: Seq;
}

/** Everything up to here has been looked at, and what is to be sent of it was stored. */
export interface Cursor extends Place {
  /**
   * The sender's last entry when this was read. What an entry up to there had superseded was not sent: when a failover has lost that entry, what it
   * superseded is current again, before the cursor.
   */
  readonly asOf: Place;
}

/** The database at the other end, and the term of its leadership. */
export interface Receiver {
  readonly databaseId: DatabaseId;
  readonly term: Term;
}

/** What a receiver says to each request: who it is, and the cursor that it keeps for this sender and filter. */
export interface ReceiverAnswer extends Receiver {
  /** Null: this sender was never here. A batch that changed nothing there leaves it where it was. */
  readonly cursor: Cursor | null;
}

export type OutgoingInput =
  | Tick
  /** This node leads now. `sources`: URLs of databases that have sent to this one. `failures`: by URL, as they were noted. */
  | (Destinations & {
    readonly type: "start";
    readonly sources: readonly string[];
    readonly failures: ReadonlyMap<string, number>;
  })
  /** The document was changed. */
  | (Destinations & { readonly type: "destinations" })
  /** Something was committed since the last time: one input for all that was committed in between. */
  | { readonly type: "committed" }
  /** A node says that it has just started. */
  | { readonly type: "heartbeat"; readonly url: string; readonly databaseId: DatabaseId }
  /** To `askLastEtag`, `post` and `putCursor`. */
  | { readonly type: "answered"; readonly request: number; readonly answer: ReceiverAnswer }
  | { readonly type: "common"; readonly request: number; readonly after: Cursor }
  /** To `readBatch`. */
  | {
    readonly type: "read";
    readonly request: number;
    /** How many documents are to be sent. */
    readonly count: number;
    /** Versions of documents that were looked at and are not to be sent. System documents do not count. */
    readonly skipped: number;
    /** The last position that was looked at. */
    readonly upTo: Cursor;
    /** There is more after it. */
    readonly more: boolean;
  }
  /** Of any request. `leader`: of a follower that answered 421, with its own database's id. */
  | {
    readonly type: "failed";
    readonly request: number;
    readonly error: DfdbError;
    readonly leader?: { readonly url: string; readonly databaseId: DatabaseId | null };
  }
  /** The leadership has ended. Nothing comes any more. */
  | { readonly type: "stop" };

/** A request has a number, under which it is answered or fails; answers to one that was given up are ignored. */
export type OutgoingEffect =
  | ToReceiver<"askLastEtag">
  /**
   * The batch that was read under that number, with the cursor at its end. A receiver whose term is not the one of `receiver` stores nothing and answers with
   * its own: what this sender knows to be there may be lost there.
   */
  | (ToReceiver<"post"> & { readonly batch: number; readonly receiver: Receiver })
  /** All up to it was looked at, without a batch to say so. As with `post`, only in that term. */
  | (ToReceiver<"putCursor"> & { readonly cursor: Cursor; readonly receiver: Receiver })
  /**
   * The place in this node's present history after which the receiver may lack something; `common`. At most `cursor`, if its
   * `asOf` is in that history, else the origin; and before the first version here that was written there and is not in the history of `receiver.term`:
   * a failover has lost it there. `before`: the term under which this task last saw that database; null: it has not.
   */
  | {
    readonly type: "findCommon";
    readonly request: number;
    readonly destination: Destination;
    readonly cursor: Cursor | null;
    readonly receiver: Receiver;
    readonly before: Term | null;
  }
  /**
   * The next versions after `after` in the order of their entries, up to one of the two bounds, one at least; a piece of work that is long ends early with `more`.
   * The batch is kept until `release`.
   */
  | {
    readonly type: "readBatch";
    readonly request: number;
    readonly destination: Destination;
    readonly receiver: Receiver;
    readonly after: Cursor;
    readonly items: number;
    readonly bytes: number;
  }
  | { readonly type: "release"; readonly batch: number }
  /** Nobody waits for this one any more. */
  | { readonly type: "giveUp"; readonly request: number }
  /** State of the node, not of the database; each time that a failure counts. */
  | {
    readonly type: "noteFailure";
    readonly destination: Destination;
    readonly count: number;
    readonly error: DfdbError;
  }
  | { readonly type: "clearFailure"; readonly destination: Destination }
  /** This node has just started; nobody waits for an answer. Null: the key of this node's own. */
  | { readonly type: "heartbeat"; readonly url: string; readonly apiKey: string | null }
  | {
    readonly type: "log";
    readonly level: "info" | "warn";
    readonly message: string;
    readonly fields: LogFields;
  };

interface ToReceiver<Type extends string> {
  readonly type: Type;
  readonly request: number;
  readonly destination: Destination;
  /** Where it leads now: the destination's own URL, or that of the leader that it named. */
  readonly url: string;
}

export type RunStep = "idle" | "asking" | "finding" | "reading" | "posting" | "putting";

/** Times are of the monotonic clock. */
export interface DestinationStatus {
  readonly url: string;
  /** Where a follower sent this node. */
  readonly leaderUrl: string | null;
  readonly filter: string;
  readonly state: RunStep | "disabled";
  /** Null: not in touch since the start. */
  readonly receiver: Receiver | null;
  /** All up to it was sent or needs no sending. */
  readonly lastReplicated: Cursor | null;
  readonly failureCount: number;
  /** Stays after recovery. */
  readonly lastError: { readonly code: ErrorCode; readonly message: string } | null;
  readonly lastFailureAt: MonotonicMs | null;
  /** When it last answered to a batch, or where it stands. */
  readonly lastSuccessAt: MonotonicMs | null;
  readonly lastHeartbeatAt: MonotonicMs | null;
  /** Of the next batch, at most. */
  readonly batchItems: number;
}

export interface Outgoing extends Machine<OutgoingInput, OutgoingEffect> {
  /** In the order of the document. */
  readonly status: readonly DestinationStatus[];
  readonly problems: readonly DestinationProblem[];
  /** Passes since the start. */
  readonly passes: number;
}
