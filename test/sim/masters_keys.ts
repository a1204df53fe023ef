/** A key as one node holds it, in the form in which the checkers of masters compare it, and what it must show. */
import { utf8Text } from "../../src/base/bytes.ts";
import type { KeyVersions } from "../../src/storage/versions.ts";
import type { DotSeen, RunsSeen } from "./masters_runs.ts";
import { textOf } from "./masters_runs.ts";

export interface VersionSeen {
  readonly dot: DotSeen;
  readonly vector: readonly DotSeen[];
  readonly modifiedMs: number;
  /** Null: deleted. */
  readonly body: string | null;
}

export interface KeySeen {
  /** `orders/1`, the collection in small letters. */
  readonly key: string;
  readonly versions: readonly VersionSeen[];
  /** The least that covers all versions. */
  readonly vector: readonly DotSeen[];
  /** `gone`, `conflict`, or `is ` and the document's text. */
  readonly shown: string;
}

export const gone = "gone", conflict = "conflict";

/** So old a deletion counts no more beside the last change of its key. */
const deletionCountsMs = 14 * 24 * 3_600_000;

export function keySeen(runs: RunsSeen, { name, id, versions, shown }: KeyVersions): KeySeen {
  const seen = versions.map(({ dot, vector, modifiedMs, body }): VersionSeen => ({
    dot,
    vector,
    modifiedMs,
    body: body === null ? null : utf8Text(body),
  }));
  const shownText = (): string => {
    if (shown.kind === "deleted") return gone;
    if (shown.kind === "conflict") return conflict;
    if (shown.kind === "made") return `is ${utf8Text(shown.body)}`;
    const body = seen.find(({ dot }) => dot.run === shown.dot.run && dot.seq === shown.dot.seq)?.body;
    return body === null || body === undefined ? `a version that is not there` : `is ${body}`;
  };
  return {
    key: `${name.toLowerCase()}/${id}`,
    versions: seen,
    vector: runs.least(seen.flatMap(({ vector }) => vector)),
    shown: shownText(),
  };
}

/** Those that what is shown is chosen from. */
export function counted(versions: readonly VersionSeen[]): readonly VersionSeen[] {
  const last = Math.max(...versions.map(({ modifiedMs }) => modifiedMs));
  return versions.filter(({ body, modifiedMs }) => body !== null || last - modifiedMs < deletionCountsMs);
}

/** True for a deletion that is so old that it may be purged, when `now` is the highest clock. */
export function mayBePurged({ body, modifiedMs }: VersionSeen, now: number): boolean {
  return body === null && now - modifiedMs >= deletionCountsMs;
}

export type PolicySeen =
  | { readonly kind: "manual" }
  | { readonly kind: "latest" }
  /** Sites, the first one first. */
  | { readonly kind: "prefer"; readonly sites: readonly string[] };

/** What must be shown of these versions. */
export function naiveShown(runs: RunsSeen, versions: readonly VersionSeen[], policy: PolicySeen): string {
  const of = counted(versions);
  const latest = (some: readonly VersionSeen[]): VersionSeen =>
    some.reduce((a, b) =>
      b.modifiedMs > a.modifiedMs || (b.modifiedMs === a.modifiedMs && b.dot.run > a.dot.run) ? b : a
    );
  const shown = ({ body }: VersionSeen): string => body === null ? gone : `is ${body}`;
  if (new Set(of.map(({ body }) => body)).size === 1) return shown(of[0] as VersionSeen);
  if (policy.kind === "manual") return conflict;
  if (policy.kind === "latest") return shown(latest(of));
  for (const site of policy.sites) {
    const own = of.filter(({ dot }) => runs.siteOf(dot.run) === site);
    if (own.length > 0) return shown(latest(own));
  }
  return shown(latest(of));
}

export function vectorText(vector: readonly DotSeen[]): string {
  return vector.map(({ run, seq }) => `${run}:${seq}`).join();
}

/** The entries that made the versions, in one order. */
export function dotsText(versions: readonly VersionSeen[]): string {
  return versions.map(({ dot: { run, seq } }) => `${run}:${seq}`).sort().join();
}

/** For people. */
export function describeKey({ key, versions, vector, shown }: KeySeen): string {
  const each = versions.map(({ dot, vector: seen, body }) =>
    `${textOf(dot)} (saw ${seen.map(textOf).join(" ")}) ${body === null ? "deleted" : body.slice(0, 60)}`
  );
  return `${key} [${vector.map(textOf).join(" ")}] shows ${shown.slice(0, 60)}: ${each.join("; ")}`;
}
