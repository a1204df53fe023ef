import type { DatabaseId } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { ConflictPolicy } from "../document/judge.ts";
import type { DocumentLimits } from "../document/json_text.ts";
import type { Engine } from "../engine/engine.ts";
import type { Clock, Crypto } from "../runtime/runtime.ts";
import type { Term } from "../storage/log.ts";
import type { ReadView, Storage } from "../storage/storage.ts";
import type { Cursor, ReceiverAnswer } from "./outgoing_events.ts";

/** Whose cursor it is. */
export interface Sender {
  readonly databaseId: DatabaseId;
  /** Of its database, as it says, without a slash at its end. */
  readonly url: string;
  /** Empty: the default one. */
  readonly filter: string;
  /** Whose entries its log begins with, where it is a copy with an id of its own. */
  readonly formerly?: readonly DatabaseId[];
  /** Places in its own log by which this database has purged, as it was told and has looked for; null: none. */
  readonly seen?: string | null;
  /** The place in this database's log by which the sender has purged; null: none, or it does not say. */
  readonly relies?: string | null;
}

/** For whom a request was made, and what is to be kept with it; null: it does not say. */
export interface Target {
  readonly databaseId: DatabaseId | null;
  /** Of the receiver's leadership. */
  readonly term: Term | null;
  readonly cursor: Cursor | null;
}

/** Since the start of this object. */
export interface IncomingCounts {
  readonly batches: number;
  /** Keys of which something new was stored. */
  readonly stored: number;
  /** Keys that were put aside, each time that its text or the reason was new. */
  readonly rejected: number;
  /** Versions of system documents, which are not taken. */
  readonly ignored: number;
  /** Keys that became conflicts because two masters show different contents of the same versions. */
  readonly disagreements: number;
}

/**
 * What other masters want of a database that leads. Rejects with `bundle_not_active`, `same_database`, what `admit` throws, `bad_request`, and what `Engine.submit`
 * does.
 */
export interface Incoming {
  readonly counts: IncomingCounts;
  lastEtag(sender: Sender): Promise<ReceiverAnswer>;
  /**
   * Stores a batch (`batch.ts`) and the cursor, in one transaction; neither where it is for another database or term, or tells nothing new. The answer
   * says how it stands afterwards.
   */
  replicate(sender: Sender, target: Target, batch: Uint8Array): Promise<ReceiverAnswer>;
  /** The same without a batch. */
  putCursor(sender: Sender, target: Target): Promise<ReceiverAnswer>;
}

export interface IncomingOptions {
  readonly engine: Pick<Engine, "submit">;
  readonly storage: Pick<Storage, "read" | "databaseId" | "log">;
  readonly clock: Pick<Clock, "macrotask">;
  readonly logger: Logger;
  readonly sha256: Crypto["sha256"];
  /** As it is now; asked once for each transaction. */
  readonly policy: () => ConflictPolicy;
  readonly documents: DocumentLimits;
  /** Throws where nothing is taken from this one (`peer_forgotten`, `peer_too_old`); asked inside the transaction. */
  readonly admit?: (view: ReadView, sender: Sender) => void;
}
