import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { DatabaseId, DocumentId, Seq, WallMs } from "../../base/ids.ts";
import { wallMsOf } from "../../base/ids.ts";
import { isReplicated } from "../../document/names.ts";
import type { ActivateBundle, LearnRuns, PurgeTombstones } from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import type { TermRecord } from "../log.ts";
import type { PendingDrop, Space } from "./bundle.ts";
import { Bundle, BundleDraft, KnownRuns } from "./bundle.ts";
import { adoptDocuments } from "./adopt_documents.ts";
import type { Draft } from "./draft.ts";
import { otherwise } from "./otherwise.ts";
import type { CollectionDraft } from "./state.ts";
import type { VersionRow } from "./version_rows.ts";
import { keyState, replacedByDrop, replaceRows, replacing, settledRows } from "./version_rows.ts";
import { createVersionTables } from "./version_schema.ts";
import type { VersionStatements } from "./version_statements.ts";

/** What entries do to versions, but for {@linkcode SetVersions}: for `Apply`, in a database with the bundle, inside the running transaction. */
export class VersionWriter {
  readonly #db: DatabaseSync;
  readonly #statements: VersionStatements;
  readonly #databaseId: () => DatabaseId;
  readonly #crashPoint: CrashPoint;

  constructor(
    db: DatabaseSync,
    statements: VersionStatements,
    databaseId: () => DatabaseId,
    crashPoint: CrashPoint,
  ) {
    this.#db = db;
    this.#statements = statements;
    this.#databaseId = databaseId;
    this.#crashPoint = crashPoint;
  }

  /** Yields after each slice of documents that are adopted. */
  *activate(draft: Draft, { adoptExisting }: ActivateBundle, seq: Seq): Generator<void, void, void> {
    if (draft.bundle !== null) throw otherwise(seq, "the bundle is active already");
    const collections = draft.list().filter(({ name }) => isReplicated(name));
    const full = collections.find(({ documents }) => documents > 0);
    if (full !== undefined && adoptExisting !== true) {
      const message =
        `Collection "${full.name}" has documents: replication can only be turned on before there are any`;
      throw draft.leading ? new DfdbError("conflict", message) : otherwise(seq, message);
    }
    createVersionTables(this.#db);
    this.#db.prepare("UPDATE meta SET replication = 1").run();
    this.#crashPoint("bundle:tables");
    const ids = { database: this.#databaseId(), former: draft.former };
    const bundle = new BundleDraft(new Bundle(new KnownRuns(ids, draft.terms, [])));
    for (const { name } of collections) bundle.spaceOf(name);
    draft.bundle = bundle;
    for (const { number, name } of adoptExisting === true ? collections : []) {
      yield* adoptDocuments(this.#db, this.#statements, draft.terms, number, bundle.spaceOf(name));
    }
  }

  /** A run of this database. */
  begin(bundle: BundleDraft, term: TermRecord, seq: Seq): void {
    known(seq, () => bundle.growing().begin(term));
  }

  learn(draft: Draft, { runs }: LearnRuns, seq: Seq): void {
    const bundle = draft.bundle;
    if (bundle === null) throw inactive(seq);
    const growing = bundle.growing();
    for (const node of runs) {
      const number = known(seq, () => growing.learn(node));
      if (number === null) continue;
      const { database, run, epoch, firstSeq, parent } = node;
      this.#statements.get("run").run(-number, database, run, epoch, firstSeq, parent);
    }
  }

  /** What a local change of a document makes of its versions; the time of the change. */
  local(
    draft: Draft,
    collection: CollectionDraft,
    id: DocumentId,
    seq: Seq,
    wallMs: WallMs,
    deleted: boolean,
  ): WallMs {
    const bundle = draft.bundle as BundleDraft, space = bundle.space(collection.name as string);
    if (space === undefined) return wallMs;
    const rows = settledRows<VersionRow>(this.#statements, bundle, space, id, "key");
    const row = replacing(bundle.runs, rows, { run: draft.terms.length, seq, wallMs }, deleted);
    replaceRows(this.#statements, space.number, id, rows, row, null);
    const before = rows[0]?.state ?? keyState.shown;
    if (before !== keyState.shown || deleted) countStates(bundle, space, before, row.state);
    return wallMsOf(row.modified_ms);
  }

  /** A person's DELETE of a key that has no document because it is in conflict. */
  deleteConflict(draft: Draft, collection: CollectionDraft, id: DocumentId, seq: Seq, wallMs: WallMs): void {
    const { bundle } = draft, space = bundle?.space(collection.name as string);
    const [row] = bundle === null || space === undefined
      ? []
      : settledRows<VersionRow>(this.#statements, bundle, space, id, "key");
    if (row?.state !== keyState.conflict) {
      throw otherwise(seq, `document ${id} is not there and not in conflict`);
    }
    this.local(draft, collection, id, seq, wallMs, true);
  }

  /**
   * All that its rows hold is deleted by this entry. They are written slice by slice when nobody waits (`version_drops.ts`); what this very
   * entry has changed at once, so that a row is older than the drop or newer.
   */
  drop(draft: Draft, collection: CollectionDraft, seq: Seq, wallMs: WallMs): void {
    const bundle = draft.bundle as BundleDraft, space = bundle.space(collection.name as string);
    if (space === undefined) return;
    const { number, conflicts } = space, { documents } = collection;
    if (documents + conflicts === 0) return;
    const drop: PendingDrop = { change: seq, space: number, run: draft.terms.length, wallMs, after: "" };
    for (const { id } of this.#statements.get("changedIn").all(seq, number)) {
      const rows = settledRows<VersionRow>(this.#statements, bundle, space, String(id), "key");
      if (rows[0]?.state === keyState.deleted) continue;
      const row = replacedByDrop(bundle.runs, rows, drop);
      replaceRows(this.#statements, number, String(id), rows, row, null);
    }
    bundle.count(space, documents + conflicts, -conflicts);
    if (bundle.drops.some((one) => one.change === seq && one.space === number)) return;
    bundle.drops = [...bundle.drops, drop];
    this.#statements.get("drop").run(seq, number, drop.run, wallMs, "");
  }

  purge(draft: Draft, { name, ids }: PurgeTombstones, seq: Seq): void {
    const bundle = draft.bundle;
    if (bundle === null) throw inactive(seq);
    const space = bundle.space(name);
    for (const id of ids) {
      const rows = space === undefined
        ? []
        : settledRows<VersionRow>(this.#statements, bundle, space, id, "key");
      const only = rows.length > 0 &&
        rows.every(({ deleted, state }) => deleted === 1 && state === keyState.deleted);
      if (space === undefined || !only) throw otherwise(seq, `key ${name}/${id} is not deleted`);
      this.#statements.get("removeKey").run(space.number, id);
      bundle.count(space, -1, 0);
    }
  }
}

/** A key goes from one state to another. */
export function countStates(bundle: BundleDraft, space: Space, from: number, to: number): void {
  if (from === to) return;
  const one = (state: number): number => (to === state ? 1 : 0) - (from === state ? 1 : 0);
  bundle.count(space, one(keyState.deleted), one(keyState.conflict));
}

export function inactive(seq: Seq): DfdbError {
  return otherwise(seq, "it does not have the bundle replication");
}

/** A run that cannot be among those that are known is `diverged`. */
function known<Result>(seq: Seq, run: () => Result): Result {
  try {
    return run();
  } catch (thrown) {
    if (!(thrown instanceof DfdbError)) throw thrown;
    throw otherwise(seq, thrown.message);
  }
}
