/** What a seed switches on: each world has its own subset of sizes, modes and faults, so that no fault hides another. */
import type { limits } from "../../src/base/limits.ts";
import type { Chance } from "./chance.ts";
import { chance } from "./chance.ts";
import { type Features, featuresOf, noFeatures } from "./features.ts";
import type { WorkloadOptions } from "./workload.ts";
import { withFeatures, workloadOf } from "./workload.ts";

/** Kinds of faults, in the order of the report. */
export const faultKinds = [
  "kill",
  "power",
  "crashPoint",
  "stop",
  "stall",
  "cutLink",
  "partition",
  "resetConnections",
  "staleConnections",
  "slowLink",
  "clockJump",
  "diskFull",
  "slowDisk",
  "failedCommit",
  "restoreFollower",
  "restoreLeader",
  "failover",
  "promote",
  "readOnly",
  "resync",
  "loseSidecar",
  "handover",
  "splitPromote",
  "autoFailover",
  "otherCommand",
  "leaderAway",
  "leaderStall",
  "fullCandidate",
  "etcdAway",
  "etcdStall",
  "etcdCut",
  "etcdSlow",
] as const;

export type FaultKind = (typeof faultKinds)[number];

type LimitName = keyof typeof limits;

export interface Swarm {
  readonly seed: number;
  /** 1 to 5. */
  readonly machines: number;
  /** Followers that must hold a write before it is answered. */
  readonly required: number;
  readonly syncTimeoutMs: number;
  readonly heartbeatMs: number;
  readonly logBytesMax: number;
  readonly logAgeMs: number;
  readonly snapshotAboveEntries: number;
  readonly snapshotBytesPerSecond: number;
  /** How long a leader that starts waits for those that may have taken over, ms. */
  readonly leaderStartMs: number;
  /** Who says that a node may lead. */
  readonly authority: "silence" | "etcd";
  /** Silence after which a candidate takes over, ms; with etcd also the time of its lease. Null: never. */
  readonly silenceMs: number | null;
  /** Candidates by their command lines: places in the list of machines. */
  readonly candidates: readonly number[];
  /** Followers pass writes on to their leader. */
  readonly forwardWrites: boolean;
  readonly secret: boolean;
  /** Maxima that the program has as constants: small ones reach the paths of large data with small data. */
  readonly limits: Readonly<Partial<Record<LimitName, number>>>;
  /** Virtual time with faults, ms. */
  readonly faultMs: number;
  /** Mean time between two faults, ms. */
  readonly everyMs: number;
  /** Weights; 0: never. */
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly clients: number;
  /** Clients that follow feeds of changes. */
  readonly feeds: number;
  readonly workload: WorkloadOptions;
  readonly link: { readonly delayMs: { min: number; max: number }; readonly splitRate: number };
  readonly flipRate: number;
  /** Connections as web streams instead of their plain form. */
  readonly streams: boolean;
  readonly timersFirst: boolean;
  /** Most time until a macrotask comes, ms: requests come between the slices of a long write. */
  readonly loopMs: number;
  /** Clocks of the machines run differently by up to this share. */
  readonly drift: number;
}

/** `plain`: without features, and in all else the same. */
export function swarmOf(seed: number, plain = false): Swarm {
  const swarm = withFeeds(silenceSwarmOf(seed, plain)), draw = chance(seed, "swarm authority");
  return swarm.machines > 1 && draw.flip(0.2) ? underEtcd(swarm, draw) : swarm;
}

/** In every fourth world feeds of changes are followed; what is small for them is small there only. */
function withFeeds(swarm: Swarm): Swarm {
  const draw = chance(swarm.seed, "swarm feeds"), smaller: Partial<Record<LimitName, number>> = {};
  if (!draw.flip(0.25)) return swarm;
  const maybe = (name: LimitName, values: readonly number[]): void => {
    if (draw.flip(0.5)) smaller[name] = draw.pick(values);
  };
  maybe("feedReadBytes", [500, 5_000]);
  maybe("feedReadEntries", [1, 5]);
  maybe("feedWordMs", [500, 3_000]);
  maybe("feedStalledMs", [2_000, 10_000]);
  return { ...swarm, feeds: 1 + draw.below(3), limits: { ...swarm.limits, ...smaller } };
}

