import type { DocumentId } from "../base/ids.ts";
import { seqOf } from "../base/ids.ts";
import type { Shown } from "../document/judge.ts";
import type { SetVersions, ShownOfKey } from "../document/operation.ts";
import type { Dot } from "../document/run_tree.ts";
import type { VersionSet } from "../document/version_set.ts";
import { sameContent } from "../document/version_set.ts";
import type { ReadView } from "../storage/storage.ts";
import type { KeyVersions } from "../storage/versions.ts";

/** The operation that makes a key hold `set` and show `shown`. `mine`: what it holds in `view`. */
export function outcomeOf(
  view: ReadView,
  name: string,
  id: DocumentId,
  mine: KeyVersions | null,
  set: VersionSet,
  shown: Shown,
): SetVersions {
  const info = view.collection(name);
  const held = (dot: Dot): boolean => mine?.versions.some((version) => sameDot(version.dot, dot)) ?? false;
  return {
    kind: "setVersions",
    name: info?.name ?? name,
    id,
    previous: info === null ? seqOf(0) : view.documentSeq(info.number, id),
    kept: set.flatMap(({ dot }) => held(dot) ? dot : []),
    added: set.filter(({ dot }) => !held(dot)),
    shown: shownOf(shown, mine, held),
  };
}

function shownOf(shown: Shown, mine: KeyVersions | null, held: (dot: Dot) => boolean): ShownOfKey {
  if (shown.kind === "made") return { kind: "made", body: shown.body };
  if (shown.kind !== "version") return { kind: shown.kind };
  const { dot, body } = shown, before = mine?.shown;
  const stays = before?.kind === "version" && sameDot(before.dot, dot);
  return { kind: "version", dot, body: held(dot) && !stays ? body : null };
}

/** What is shown of a key that is stored, as the policy said it then. */
export function shownNow({ shown, versions }: KeyVersions): Shown {
  if (shown.kind === "conflict") return { kind: "conflict", failure: null };
  if (shown.kind !== "version") return shown;
  const body = versions.find(({ dot }) => sameDot(dot, shown.dot))?.body;
  return body === null || body === undefined
    ? { kind: "deleted" }
    : { kind: "version", dot: shown.dot, body };
}

/** True where a reader sees no difference. */
export function sameShown(a: Shown, b: Shown): boolean {
  if (a.kind === "conflict" || b.kind === "conflict") return a.kind === b.kind;
  return sameContent(a.kind === "deleted" ? null : a.body, b.kind === "deleted" ? null : b.body);
}

export function sameDot(a: Dot, b: Dot): boolean {
  return a.seq === b.seq && a.run === b.run;
}
