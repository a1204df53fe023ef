/** What the API of a database needs of replication between masters: declared here, implemented by `node/`. */
import type { DatabaseId, WallMs } from "../base/ids.ts";
import type { Position } from "../storage/log.ts";

/** A database that sends to this one. */
export interface MasterSender {
  /** Base URL of the database there, without a slash at its end. */
  readonly from: string;
  readonly databaseId: DatabaseId;
  /** What of its documents it sends, as its text: a cursor belongs to (sender, filter). Empty: the default. */
  readonly filter: string;
  /** Databases that the sender was a copy of. */
  readonly formerly: readonly DatabaseId[];
  /** Places `<epoch>:<run>:<seq>` in the log of the sender (with commas in between), and in that of this database, by which tombstones were purged; null: not given. */
  readonly seen: string | null;
  readonly relies: string | null;
}

/** For whom a request is, and the cursor that goes with it, as texts; null: not given. */
export interface MasterTarget {
  /** Id of a database: of another one nothing is stored. */
  readonly to: string | null;
  /** `<epoch>:<run>`: under another one nothing is stored. */
  readonly term: string | null;
  readonly docEtag: string | null;
}

/** Rejections are what a write is refused with, and what is said here; `bundle_not_active` and `not_leader` were looked at before. */
export interface Masters {
  /** This database keeps versions. */
  readonly active: boolean;
  /** Where this database stands for `sender`, as JSON text. Rejects with `same_database`, `peer_forgotten`, `peer_too_old`. */
  lastEtag(sender: MasterSender): Promise<string>;
  /** Stores a batch and its cursor, or nothing of it, and answers as {@linkcode lastEtag}. Rejects with `bad_request` for what is no batch. */
  replicate(sender: MasterSender, target: MasterTarget, batch: Uint8Array): Promise<string>;
  /** The same with the cursor alone. */
  putCursor(sender: MasterSender, target: MasterTarget): Promise<string>;
  /** `sender` has just started. */
  heartbeat(sender: MasterSender): void;
  /** The answer of `GET /replication/info`. */
  info(): Readonly<Record<string, unknown>>;
  /** What is noted of the destination whose failures have this key (`failureKey`); null: it does not fail. */
  failure(key: string): DestinationFailure | null;
  /** Applies the policy to all conflicts that are open. */
  resolve(): Promise<ConflictsResolved>;
  /** Removes the tombstones that may go. */
  purgeTombstones(): Promise<TombstonesPurged>;
  /** Nobody waits for this database any more, and it may not send any more. Rejects with `not_found`. */
  forgetPeer(databaseId: DatabaseId): Promise<Position>;
}

/** Failures in a row: state of this node, not of the database. */
export interface DestinationFailure {
  readonly url: string;
  readonly count: number;
  /** The last one. */
  readonly error: { readonly code: string; readonly message: string };
  readonly atMs: WallMs;
}

export interface ConflictsResolved {
  readonly resolved: number;
  /** Those that are left to a person. */
  readonly open: number;
  readonly position: Position;
}

export interface TombstonesPurged {
  readonly purged: number;
  /** Too young, or not confirmed by every peer. */
  readonly kept: number;
  readonly position: Position;
}
