/** What a sender's versions of one key make of it here. */
import { DfdbError } from "../base/errors.ts";
import type { RunId } from "../base/ids.ts";
import { limits } from "../base/limits.ts";
import { checkDatabases } from "../document/change_vector.ts";
import type { ConflictPolicy, Shown } from "../document/judge.ts";
import { contentHash, judge } from "../document/judge.ts";
import type { SetVersions } from "../document/operation.ts";
import type { Dot, RunTree } from "../document/run_tree.ts";
import type { VersionSet } from "../document/version_set.ts";
import { checkVersion, joinSets, sameContent } from "../document/version_set.ts";
import type { Crypto } from "../runtime/runtime.ts";
import type { ReadView } from "../storage/storage.ts";
import type { VersionView } from "../storage/versions.ts";
import { versionsBytesMax } from "../storage/version_codec.ts";
import type { ReceivedKey, ReceivedVersion } from "./batch_read.ts";
import { outcomeOf, sameDot, shownNow } from "./outcome.ts";

export interface Judging {
  /** With all runs that were told and can be. */
  readonly versions: VersionView;
  readonly policy: ConflictPolicy;
  readonly sha256: Crypto["sha256"];
  /** The next entry of this history: nobody has seen it yet. */
  readonly next: Dot;
  /** Runs that the sender told otherwise than they are known here, with what is wrong. */
  readonly refused: ReadonlyMap<RunId, string>;
}

export type KeyOutcome =
  /** Nothing of it is new. */
  | { readonly kind: "same" }
  | {
    readonly kind: "set";
    readonly operation: SetVersions;
    /** The sender shows another content of the same versions: it is a conflict now. */
    readonly disagreement: boolean;
    /** Why a policy function left it to a person; null: it did not, or without an error. */
    readonly failure: string | null;
  }
  /** It cannot be kept among the documents. */
  | { readonly kind: "rejected"; readonly reason: string };

const same: KeyOutcome = { kind: "same" };
/** Pairs of a version and a vector's entry that are compared for one key: some 100 ms. */
const comparedMax = 1_000_000;
/** Of an entry that holds one operation. */
const entryOverhead = 64;

/** `view` is of a transaction that has not changed the key yet. */
export function judgeKey(view: ReadView, key: ReceivedKey, judging: Judging): KeyOutcome {
  if (key.fault !== null) return { kind: "rejected", reason: key.fault };
  try {
    return judged(view, key, judging);
  } catch (thrown) {
    // Of the sets and their versions, all of them told by the sender.
    if (!(thrown instanceof DfdbError) || thrown.code !== "bad_request") throw thrown;
    return { kind: "rejected", reason: thrown.message };
  }
}

function judged(
  view: ReadView,
  key: ReceivedKey,
  { versions, policy, sha256, next, refused }: Judging,
): KeyOutcome {
  const { name, id } = key, { tree } = versions;
  checkWork(key.versions);
  for (const version of key.versions) checkReceived(tree, version, next, refused);
  const mine = versions.get(name, id), held = mine?.versions ?? [];
  let theirs: VersionSet = [];
  for (const version of key.versions) theirs = joined(tree, theirs, [plain(version)]);
  const set = joined(tree, held, theirs);
  const told = key.shown !== undefined && theirs.length > 1 && sameDots(set, theirs);
  const differs = (shown: Shown): boolean =>
    told && !sameContent(contentHash(shown, sha256), key.shown ?? null);
  if (mine !== null && set === mine.versions) {
    const shown = shownNow(mine);
    if (shown.kind === "conflict" || !differs(shown)) return same;
    // The sender may only have judged it anew already, by a policy that is changed here, too.
    const anew = judge(tree, set, policy).shown, disagreement = differs(anew);
    return fitting(
      outcomeOf(view, name, id, mine, set, disagreement ? conflict : anew),
      disagreement,
      null,
    );
  }
  const { shown, vector } = judge(tree, set, policy);
  if (vector.length >= limits.vectorEntriesMax) {
    throw refusal(`its versions make a change vector of ${vector.length} entries`);
  }
  if (shown.kind === "conflict") {
    return fitting(outcomeOf(view, name, id, mine, set, shown), false, shown.failure);
  }
  const disagreement = differs(shown);
  return fitting(outcomeOf(view, name, id, mine, set, disagreement ? conflict : shown), disagreement, null);
}

const conflict: Shown = { kind: "conflict", failure: null };

function fitting(operation: SetVersions, disagreement: boolean, failure: string | null): KeyOutcome {
  if (versionsBytesMax(operation) + entryOverhead > limits.entryBytesMax) {
    throw refusal("its versions take more bytes than an entry of the log may have");
  }
  return { kind: "set", operation, disagreement, failure };
}

/** Versions times entries of their vectors: that is what comparing them takes. */
function checkWork(versions: readonly ReceivedVersion[]): void {
  const entries = versions.reduce((sum, { vector }) => sum + vector.length, 0);
  if (versions.length * entries <= comparedMax) return;
  throw refusal(`${versions.length} versions with ${entries} entries in their change vectors`);
}

function checkReceived(
  tree: RunTree,
  version: ReceivedVersion,
  next: Dot,
  refused: ReadonlyMap<RunId, string>,
): void {
  const { dot, vector, database } = version;
  for (const { run } of vector) {
    const fault = refused.get(run);
    if (fault !== undefined) throw refusal(`run ${run} was told otherwise than it is known: ${fault}`);
  }
  checkVersion(tree, version);
  checkDatabases(tree, version);
  if (tree.get(dot.run)?.database !== database) {
    throw refusal(`run ${dot.run} is none of database ${database}`);
  }
  if (vector.some((by) => tree.covers(by, next))) {
    throw refusal(`it says to have seen entry ${next.seq} of this database, which is not written yet`);
  }
}

/** What peers tell of each other is nothing that is wrong with this database. */
function joined(tree: RunTree, a: VersionSet, b: VersionSet): VersionSet {
  try {
    return joinSets(tree, a, b);
  } catch (thrown) {
    throw thrown instanceof DfdbError && thrown.code === "data_corrupt" ? refusal(thrown.message) : thrown;
  }
}

function plain({ dot, vector, modifiedMs, body }: ReceivedVersion): VersionSet[number] {
  return { dot, vector, modifiedMs, body };
}

function sameDots(a: VersionSet, b: VersionSet): boolean {
  return a.length === b.length && a.every(({ dot }, i) => sameDot(dot, (b[i] as VersionSet[number]).dot));
}

function refusal(reason: string): DfdbError {
  return new DfdbError("bad_request", reason);
}
