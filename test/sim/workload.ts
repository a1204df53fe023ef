/** How much clients ask, what, and of what size. */
import type { Chance } from "./chance.ts";
import type { FeatureKind, Features } from "./features.ts";
import { featureKinds, featureNames, featureWeights, noFeatures } from "./features.ts";

/** What a client asks in every world; see requests.ts, bulk_requests.ts, transaction_requests.ts and bad_requests.ts. */
const plainKinds = [
  "put",
  "create",
  "replace",
  "own",
  "insert",
  "remove",
  "bulk",
  "transaction",
  "get",
  "list",
  "count",
  "drop",
  "misdirected",
  "bad",
] as const;

type PlainKind = (typeof plainKinds)[number];

/** Those that come with a feature only. */
const extraKinds = featureNames.flatMap((name) => Object.keys(featureKinds[name]) as FeatureKind[]);

/** Whether it comes with a feature of the world. */
export function isExtra(kind: RequestKind): boolean {
  return extraKinds.some((one) => one === kind);
}

export type RequestKind = PlainKind | FeatureKind;
export const requestKinds: readonly RequestKind[] = [...plainKinds, ...extraKinds];

export interface WorkloadOptions {
  /** 0: never. At least one is not. */
  readonly weights: Readonly<Record<RequestKind, number>>;
  readonly features: Features;
  /** Collections in use, 1 to 4. */
  readonly collections: number;
  /** Ids that all clients share, in each collection. */
  readonly ids: number;
  /** Usual and largest bodies, bytes; how often one is up to the largest. */
  readonly smallBytes: number;
  readonly largeBytes: number;
  readonly largeRate: number;
  /** Most elements of a bulk, operations of a transaction. */
  readonly bulkMax: number;
  readonly operationsMax: number;
  /** Requests between two pauses, on average. */
  readonly burst: number;
  /** Mean ms between two requests of a burst, and of a pause. */
  readonly betweenMs: number;
  readonly pauseMs: number;
  /** Share of the reads that go to any machine, not to the leader. */
  readonly followerReads: number;
  /** How often a client that was told who leads asks there next, and how often any machine. */
  readonly followHint: number;
  readonly wander: number;
}

const noExtras = Object.fromEntries(extraKinds.map((kind) => [kind, 0])) as Record<FeatureKind, number>;

const usualWeights: WorkloadOptions["weights"] = {
  ...noExtras,
  put: 20,
  create: 5,
  replace: 8,
  own: 6,
  insert: 8,
  remove: 8,
  bulk: 4,
  transaction: 6,
  get: 15,
  list: 4,
  count: 1,
  drop: 1,
  misdirected: 2,
  bad: 2,
};

export const usualWorkload: WorkloadOptions = {
  weights: usualWeights,
  features: noFeatures,
  collections: 2,
  ids: 8,
  smallBytes: 300,
  largeBytes: 5_000,
  largeRate: 0.05,
  bulkMax: 12,
  operationsMax: 6,
  burst: 5,
  betweenMs: 10,
  pauseMs: 500,
  followerReads: 0.5,
  followHint: 0.5,
  wander: 0.05,
};

/** The same with these features; what there was before stays as it was. */
export function withFeatures(options: WorkloadOptions, features: Features, draw: Chance): WorkloadOptions {
  return { ...options, features, weights: { ...options.weights, ...featureWeights(features, draw) } };
}

/** A workload of its own for each seed: every kind of request is left out now and then, puts and gets seldom. */
export function workloadOf(draw: Chance): WorkloadOptions {
  const weights = { ...usualWeights };
  for (const kind of plainKinds) {
    weights[kind] *= draw.flip(kind === "put" || kind === "get" ? 0.1 : 0.3) ? 0 : draw.pick([1, 1, 4]);
  }
  if (plainKinds.every((kind) => weights[kind] === 0 || !writing.has(kind))) weights.put = 20;
  const burst = draw.pick([1, 5, 20]);
  return {
    weights,
    features: noFeatures,
    collections: 1 + draw.below(4),
    ids: draw.pick([2, 5, 10]),
    smallBytes: draw.pick([60, 200, 600]),
    // The last one is larger than a slice.
    largeBytes: draw.flip(0.02) ? 1_200_000 : draw.pick([600, 3_000, 20_000, 100_000]),
    largeRate: draw.pick([0, 0.01, 0.05]),
    bulkMax: draw.pick([3, 10, 40]),
    operationsMax: draw.pick([3, 8, 20]),
    burst,
    betweenMs: draw.pick([0, 2, 20]),
    pauseMs: burst * draw.pick([100, 200, 500]),
    followerReads: draw.pick([0, 0.5, 0.9]),
    followHint: draw.pick([0, 0.5, 1]),
    wander: draw.pick([0, 0.05, 0.2]),
  };
}

/** Those by which something comes into the database. */
const writing: ReadonlySet<PlainKind> = new Set(["put", "create", "own", "insert", "bulk", "transaction"]);

/** One of `weights`, each as likely as it weighs. */
export function weighted<Name extends string>(weights: Readonly<Record<Name, number>>, draw: Chance): Name {
  const names = Object.keys(weights) as Name[];
  let left = draw.float() * names.reduce((sum, name) => sum + weights[name], 0);
  for (const name of names) {
    left -= weights[name];
    if (left < 0) return name;
  }
  return names.findLast((name) => weights[name] > 0) as Name;
}

/** How long a client thinks before its next request, ms. */
export function thinkMs({ burst, betweenMs, pauseMs }: WorkloadOptions, draw: Chance): number {
  return draw.between(0, 2) * (draw.flip(1 / burst) ? pauseMs : betweenMs);
}

/** Bytes of the next body. */
export function bodyBytes({ smallBytes, largeBytes, largeRate }: WorkloadOptions, draw: Chance): number {
  return draw.flip(largeRate) ? draw.between(smallBytes, largeBytes) : draw.between(30, smallBytes);
}

/** Names of the collections that clients share. */
export function collectionNames({ collections }: Pick<WorkloadOptions, "collections">): readonly string[] {
  return ["orders", "people", "Mixed.Case-1", "z_9"].slice(0, collections);
}

const awkwardIds = ["a/b", "__proto__", "ü-😀", "100%25", "constructor", `"'\\ &?#`];

/** Ids that clients share; some are awkward in a path. */
export function sharedIds({ ids }: Pick<WorkloadOptions, "ids">): readonly string[] {
  return Array.from({ length: ids }, (_, i) => i % 2 === 0 ? `d${i}` : awkwardIds[(i - 1) / 2] ?? `d${i}`);
}
