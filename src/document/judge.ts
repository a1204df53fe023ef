/** What is shown of the versions of a key: a pure function of the set and the policy, so the same on every node. */
import { assert, InvariantError } from "../base/assert.ts";
import { concat } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import type { DatabaseId, WallMs } from "../base/ids.ts";
import type { ChangeVector } from "./change_vector.ts";
import { compareRuns } from "./change_vector.ts";
import type { DocumentLimits } from "./json_text.ts";
import { documentBody } from "./json_text.ts";
import type { Dot, RunTree } from "./run_tree.ts";
import type { Version, VersionSet } from "./version_set.ts";
import { countedVersions, sameContent, vectorOfSet } from "./version_set.ts";

/** How versions of different contents are settled. It has to be the same on all masters: {@linkcode contentHash} tells when it is not. */
export type ConflictPolicy =
  | { readonly kind: "manual" }
  /** The one that was written last: by time, then run. */
  | { readonly kind: "latest" }
  /** The one whose writer's database stands first here; of several, and of those that are not listed: the latest. */
  | { readonly kind: "prefer"; readonly databases: readonly DatabaseId[] }
  | { readonly kind: "function"; readonly resolve: Resolve; readonly documents: DocumentLimits };

/** A version as a policy function sees it. The bytes are its own. */
export interface Candidate {
  readonly database: DatabaseId;
  readonly dot: Dot;
  readonly modifiedMs: WallMs;
  /** UTF-8 JSON text; null: deleted. */
  readonly body: Uint8Array | null;
}

/**
 * Two or more candidates, the latest first, in; JSON text of a document, or null for none, out; `undefined` leaves the conflict to a person.
 * Must depend on the candidates alone.
 */
export type Resolve = (candidates: readonly Candidate[]) => unknown;

export type Shown =
  | { readonly kind: "deleted" }
  /** The body of the version that entry `dot` made. */
  | { readonly kind: "version"; readonly dot: Dot; readonly body: Uint8Array }
  /** Made by a policy function, and the body of no version. */
  | { readonly kind: "made"; readonly body: Uint8Array }
  /** `failure`: why the policy function did not settle it; null: it is left to a person. */
  | { readonly kind: "conflict"; readonly failure: string | null };

export interface Outcome {
  readonly shown: Shown;
  /** Covers all versions. */
  readonly vector: ChangeVector;
  /** Of what is shown, or of the latest version where nothing that was written is. */
  readonly modifiedMs: WallMs;
  /** The versions that count (`countedVersions`), of other content than what is shown, the latest first; in a conflict there are none. */
  readonly losers: readonly Version[];
}

/** `set` has one version at least, and all its runs are in `tree`. */
export function judge(tree: RunTree, set: VersionSet, policy: ConflictPolicy): Outcome {
  const versions = [...countedVersions(set)].sort(latestFirst), latest = versions[0];
  assert(latest !== undefined, "a set that is judged is not empty");
  const chosen = versions.every(({ body }) => sameContent(body, latest.body))
    ? { body: latest.body }
    : choose(tree, versions, policy);
  const vector = vectorOfSet(tree, set);
  if ("failure" in chosen) {
    const shown: Shown = { kind: "conflict", failure: chosen.failure };
    return { shown, vector, modifiedMs: latest.modifiedMs, losers: [] };
  }
  const { body } = chosen, winner = versions.find((version) => sameContent(version.body, body));
  const losers = versions.filter((version) => !sameContent(version.body, body));
  const shown: Shown = body === null
    ? { kind: "deleted" }
    : winner === undefined
    ? { kind: "made", body }
    : { kind: "version", dot: winner.dot, body: winner.body as Uint8Array };
  return { shown, vector, modifiedMs: (winner ?? latest).modifiedMs, losers };
}

/** Two contents of one vector have the same hash only where they are the same; null: a conflict has none. 32 bytes. */
export function contentHash(shown: Shown, sha256: (bytes: Uint8Array) => Uint8Array): Uint8Array | null {
  if (shown.kind === "conflict") return null;
  if (shown.kind === "deleted") return sha256(Uint8Array.of(0));
  return sha256(concat([Uint8Array.of(1), shown.body]));
}

type Choice = { readonly body: Uint8Array | null } | { readonly failure: string | null };

function choose(tree: RunTree, versions: readonly Version[], policy: ConflictPolicy): Choice {
  switch (policy.kind) {
    case "manual":
      return { failure: null };
    case "latest":
      return versions[0] as Version;
    case "prefer":
      return preferred(tree, versions, policy.databases);
    case "function":
      return made(tree, versions, policy.resolve, policy.documents);
  }
}

function preferred(tree: RunTree, versions: readonly Version[], databases: readonly DatabaseId[]): Version {
  const byDatabase = (database: DatabaseId): Version | undefined =>
    versions.find(({ dot }) => databaseOf(tree, dot) === database);
  for (const database of databases) {
    const found = byDatabase(database);
    if (found !== undefined) return found;
  }
  return versions[0] as Version;
}

function made(
  tree: RunTree,
  versions: readonly Version[],
  resolve: Resolve,
  documents: DocumentLimits,
): Choice {
  const candidates = versions.map(({ dot: { run, seq }, modifiedMs, body }): Candidate =>
    Object.freeze({
      database: databaseOf(tree, { run, seq }),
      dot: Object.freeze({ run, seq }),
      modifiedMs,
      body: body === null ? null : new Uint8Array(body),
    })
  );
  try {
    const returned = resolve(Object.freeze(candidates));
    if (returned === undefined) return { failure: null };
    if (returned === null) return { body: null };
    if (!(returned instanceof Uint8Array)) {
      return {
        failure: "the policy function returned neither the bytes of a document, nor null, nor undefined",
      };
    }
    // A copy: the function may keep what it returned.
    return { body: documentBody(new Uint8Array(returned), documents).body };
  } catch (error) {
    if (error instanceof InvariantError) throw error;
    return { failure: `the policy function failed: ${messageOf(error)}` };
  }
}

/** Runs decide between equal times: a set holds one version of a run at most. */
function latestFirst(a: Version, b: Version): number {
  return b.modifiedMs - a.modifiedMs || compareRuns(b.dot.run, a.dot.run);
}

function databaseOf(tree: RunTree, { run }: Dot): DatabaseId {
  const node = tree.get(run);
  assert(node !== undefined, `run ${run} of a version is not known`);
  return node.database;
}
