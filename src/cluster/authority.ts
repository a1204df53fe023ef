/** Who says that a node may lead: the `silence` of the leader alone, or somebody outside who is asked. */
import type { DfdbError } from "../base/errors.ts";
import type { Epoch, NodeId } from "../base/ids.ts";
import type { KnownNode } from "../wire/message.ts";

export interface Authority {
  /** "silence", "etcd", or a program's own word. */
  readonly kind: string;
  /**
   * Asked in the macrotask of each COMMIT, before it and after it: null: may write now. Cheap, synchronous, no I/O, and calls
   * nobody. Code `no_lease`; once it said so, it says so until the next `take`.
   */
  check(): DfdbError | null;
  /**
   * Before a node leads. Resolves with the epoch to lead under, above `above`; null: the node counts by itself (`silence`).
   * Who holds it already gets a new one, above its own. Rejects with `no_lease` (details: `reason`, and who leads).
   */
  take(claim: LeaderClaim): Promise<Epoch | null>;
  /** The leadership is over: frees what was taken, as far as it can. `check` says no from the call on. Never rejects. */
  release(): Promise<void>;
  /**
   * Calls `vacant` (again and again, with pauses) while nobody leads by this authority's knowledge, or only an earlier run of this
   * node. Returns what stops it. `silence` never calls.
   */
  watch(vacant: () => void): () => void;
  /** Calls `lost` once for each `take` that is lost, in a macrotask of its own. Returns what stops it. */
  onLost(lost: (error: DfdbError) => void): () => void;
  /** Who leads by this authority's knowledge; null: nobody, or it knows nothing (`silence`). Rejects with `unreachable`. */
  holder(): Promise<Holder | null>;
  /** Who may lead next where answers wait for followers; null: this authority keeps no such list. */
  readonly syncSet: SyncSet | null;
  /** Stops all that runs; does not free what was taken (`release` does). */
  close(): Promise<void>;
}

export interface LeaderClaim {
  readonly node: KnownNode;
  /** The highest epoch that this node has seen. */
  readonly above: Epoch;
  /** `minSyncReplicas` under which this node will lead. */
  readonly syncRequired: number;
  /**
   * Handover: whose place is taken, and the epoch of the leadership in which that was agreed. The claimant holds everything that this
   * leader answered, and the leader does not write until the place is taken or it took the place itself anew.
   */
  readonly from?: KnownNode & { readonly epoch: Epoch };
}

export interface Holder {
  readonly node: KnownNode;
  readonly epoch: Epoch;
}

/**
 * The nodes that may lead next: each holds every write that was answered. Only the leader changes it. The leader answers a write
 * only when all of them (and `minSyncReplicas` followers) hold it.
 */
export interface SyncSet {
  /**
   * With the leader itself. A node that was not let in or out for certain is in it: waiting for one too many loses nothing.
   * Null while this node does not lead: nobody knows then who may lead next, so no answer may be given.
   */
  members(): readonly NodeId[] | null;
  /**
   * To be called in the macrotask in which the caller saw that the node holds every position answered so far: from the
   * call on `members` has it. False: it did not come in, or that is not known yet. Never rejects.
   */
  enter(nodeId: NodeId): Promise<boolean>;
  /** False: it is still in, or that is not known yet; so too when too few others would remain. Never rejects. */
  leave(nodeId: NodeId): Promise<boolean>;
}

const nothing = (): void => {};

/** Nobody is asked: whoever finds its leader silent for long enough may lead. */
export const silence: Authority = {
  kind: "silence",
  check: () => null,
  take: async () => null,
  release: async () => {},
  watch: () => nothing,
  onLost: () => nothing,
  holder: async () => null,
  syncSet: null,
  close: async () => {},
};
