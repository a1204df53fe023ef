import type { DocumentId, Seq } from "../../src/base/ids.ts";
import { seqOf } from "../../src/base/ids.ts";
import type { Operation, SetVersions, ShownOfKey } from "../../src/document/operation.ts";
import type { ConflictPolicy } from "../../src/document/judge.ts";
import { judge } from "../../src/document/judge.ts";
import type { Dot, RunNode, RunTree } from "../../src/document/run_tree.ts";
import type { VersionSet } from "../../src/document/version_set.ts";
import { joinSets } from "../../src/document/version_set.ts";
import type { ReadView } from "../../src/storage/storage.ts";
import type { VersionView } from "../../src/storage/versions.ts";

/** Runs of `theirs` that `mine` does not know yet, in an operation; null: none. */
export function learning(mine: RunTree, theirs: RunTree): Operation | null {
  const runs: RunNode[] = [...theirs.nodes()].filter(({ run }) => mine.get(run) === undefined);
  return runs.length === 0 ? null : { kind: "learnRuns", runs };
}

/** What a peer's versions of a key make of it here; null: nothing. Its runs are known. */
export function received(
  view: ReadView,
  name: string,
  id: DocumentId,
  theirs: VersionSet,
  policy: ConflictPolicy,
): SetVersions | null {
  const versions = view.versions as VersionView, mine = versions.get(name, id);
  const joined = joinSets(versions.tree, mine?.versions ?? [], theirs);
  if (mine !== null && joined === mine.versions) return null;
  return outcome(view, name, id, joined, policy);
}

/** The operation that makes a key hold `set`. */
export function outcome(
  view: ReadView,
  name: string,
  id: DocumentId,
  set: VersionSet,
  policy: ConflictPolicy,
): SetVersions {
  const versions = view.versions as VersionView, mine = versions.get(name, id);
  const held = (dot: Dot): boolean => mine?.versions.some((version) => same(version.dot, dot)) ?? false;
  const { shown } = judge(versions.tree, set, policy);
  const collection = view.collection(name);
  return {
    kind: "setVersions",
    name,
    id,
    previous: collection === null ? seqOf(0) : view.documentSeq(collection.number, id) as Seq,
    kept: set.filter(({ dot }) => held(dot)).map(({ dot }) => dot),
    added: set.filter(({ dot }) => !held(dot)),
    shown: ((): ShownOfKey => {
      if (shown.kind === "made") return { kind: "made", body: shown.body };
      if (shown.kind !== "version") return { kind: shown.kind };
      const { dot, body } = shown, before = mine?.shown;
      const stays = before?.kind === "version" && same(before.dot, dot);
      return { kind: "version", dot, body: held(dot) && !stays ? body : null };
    })(),
  };
}

export function same(a: Dot, b: Dot): boolean {
  return a.run === b.run && a.seq === b.seq;
}
