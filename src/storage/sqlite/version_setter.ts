import { DfdbError } from "../../base/errors.ts";
import type { Seq } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import type { ChangeVector } from "../../document/change_vector.ts";
import { isReplicated } from "../../document/names.ts";
import type { SetVersions } from "../../document/operation.ts";
import type { Dot } from "../../document/run_tree.ts";
import type { Version } from "../../document/version_set.ts";
import { checkVersion } from "../../document/version_set.ts";
import { joinVectors } from "../../document/change_vector.ts";
import type { BundleDraft, Space } from "./bundle.ts";
import type { Draft } from "./draft.ts";
import { otherwise } from "./otherwise.ts";
import type { TableStatements } from "./statements.ts";
import type { CollectionState } from "./state.ts";
import type { JudgedRow, KeyState, VersionRow } from "./version_rows.ts";
import { insertRow, keyState, replaceRows, settledRows, storedVector, vectorOfRow } from "./version_rows.ts";
import { countStates, inactive } from "./version_writer.ts";

/** One key, as it is before. */
interface Key {
  readonly operation: SetVersions;
  readonly seq: Seq;
  readonly draft: Draft;
  readonly bundle: BundleDraft;
  readonly space: Space;
  readonly collection: CollectionState | undefined;
  readonly rows: readonly JudgedRow[];
  readonly kept: readonly JudgedRow[];
}

/** What an added version becomes. */
interface Added {
  readonly row: VersionRow;
  readonly version: Version;
}

/** Applies {@linkcode SetVersions}, inside the running transaction. What does not fit is `diverged`. */
export class VersionSetter {
  readonly #tables: TableStatements;

  constructor(tables: TableStatements) {
    this.#tables = tables;
  }

  set(draft: Draft, operation: SetVersions, seq: Seq): void {
    const { bundle } = draft, { name, id, shown } = operation;
    if (bundle === null) throw inactive(seq);
    if (!isReplicated(name)) throw otherwise(seq, `collection ${name} has no versions`);
    const space = bundle.spaceOf(name), number = draft.numberOf(name), statements = this.#tables.versions;
    const rows = settledRows<JudgedRow>(statements, bundle, space, id, "judged");
    const kept = keptRows(bundle, rows, operation, seq);
    const collection = number === undefined ? undefined : draft.collection(number);
    const key: Key = { operation, seq, draft, bundle, space, collection, rows, kept };
    if (collection === undefined && shown.kind !== "deleted") {
      throw otherwise(seq, `there is no collection ${name}`);
    }
    const state: KeyState = shown.kind === "deleted"
      ? keyState.deleted
      : shown.kind === "conflict"
      ? keyState.conflict
      : keyState.shown;
    const added = addedRows(key, state);
    this.#expectPrevious(key);
    this.#rows(key, added, state);
    countStates(bundle, space, rows[0]?.state ?? keyState.shown, state);
  }

