import type { DfdbError } from "../base/errors.ts";
import type { MonotonicMs, Seq } from "../base/ids.ts";
import type { Machine, Tick } from "../base/machine.ts";
import type { Declined, Hello, Message, Prepared, Promoted, TakeOver } from "../wire/message.ts";
import type { SendWindow } from "./send_window.ts";
import type { ConnectedFollower, SnapshotLease, StateFields, Successor } from "./types.ts";

export type LeaderInput =
  | Tick
  | { readonly type: "message"; readonly message: Message }
  /** Bytes moved. */
  | { readonly type: "contact" }
  /** The bulk message (append, part, piece) given out last was taken by the system. */
  | { readonly type: "sent" }
  /** The log may have grown. */
  | { readonly type: "committed" }
  /** Answer to `admit`. */
  | { readonly type: "admitted" }
  /** Answer to `state`. */
  | { readonly type: "statement"; readonly fields: StateFields }
  /** The node has something to say on the stream; nothing happens while there is none. */
  | { readonly type: "say"; readonly message: Message }
  /** A sign of life is wanted: the number of the newest wish is `asked()`. */
  | { readonly type: "ask" }
  /** Answer to `acquire`. */
  | { readonly type: "leased"; readonly lease: LeasedSnapshot }
  /** Answer to `read`. */
  | { readonly type: "piece"; readonly bytes: Uint8Array }
  /** Answer to `checksum`. */
  | { readonly type: "checksum"; readonly checksum: number }
  /** The session is to end, and the follower is to be told why. */
  | { readonly type: "refuse"; readonly error: DfdbError }
  /** The node stops, or leads no longer. */
  | { readonly type: "stop"; readonly successor: Successor | null }
  /** The connection ended by itself or brought nonsense. */
  | { readonly type: "ended"; readonly error: DfdbError };

export type LeasedSnapshot = Pick<SnapshotLease, "id" | "bytes" | "position">;

export type LeaderEffect =
  /** The peer of this database has proved itself; whatever becomes of it comes after this. */
  | { readonly type: "claim"; readonly hello: Hello }
  /** To be answered with `statement` or `refuse`. */
  | { readonly type: "state"; readonly handover: string | null }
  /** To be answered at once with `admitted` or `refuse`. */
  | { readonly type: "admit"; readonly hello: Hello }
  | { readonly type: "send"; readonly message: Message }
  /** The handshake is complete: from now on larger bodies may come. `found`: its last entry is in this log's history. */
  | { readonly type: "established"; readonly found: boolean }
  /** The follower lived after the newest `ask`. */
  | { readonly type: "sign" }
  | { readonly type: "handover"; readonly message: Prepared | Promoted | Declined | TakeOver }
  /** To be answered with `leased` or `refuse`. `notBefore`: the follower has no use for a snapshot that ends before it. */
  | { readonly type: "acquire"; readonly resumeId: string | null; readonly notBefore: Seq }
  /** A piece of the leased snapshot; to be answered with `piece` or `refuse`. One at a time. */
  | { readonly type: "read"; readonly offset: number; readonly length: number }
  /** To be answered with `checksum` or `refuse`. */
  | { readonly type: "checksum" }
  /** Nothing comes after it. The peer is sent `last` before the connection is closed; null: it is cut at once. */
  | { readonly type: "close"; readonly error: DfdbError; readonly last: Message | null };

/** What a listening node knows of one peer that connected, and what it sends it next. */
export interface LeaderSession extends Machine<LeaderInput, LeaderEffect> {
  readonly phase: "hello" | "proof" | "statement" | "admission" | "resync" | "streaming" | "closed";
  /** The handshake is complete and the session goes on. */
  readonly established: boolean;
  /** The follower has shown that it knows the secret; stays true. */
  readonly proved: boolean;
  /** Null before it was received. */
  readonly hello: Hello | null;
  /** Counts from the follower's position where that was found in this history, else from the origin. */
  readonly window: SendWindow;
  readonly state: ConnectedFollower["state"];
  readonly snapshot: ConnectedFollower["snapshot"];
  /** How long nothing came or moved while this node listened. */
  silentMs(now: MonotonicMs): number;
}