/** A world in which nobody is asked who may lead. */
export function silenceSwarmOf(seed: number, plain = false): Swarm {
  const draw = chance(seed, "swarm");
  const machines = draw.pick([1, 2, 2, 3, 3, 3, 4, 5]);
  // Many short worlds find more than a few long ones in the same time; a few are longer than any silence.
  const faultMs = draw.flip(0.04) ? 60_000 : draw.pick([2_000, 4_000, 8_000, 15_000]);
  const semiSync = machines > 1 && draw.flip(0.4);
  const leads = chance(seed, "swarm leaders"), heartbeatMs = draw.pick([200, 1_000, 2_000]);
  const extra = chance(seed, "swarm features"), features = plain ? noFeatures : featuresOf(extra);
  return {
    seed,
    machines,
    required: semiSync ? 1 + draw.below(Math.min(2, machines - 1)) : 0,
    syncTimeoutMs: draw.pick([500, 2_000, 5_000]),
    heartbeatMs,
    authority: "silence",
    ...leadershipOf(leads, machines, heartbeatMs),
    candidates: [1],
    logBytesMax: draw.flip(0.5) ? draw.pick([500, 3_000, 50_000]) : 1_073_741_824,
    logAgeMs: draw.flip(0.2) ? draw.pick([2_000, 10_000]) : 604_800_000,
    snapshotAboveEntries: draw.pick([1, 10, 100, 20_000]),
    snapshotBytesPerSecond: draw.pick([32_768, 1_048_576, 536_870_912]),
    // Without one nobody is handed anything, nor promoted, beyond one machine.
    secret: draw.flip(0.5) || leads.flip(0.9),
    limits: {
      ...limitsOf(draw),
      ...(leads.flip(0.7) ? { failoverGraceMs: leads.pick([100, 500]) } : {}),
      ...featureLimitsOf(extra, features),
    },
    faultMs,
    everyMs: faultMs / draw.pick([2, 5, 10]),
    faults: { ...faultsOf(draw, machines), ...leadershipFaults(leads, machines) },
    clients: draw.pick([1, 1, 2]),
    feeds: 0,
    workload: withFeatures(workloadOf(draw), features, extra),
    link: {
      delayMs: draw.pick([{ min: 0.05, max: 0.5 }, { min: 0.1, max: 5 }, { min: 20, max: 80 }]),
      splitRate: draw.pick([0, 0.1, 0.5]),
    },
    flipRate: draw.flip(0.1) ? 0.002 : 0,
    streams: draw.flip(0.1),
    timersFirst: draw.flip(0.5),
    loopMs: chance(seed, "swarm loop").pick([0, 0, 0.3, 20]),
    drift: draw.pick([0, 0.0001, 0.02]),
  };
}

const etcdKinds = ["etcdAway", "etcdStall", "etcdCut", "etcdSlow"] as const satisfies readonly FaultKind[];

/** The same world with an etcd: leases are short, and it lasts longer than several of them. */
function underEtcd(swarm: Swarm, draw: Chance): Swarm {
  const heartbeatMs = draw.pick([200, 1_000]), silenceMs = draw.pick([2_000, 2_000, 2_000, 5_000]);
  const faultMs = Math.max(swarm.faultMs, draw.pick([8_000, 15_000, 30_000]));
  const places = Array.from({ length: swarm.machines }, (_, i) => i), most = draw.flip(0.8);
  const weights = etcdKinds.map((kind) => [kind, draw.flip(0.6) ? draw.pick([1, 3, 10]) : 0] as const);
  return {
    ...swarm,
    authority: "etcd",
    heartbeatMs,
    silenceMs,
    candidates: places.filter(() => draw.flip(most ? 0.8 : 0.2)),
    // Several nodes that ask each other and etcd want one.
    secret: true,
    faultMs,
    everyMs: faultMs / draw.pick([3, 8, 15]),
    // Who asks others, too, sees when two take writes.
    workload: { ...swarm.workload, wander: draw.pick([0.05, 0.3, 0.6]) },
    faults: { ...swarm.faults, ...Object.fromEntries(weights) },
  };
}

/** Faults that need a second machine. */
const severalOnly: ReadonlySet<FaultKind> = new Set([
  "cutLink",
  "partition",
  "resetConnections",
  "staleConnections",
  "slowLink",
  "restoreFollower",
  "failover",
  "promote",
  "resync",
  "handover",
  "splitPromote",
  "autoFailover",
  "otherCommand",
  "leaderAway",
  "leaderStall",
  "fullCandidate",
]);

