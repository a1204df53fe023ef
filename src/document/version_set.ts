/** What a key holds: the versions of which none has seen another. */
import { assert } from "../base/assert.ts";
import { DfdbError } from "../base/errors.ts";
import type { WallMs } from "../base/ids.ts";
import { wallMsOf } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import type { ChangeVector } from "./change_vector.ts";
import {
  checkVector,
  compareRuns,
  emptyVector,
  equalVectors,
  joinVectors,
  vectorCovers,
  vectorOf,
} from "./change_vector.ts";
import type { Dot, RunTree } from "./run_tree.ts";

/** What one person wrote. */
export interface Version {
  /** The entry that made it; it names one content for ever. */
  readonly dot: Dot;
  /** What its writer had seen of this document; `dot` is an entry of it. */
  readonly vector: ChangeVector;
  /** When it was written: the wall clock, but after all that it replaced. */
  readonly modifiedMs: WallMs;
  /** As it is stored (`json_text.ts`); null: it was deleted. */
  readonly body: Uint8Array | null;
}

/**
 * Ascending by run, none of them seen by the writer of another: so at most one of a run. Empty: the key was never written. Sets whose joined
 * vectors are equal are equal.
 */
export type VersionSet = readonly Version[];

/** The last moment of year 9999: what edits add on top of it is still a safe number and still a date. */
const modifiedMsMax = 253_402_300_799_999;

/**
 * Both sets together without what a version of the other has seen: commutative, associative, idempotent. `mine` itself when `theirs`
 * tells nothing new. All runs must be known. Throws `data_corrupt` for one dot with two contents, and for versions that say to have
 * seen each other; a set is never emptied.
 */
export function joinSets(tree: RunTree, mine: VersionSet, theirs: VersionSet): VersionSet {
  if (mine === theirs) return mine;
  const added = theirs.filter((version) => !heldBy(mine, version) && !seenBy(tree, mine, version));
  const kept = mine.filter((version) => heldBy(theirs, version) || !seenBy(tree, theirs, version));
  if (added.length === 0 && kept.length === mine.length) return mine;
  const joined = [...kept, ...added].sort((a, b) => compareRuns(a.dot.run, b.dot.run));
  for (const version of [...mine, ...theirs]) {
    if (!heldBy(joined, version) && !seenBy(tree, joined, version)) {
      throw corrupt(version, "and another one say to have seen each other");
    }
  }
  return joined;
}

/** What a local PUT (or, `body` null, DELETE) at entry `dot` makes of `set`: it has seen all of it and replaces it. */
export function writeOver(
  tree: RunTree,
  set: VersionSet,
  dot: Dot,
  wallMs: WallMs,
  body: Uint8Array | null,
): VersionSet {
  const seen = vectorOfSet(tree, set);
  assert(!vectorCovers(tree, seen, dot), `entry ${dot.seq} of run ${dot.run} is new`);
  const vector = vectorOf(tree, [...seen, dot]);
  return [{ dot, vector, modifiedMs: nextModified(set, wallMs), body }];
}

/** The least vector that covers all versions; with one version it is that one's own. */
export function vectorOfSet(tree: RunTree, set: VersionSet): ChangeVector {
  let seen = set[0]?.vector ?? emptyVector;
  for (let i = 1; i < set.length; i++) seen = joinVectors(tree, seen, (set[i] as Version).vector);
  return seen;
}

/** The time of a change that replaces `set`: an edit is never older than what it edits, whatever the clocks say. */
export function nextModified(set: VersionSet, wallMs: WallMs): WallMs {
  return wallMsOf(
    set.reduce((highest, { modifiedMs }) => Math.max(highest, modifiedMs + 1), wallMs as number),
  );
}

/**
 * What is shown is chosen from these: all but deletions of `limits.deletionCountsMs` or more before the last change of the set. So a key that was written
 * anew where its tombstone had been purged shows the same there and where the tombstone is still. Never empty, where `set` is not; `set` itself where
 * all count.
 */
export function countedVersions(set: VersionSet): VersionSet {
  if (set.length < 2) return set;
  const last = set.reduce((highest, { modifiedMs }) => Math.max(highest, modifiedMs), 0);
  const counts = ({ body, modifiedMs }: Version): boolean =>
    body !== null || last - modifiedMs < limits.deletionCountsMs;
  return set.every(counts) ? set : set.filter(counts);
}

/** Throws `bad_request` unless `version`, sent by a peer, can be one; its runs must have been told before. */
export function checkVersion(tree: RunTree, { dot, vector, modifiedMs }: Version): void {
  checkVector(tree, vector);
  if (!vector.some(({ run, seq }) => run === dot.run && seq === dot.seq)) {
    throw new DfdbError("bad_request", "a version's change vector holds the entry that made it");
  }
  if (!Number.isSafeInteger(modifiedMs) || modifiedMs < 0 || modifiedMs > modifiedMsMax) {
    throw new DfdbError("bad_request", `${modifiedMs} is not a time at which a document was changed`);
  }
}

export function sameContent(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === b) return true;
  if (a === null || b === null || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function sameDot(a: Dot, b: Dot): boolean {
  return a.seq === b.seq && a.run === b.run;
}

/** True when `set` holds `version`; throws `data_corrupt` when it holds another one of that dot. */
function heldBy(set: VersionSet, version: Version): boolean {
  const held = set.find(({ dot }) => sameDot(dot, version.dot));
  if (held === undefined) return false;
  if (held === version) return true;
  const same = held.modifiedMs === version.modifiedMs && equalVectors(held.vector, version.vector) &&
    sameContent(held.body, version.body);
  if (!same) throw corrupt(version, "has two contents");
  return true;
}

function seenBy(tree: RunTree, set: VersionSet, { dot }: Version): boolean {
  return set.some((other) => !sameDot(other.dot, dot) && vectorCovers(tree, other.vector, dot));
}

function corrupt({ dot: { run, seq } }: Version, what: string): DfdbError {
  return new DfdbError("data_corrupt", `the version of entry ${seq} of run ${run} ${what}`, {
    details: { run, seq },
  });
}
