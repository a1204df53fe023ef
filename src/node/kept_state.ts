/** What `node.dfdb` keeps of this node for its database: the role and how it came to it, read-only mode, the highest epoch ever seen. */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { DatabaseId, Epoch } from "../base/ids.ts";
import type { Logger } from "../base/logger.ts";
import type { ReadOnlyCause, Role, RoleKind } from "../cluster/role.ts";
import type { NodeState, NodeStore, Storage } from "../storage/storage.ts";

/** In force again after a restart; the others are found anew at each start. In the order in which they are written. */
const isKept: Readonly<Record<ReadOnlyCause, boolean>> = {
  operator: true,
  mirror_ahead: true,
  follower_ahead: true,
  fenced: true,
  in_doubt: true,
  unconfirmed: false,
  handover: false,
  no_lease: false,
};
const keptCauses = (Object.keys(isKept) as ReadOnlyCause[]).filter((cause) => isKept[cause]);

/** Fields that are not given stay; role and causes are those in force. */
export interface KeptChange
  extends Partial<Pick<NodeState, "origin" | "leadPort" | "term" | "leaderAddress" | "handover">> {
  readonly role?: RoleKind;
  /** `in_doubt` is not looked at: it is kept while there is a `handover`. */
  readonly causes?: ReadonlySet<ReadOnlyCause>;
  /** Was seen, or is about to be written under. */
  readonly epoch?: number;
}

export interface KeptState {
  /** The highest epoch ever seen, of anyone; 0 at first. */
  readonly highestEpoch: number;
  /** The role of the last run, null when this node never opened this database. */
  readonly role: RoleKind | null;
  /** Why the last run was read-only; empty when it was not. */
  readonly readOnlyCauses: readonly ReadOnlyCause[];
  /** All that is kept, null when this node never opened this database. Throws `data_corrupt` when it cannot be read. */
  readonly state: NodeState | null;
  /** Writes what is in force now, or what is about to be. Durable when it returns; costs no write when nothing is new. */
  save(next?: KeptChange): void;
  /** An epoch was met, or is about to be written under: kept durably when it returns. Costs nothing when it is no higher than before. */
  saw(epoch: number): void;
  /**
   * The database is about to get the id of its leader's: a file that is not known here would be refused at the next start. Throws
   * `same_database` when another database of this node has it.
   */
  adopt(id: DatabaseId): void;
}

const fresh: Omit<NodeState, "role" | "highestEpoch" | "readOnly" | "readOnlyReason"> = {
  origin: "settings",
  leadPort: null,
  term: null,
  leaderAddress: null,
  handover: null,
};

/**
 * `role` is what is in force; the state is read anew at each call, since the database's id may change. `admit` throws for an id that it must
 * not take.
 */
export function keptState(
  nodeStore: NodeStore,
  storage: Storage,
  role: Role,
  admit: (id: DatabaseId) => void = () => {},
): KeptState {
  const now = (): NodeState | null => nodeStore.state(storage.databaseId);
  let known = 0;
  const highest = (): number => (known = Math.max(known, now()?.highestEpoch ?? 0));
  return {
    get highestEpoch() {
      return highest();
    },
    get role() {
      return now()?.role ?? null;
    },
    get readOnlyCauses() {
      return causesOf(now());
    },
    get state() {
      return now();
    },
    save({ role: kind = role.kind, causes = role.readOnlyCauses, epoch = 0, ...fields } = {}) {
      const before = now(), next = { ...fresh, ...before, ...fields };
      const readOnlyReason = reasonOf(causes, next.handover !== null);
      const highestEpoch = Math.max(highest(), epoch, next.term?.epoch ?? 0);
      const state = { ...next, role: kind, highestEpoch, readOnly: readOnlyReason !== null, readOnlyReason };
      if (before === null || !same(before, state)) nodeStore.setState(storage.databaseId, state);
    },
    saw(epoch) {
      if (epoch <= known || epoch <= highest()) return;
      const state = now();
      assert(state !== null, "a node in service has a state");
      nodeStore.setState(storage.databaseId, { ...state, highestEpoch: epoch });
    },
    adopt(id) {
      admit(id);
      const state = now();
      assert(state !== null, "a node in service has a state");
      // It may have been a node of that database before.
      const highestEpoch = Math.max(highest(), nodeStore.state(id)?.highestEpoch ?? 0);
      nodeStore.setState(id, { ...state, highestEpoch });
    },
  };
}

function same(a: NodeState, b: NodeState): boolean {
  return (Object.keys(b) as (keyof NodeState)[]).every((field) =>
    JSON.stringify(a[field]) === JSON.stringify(b[field])
  );
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

/** Null: takes writes. */
function reasonOf(causes: ReadonlySet<ReadOnlyCause>, inDoubt: boolean): string | null {
  const kept = keptCauses.filter((cause) => cause === "in_doubt" ? inDoubt : causes.has(cause));
  return kept.length === 0 ? null : kept.join(",");
}

/** What an older or a newer version wrote and this one does not know counts as an operator's wish. */
function causesOf(state: NodeState | null): readonly ReadOnlyCause[] {
  if (state === null || !state.readOnly) return [];
  const known = keptCauses.filter((cause) => (state.readOnlyReason ?? "").split(",").includes(cause));
  return known.length === 0 ? ["operator"] : known;
}

/** The next epoch that nobody has used, as far as this node knows. */
export function epochAfter(kept: KeptState, ...seen: readonly Epoch[]): number {
  return Math.max(kept.highestEpoch, ...seen) + 1;
}