/** How who leads may change in this world. */
function leadershipOf(draw: Chance, machines: number, heartbeatMs: number) {
  const silenceMs = machines > 1 && draw.flip(0.6) ? heartbeatMs * draw.pick([2, 3, 5, 10]) : null;
  return {
    leaderStartMs: draw.pick([500, 2_000, 5_000]),
    silenceMs,
    forwardWrites: draw.flip(0.3),
  };
}

const leadership = [
  "handover",
  "splitPromote",
  "autoFailover",
  "otherCommand",
  "leaderAway",
  "leaderStall",
  "fullCandidate",
] as const satisfies readonly FaultKind[];

/** Drawn apart, so that what there was before stays as it was. */
function leadershipFaults(
  draw: Chance,
  machines: number,
): Pick<Swarm["faults"], (typeof leadership)[number]> {
  // In every second world who leads changes often.
  const often = draw.flip(0.5);
  const weight = (_kind: FaultKind): number => {
    const on = machines > 1 && draw.flip(often ? 0.5 : 0.1), value = draw.pick(often ? [1, 3, 6] : [1, 1, 3]);
    return on ? value : 0;
  };
  return Object.fromEntries(leadership.map((kind) => [kind, weight(kind)])) as Record<
    (typeof leadership)[number],
    number
  >;
}

/** Small ones reach the paths of many documents and many keys. */
function featureLimitsOf(draw: Chance, { index, ttl, sql, byField }: Features): Swarm["limits"] {
  const smaller: Partial<Record<LimitName, number>> = {};
  const maybe = (on: boolean, name: LimitName, values: readonly number[]): void => {
    if (on && draw.flip(0.5)) smaller[name] = draw.pick(values);
  };
  maybe(index || ttl, "indexSliceRows", [1, 5]);
  maybe(ttl, "expiryDocuments", [1, 3]);
  maybe(ttl, "expirySettleMs", [500, 5_000]);
  maybe(sql || byField, "queryAtOnceRows", [1, 5]);
  maybe(sql, "queryChunkRows", [1, 5]);
  return smaller;
}

/** Rare ones are switched on less often: after them less can be checked. */
const rare: ReadonlySet<FaultKind> = new Set(["restoreLeader", "failedCommit", "diskFull"]);

function faultsOf(draw: Chance, machines: number): Record<FaultKind, number> {
  const weight = (kind: FaultKind): number => {
    // With one follower a leader can always tell that its file is older: that must be tried.
    const seldom = rare.has(kind) && !(kind === "restoreLeader" && machines === 2);
    const on = draw.flip(seldom ? 0.15 : 0.4), value = draw.pick([1, 1, 3]);
    return on && (machines > 1 || !severalOnly.has(kind)) ? value : 0;
  };
  const apart: readonly FaultKind[] = [...leadership, ...etcdKinds];
  const kinds = faultKinds.filter((kind) => !apart.includes(kind));
  const none = etcdKinds.map((kind) => [kind, 0] as const);
  return Object.fromEntries([...kinds.map((kind) => [kind, weight(kind)] as const), ...none]) as Record<
    FaultKind,
    number
  >;
}

function limitsOf(draw: Chance): Swarm["limits"] {
  const smaller: Partial<Record<LimitName, number>> = { stallLookMs: 200 };
  const maybe = (name: LimitName, values: readonly number[]): void => {
    if (draw.flip(0.5)) smaller[name] = draw.pick(values);
  };
  maybe("sliceOperations", [2, 10]);
  maybe("sliceBytes", [500, 10_000]);
  maybe("recentEntries", [1, 5, 50]);
  maybe("recentBytes", [500, 20_000]);
  maybe("commitGroupMax", [1, 5]);
  maybe("bulkSliceDocuments", [1, 5]);
  maybe("partBytes", [300, 5_000]);
  maybe("appendBytes", [300, 5_000]);
  maybe("appendEntriesMax", [1, 5]);
  maybe("windowBytes", [5_000, 50_000]);
  maybe("snapshotPieceBytes", [4_096, 20_000]);
  maybe("snapshotLogEntries", [1, 5]);
  maybe("snapshotLogBytes", [500, 5_000]);
  maybe("snapshotKeepMs", [1_000, 10_000]);
  maybe("checkpointPages", [10, 50]);
  maybe("reclaimRows", [1, 5]);
  maybe("trimEntries", [1, 10]);
  maybe("trimBytes", [500]);
  maybe("trimAgeEveryMs", [1_000]);
  maybe("wallSettleMs", [3_000]);
  return smaller;
}
