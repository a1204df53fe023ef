/**
 * What a node is when it starts. The role in force is kept in `node.dfdb` and outlives restarts; the configured one counts for
 * a database that never had one, and where nothing but settings made the node what it is.
 */
import type { RoleKind } from "../cluster/role.ts";
import type { TermRecord } from "../storage/log.ts";
import type { NodeState, RoleOrigin } from "../storage/storage.ts";

export interface StartFacts {
  /** `kept`: an embedded database; it has no configured role, and a leader's listener is started by the program. */
  readonly configured: RoleKind | "kept";
  /** Null: this node never opened this database. */
  readonly kept: NodeState | null;
  /** `--force-role`: the configured role, whatever was kept. */
  readonly force: boolean;
  /** The last term of the log. */
  readonly lastTerm: TermRecord | undefined;
}

export interface StartRole {
  readonly kind: RoleKind;
  readonly origin: RoleOrigin;
  /** The run begins an epoch above all that were seen, also where the last one was this node's own. */
  readonly newEpoch: boolean;
  /**
   * It was promoted, and stopped before the entry of its term was in the log. The term that it took stays unused: an older data file
   * looks the same, and a run never begins twice.
   */
  readonly unfinished: boolean;
  /** Port on which it leads; null: as its settings say. */
  readonly leadPort: number | null;
  /** Why the role is not the configured one, for people: `LEADER (note)`. Null when it is. */
  readonly note: string | null;
}

export function startRole(facts: StartFacts): StartRole {
  const { configured, kept, force } = facts;
  if (kept === null || kept.role === null) {
    return bySettings(configured === "kept" ? "none" : configured, force, null);
  }
  const was = kept.role;
  if (configured === "kept") return asKept(facts, kept, was === "follower" ? was : "none", null);
  if (force) {
    return bySettings(configured, true, was === configured ? "forced" : `forced; it was ${nouns[was]}`);
  }
  if (yields(kept.origin, was, configured)) return bySettings(configured, false, null);
  // A node without followers leads already: it may get a listener.
  const kind = was === "none" && configured === "leader" ? "leader" : was;
  const note = kind === configured ? null : `${reasons[was][kept.origin]}; configured as ${configured}`;
  return asKept(facts, kept, kind, note);
}

/** What settings alone made they may change, and so what an operator left without followers. A follower stays one. */
function yields(origin: RoleOrigin, was: RoleKind, configured: RoleKind): boolean {
  if (was === "follower" || was === configured) return false;
  return origin === "settings" || (was === "none" && origin === "operator");
}

function bySettings(kind: RoleKind, force: boolean, note: string | null): StartRole {
  const newEpoch = force && kind !== "follower";
  return { kind, origin: "settings", newEpoch, unfinished: false, leadPort: null, note };
}

function asKept(
  { lastTerm }: StartFacts,
  { origin, term, leadPort }: NodeState,
  kind: RoleKind,
  note: string | null,
): StartRole {
  if (kind === "follower") return { kind, origin, newEpoch: false, unfinished: false, leadPort: null, note };
  // A later epoch in the log, or a later run of the same, has taken its place.
  const unfinished = term !== null && term.epoch > (lastTerm?.epoch ?? 0);
  const port = origin === "settings" ? null : leadPort;
  return { kind, origin, newEpoch: unfinished, unfinished, leadPort: port, note };
}

const nouns: Readonly<Record<RoleKind, string>> = {
  none: "a single node",
  leader: "a leader",
  follower: "a follower",
};

const leads: Readonly<Record<RoleOrigin, string>> = {
  settings: "kept",
  operator: "started by an operator",
  promoted: "promoted",
  failover: "promoted",
  handover: "promoted",
  fenced: "kept",
};

const reasons: Readonly<Record<RoleKind, Readonly<Record<RoleOrigin, string>>>> = {
  none: leads,
  leader: leads,
  follower: {
    settings: "following since it was configured so",
    operator: "following since an operator asked",
    promoted: "following",
    failover: "following",
    handover: "following since it handed over",
    fenced: "following since a higher epoch came",
  },
};