  #expectPrevious({ operation: { id, previous }, collection, seq }: Key): void {
    const found = collection === undefined ? undefined : this.#tables.get(collection.number, "seq").get(id);
    if (Number(found?.["seq"] ?? 0) === previous) return;
    throw otherwise(seq, `document ${id} was not last changed by entry ${previous}`);
  }

  #rows(key: Key, added: readonly Added[], state: KeyState): void {
    const { operation, space, rows, kept, bundle } = key, { id, shown } = operation, { number } = space;
    const statements = this.#tables.versions, dot = shown.kind === "version" ? shown.dot : null;
    const is = (row: VersionRow): boolean =>
      dot !== null && row.seq === dot.seq && row.run === bundle.runs.numberOf(dot.run);
    const before = rows.find((row) => row.state === keyState.shown && row.deleted === 0 && row.bare === 1);
    const mine = kept.find(is), stays = mine !== undefined && mine === before;
    if (shown.kind === "version" && mine !== undefined && stays !== (shown.body === null)) {
      throw otherwise(
        key.seq,
        `the version that is shown of document ${id} ${stays ? "was shown before" : "was not"}`,
      );
    }
    if (mine?.deleted === 1) throw otherwise(key.seq, `a deletion of document ${id} has nothing to show`);
    // It is not in the table of documents any more.
    if (before !== undefined && !stays && kept.includes(before)) {
      statements.get("setBody").run(this.#body(key), number, id, before.run);
    }
    const [only] = added;
    if (kept.length === 0 && added.length === 1 && only !== undefined) {
      replaceRows(statements, number, id, rows, only.row, is(only.row) ? null : only.version.body);
    } else {
      for (const row of rows) {
        if (!kept.includes(row)) statements.get("remove").run(number, id, row.run);
      }
      for (const { row, version } of added) {
        insertRow(statements, number, id, row, is(row) ? null : version.body);
      }
      if (mine !== undefined && !stays) statements.get("setBody").run(null, number, id, mine.run);
      if (kept.some((row) => row.state !== state)) statements.get("setState").run(state, number, id, state);
      // What is shown has changed: peers are to be told.
      const [first] = kept;
      if (added.length === 0 && first !== undefined) {
        statements.get("touch").run(key.seq, number, id, first.run);
      }
    }
    if (!stays) this.#document(key, added, mine);
  }

  /** Brings the table of documents to what is shown. */
  #document(
    { operation, draft, seq, collection, kept }: Key,
    added: readonly Added[],
    mine: VersionRow | undefined,
  ): void {
    const { id, previous, shown } = operation;
    if (collection === undefined) return;
    const shows = shown.kind === "version" || shown.kind === "made";
    if (!shows) {
      if (previous === 0) return;
      this.#tables.get(collection.number, "remove").run(id, previous);
      const changed = draft.change(collection.number);
      if (changed !== undefined) changed.documents--;
      return;
    }
    const theirs = shown.kind === "version"
      ? added.find(({ version }) => sameDot(version.dot, shown.dot))
      : undefined;
    const body = theirs?.version.body ?? shown.body;
    if (body === null) throw otherwise(seq, `document ${id} has nothing to show`);
    const modified = shown.kind === "made"
      ? Math.max(...[...kept, ...added.map(({ row }) => row)].map((row) => row.modified_ms))
      : (theirs?.row ?? mine as VersionRow).modified_ms;
    if (previous !== 0) {
      this.#tables.get(collection.number, "update").run(seq, modified, body, id, previous);
      return;
    }
    const changed = draft.change(collection.number);
    if (changed === undefined) throw otherwise(seq, `there is no collection ${operation.name}`);
    this.#tables.get(collection.number, "insert").run(changed.nextRow, id, seq, modified, modified, body);
    changed.nextRow++;
    changed.documents++;
  }

  /** Of the document that is shown. */
  #body({ collection, operation: { id }, seq }: Key): string {
    const found = collection === undefined ? undefined : this.#tables.get(collection.number, "get").get(id);
    if (found === undefined) throw otherwise(seq, `there is no document ${id}`);
    return String(found["body"]);
  }
}

function sameDot(a: Dot, b: Dot): boolean {
  return a.seq === b.seq && a.run === b.run;
}

/** The rows that stay; each version of the operation is a different one. */
function keptRows(
  { runs }: BundleDraft,
  rows: readonly JudgedRow[],
  { kept, id }: SetVersions,
  seq: Seq,
): JudgedRow[] {
  const found = kept.map((dot) => {
    const row = rows.find((one) => one.seq === dot.seq && one.run === runs.numberOf(dot.run));
    if (row === undefined) {
      throw otherwise(seq, `document ${id} has no version of entry ${dot.seq} of run ${dot.run}`);
    }
    return row;
  });
  if (new Set(found).size < found.length) throw otherwise(seq, `a version of document ${id} is kept twice`);
  return found;
}

function addedRows({ operation, bundle, rows, kept, seq, draft }: Key, state: KeyState): Added[] {
  const { id, added } = operation, { runs } = bundle, own = draft.terms.length;
  let seen: ChangeVector = [];
  for (const row of kept) seen = joinVectors(runs.tree, seen, vectorOfRow(runs, row));
  const made = added.map((version): Added => {
    const { dot, vector, modifiedMs, body } = version, run = runs.numberOf(dot.run);
    try {
      checkVersion(runs.tree, version);
    } catch (thrown) {
      if (!(thrown instanceof DfdbError)) throw thrown;
      throw otherwise(seq, thrown.message);
    }
    // Nobody has seen what this run has not written yet.
    if (run === undefined || vector.some((one) => runs.numberOf(one.run) === own && one.seq >= seq)) {
      throw otherwise(seq, `a version of document ${id} of entry ${dot.seq}, which is not written yet`);
    }
    seen = joinVectors(runs.tree, seen, vector);
    const row: VersionRow = {
      ...{ run, seq: dot.seq, change: seq, modified_ms: modifiedMs, deleted: body === null ? 1 : 0, state },
      vector: storedVector(vector),
    };
    return { row, version };
  });
  if (made.some(({ row }) => rows.some((one) => one.run === row.run && one.seq === row.seq))) {
    throw otherwise(seq, `a version of document ${id} is here already`);
  }
  const ofRuns = [...kept, ...made.map(({ row }) => row)].map(({ run }) => run);
  if (new Set(ofRuns).size < ofRuns.length) {
    throw otherwise(seq, `two versions of document ${id} are of one run`);
  }
  // A local change adds an entry of its own.
  if (seen.length >= limits.vectorEntriesMax) {
    throw otherwise(seq, `the versions of document ${id} make a vector of ${seen.length} entries`);
  }
  return made;
}
