/** What clients use besides plain documents: each world has a few of it, so that nothing hides the rest. */
import type { Chance } from "./chance.ts";

export const featureNames = [
  "patch",
  "conditional",
  "atomic",
  "byField",
  "sql",
  "index",
  "ttl",
  "schema",
  "once",
] as const;

export type Feature = (typeof featureNames)[number];
export type Features = Readonly<Record<Feature, boolean>>;

export const noFeatures: Features = featuresWhere(() => false);
export const allFeatures: Features = featuresWhere(() => true);

/** Kinds of requests that come with a feature, and how much each weighs. */
export const featureKinds = {
  patch: { patch: 10 },
  conditional: { conditional: 8 },
  atomic: { atomic: 5 },
  byField: { byField: 10, searching: 4 },
  sql: { sql: 10, select: 8 },
  index: { index: 8 },
  ttl: { ttl: 3 },
  schema: { schema: 3 },
  once: { repeat: 10 },
} as const satisfies Readonly<Record<Feature, Readonly<Record<string, number>>>>;

type KindsOf<Kinds> = Kinds extends Kinds ? keyof Kinds : never;
export type FeatureKind = KindsOf<(typeof featureKinds)[Feature]>;

/** Two worlds of five have none: they are what they were without. */
export function featuresOf(draw: Chance): Features {
  if (draw.flip(0.4)) return noFeatures;
  const first = draw.pick(featureNames), share = draw.pick([0.1, 0.25, 0.5]);
  return featuresWhere((name) => name === first || draw.flip(share));
}

/** Weights of the kinds of requests; each feature is now and then what most of them are about. */
export function featureWeights(features: Features, draw: Chance): Record<FeatureKind, number> {
  const weights: Record<string, number> = {};
  for (const name of featureNames) {
    const factor = features[name] ? draw.pick([0.5, 1, 3]) : 0;
    for (const [kind, weight] of Object.entries(featureKinds[name])) weights[kind] = weight * factor;
  }
  // Entries of several documents are where unique indexes are hard.
  if (features.index) weights["atomic"] = Math.max(weights["atomic"] ?? 0, 5);
  return weights as Record<FeatureKind, number>;
}

/** Whether documents have the members by which they are found, changed, limited or given up. */
export function hasFields({ patch, conditional, byField, sql, index, ttl, schema }: Features): boolean {
  return patch || conditional || byField || sql || index || ttl || schema;
}

function featuresWhere(is: (name: Feature) => boolean): Features {
  return Object.fromEntries(featureNames.map((name) => [name, is(name)])) as Features;
}
