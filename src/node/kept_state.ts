/** What `node.dfdb` keeps of this node for its database: the role, read-only mode, the highest epoch ever seen. */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, Epoch } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { ReadOnlyCause, Role, RoleKind } from "../cluster/role.ts";
import type { NodeState, NodeStore, Storage } from "../storage/storage.ts";

const causes: readonly ReadOnlyCause[] = ["operator", "mirror_ahead", "follower_ahead"];

export interface KeptState {
  /** The highest epoch ever seen, of anyone; 0 at first. */
  readonly highestEpoch: number;
  /** The role of the last run, null when this node never opened this database. */
  readonly role: RoleKind | null;
  /** Why the last run was read-only; empty when it was not. */
  readonly readOnlyCauses: readonly ReadOnlyCause[];
  /** Writes what is in force now, or what is about to be; `epoch` was seen. Durable when it returns. */
  save(next?: {
    readonly role?: RoleKind;
    readonly causes?: ReadonlySet<ReadOnlyCause>;
    readonly epoch?: number;
  }): void;
  /** An epoch was met, or is about to be written under: kept durably when it returns. Costs nothing when it is no higher than before. */
  saw(epoch: number): void;
  /** The database is about to get the id of its leader's: a file that is not known here would be refused at the next start. */
  adopt(id: DatabaseId): void;
}

/** `role` is what is in force; the state is read anew at each call, since the database's id may change. */
export function keptState(nodeStore: NodeStore, storage: Storage, role: Role): KeptState {
  const now = (): NodeState | null => nodeStore.state(storage.databaseId);
  let known = 0;
  const highest = (): number => (known = Math.max(known, now()?.highestEpoch ?? 0));
  const write = (id: DatabaseId, state: Omit<NodeState, "readOnly">): void =>
    nodeStore.setState(id, { ...state, readOnly: state.readOnlyReason !== null });
  return {
    get highestEpoch() {
      return highest();
    },
    get role() {
      return now()?.role ?? null;
    },
    get readOnlyCauses() {
      const state = now();
      return state === null || !state.readOnly ? [] : parseCauses(state.readOnlyReason);
    },
    save({ role: kind = role.kind, causes: on = role.readOnlyCauses, epoch = 0 } = {}) {
      const readOnlyReason = on.size === 0 ? null : [...on].join(",");
      write(storage.databaseId, { role: kind, highestEpoch: Math.max(highest(), epoch), readOnlyReason });
    },
    saw(epoch) {
      if (epoch <= known || epoch <= highest()) return;
      const state = now();
      assert(state !== null, "a node in service has a state");
      write(storage.databaseId, { ...state, highestEpoch: epoch });
    },
    adopt(id) {
      const state = now();
      assert(state !== null, "a node in service has a state");
      write(id, {
        ...state,
        highestEpoch: Math.max(state.highestEpoch, nodeStore.state(id)?.highestEpoch ?? 0),
      });
    },
  };
}

/**
 * Keeps an epoch that was met where nothing waits for it. One that cannot be written is told once and tried again: it is
 * in the data file, too, once entries of it are.
 */
export function epochNote(kept: KeptState, logger: Logger): (epoch: Epoch) => void {
  let failed = false;
  return (epoch) => {
    try {
      kept.saw(epoch);
      failed = false;
    } catch (error) {
      if (!(error instanceof DfdbError)) throw error;
      if (!failed) logger.warn("an epoch that was met could not be kept", { epoch, error: error.message });
      failed = true;
    }
  };
}

/** What an older or a newer version wrote and this one does not know counts as an operator's wish. */
function parseCauses(text: string | null): readonly ReadOnlyCause[] {
  const known = (text ?? "").split(",").filter((cause): cause is ReadOnlyCause =>
    (causes as readonly string[]).includes(cause)
  );
  return known.length === 0 ? ["operator"] : known;
}

/** The next epoch that nobody has used, as far as this node knows. */
export function epochAfter(kept: KeptState, ...seen: readonly Epoch[]): number {
  return Math.max(kept.highestEpoch, ...seen) + 1;
}
