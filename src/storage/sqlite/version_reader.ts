import { utf8 } from "../../base/bytes.ts";
import { DfdbError } from "../../base/errors.ts";
import type { DocumentId, Seq } from "../../base/ids.ts";
import { documentIdOf, seqOf, wallMsOf } from "../../base/ids.ts";
import { compareRuns } from "../../document/change_vector.ts";
import type { RunTree } from "../../document/run_tree.ts";
import type { Version } from "../../document/version_set.ts";
import type {
  ChangedPage,
  ChangePlace,
  DotPage,
  DotPlace,
  KeyLimits,
  KeyPage,
  KeyPlace,
  KeyVersions,
  VersionView,
} from "../versions.ts";
import type { BundleCatalog, Space } from "./bundle.ts";
import type { Catalog } from "./state.ts";
import type { TableStatements } from "./statements.ts";
import type { VersionRow } from "./version_rows.ts";
import { changeOf, dotOf, droppedRow, keyState, vectorOfRow } from "./version_rows.ts";

type WholeRow = VersionRow & { readonly body: Uint8Array | null };
interface PlaceRow {
  readonly change: number;
  readonly collection: number;
  readonly id: string;
}

/** Beyond all collections of one change. */
const lastSpace = Number.MAX_SAFE_INTEGER;

/** Reads versions through one connection. */
export class VersionReader implements VersionView {
  readonly #bundle: BundleCatalog;
  readonly #catalog: Catalog;
  readonly #tables: TableStatements;

  constructor(bundle: BundleCatalog, catalog: Catalog, tables: TableStatements) {
    this.#bundle = bundle;
    this.#catalog = catalog;
    this.#tables = tables;
  }

  get tree(): RunTree {
    return this.#bundle.runs.tree;
  }

  counts(name: string): { readonly tombstones: number; readonly conflicts: number } {
    const { tombstones = 0, conflicts = 0 } = this.#bundle.space(name) ?? {};
    return { tombstones, conflicts };
  }

  get(name: string, id: DocumentId): KeyVersions | null {
    const space = this.#bundle.space(name);
    return space === undefined ? null : this.#key(space, id);
  }

  conflicts(after: KeyPlace | null, limits: KeyLimits, only?: string): KeyPage {
    if (only === undefined) return this.#hidden(keyState.conflict, "conflict", after, limits);
    const space = this.#bundle.space(only)?.number;
    if (space === undefined) return { keys: [], next: null };
    const from = after === null || after.space < space ? { space, id: "" } : after;
    return this.#hidden(keyState.conflict, "conflict", from, limits, space);
  }

  tombstones(after: KeyPlace | null, limits: KeyLimits): KeyPage {
    return this.#hidden(keyState.deleted, "deleted", after, limits);
  }

  #hidden(
    state: number,
    kind: "conflict" | "deleted",
    after: KeyPlace | null,
    limits: KeyLimits,
    upTo = lastSpace,
  ): KeyPage {
    const most = Math.max(1, limits.keysMax);
    const rows = this.#tables.versions.get("hidden").all(
      state,
      after?.space ?? 0,
      after?.id ?? "",
      upTo,
      most,
    ) as unknown as Omit<PlaceRow, "change">[];
    const keys: KeyVersions[] = [];
    let bytes = 0;
    for (const [i, { collection: space, id }] of rows.entries()) {
      const key = this.#numbered(space, id);
      // A drop may have made something else of it.
      if (key?.shown.kind === kind) {
        keys.push(key);
        bytes += bytesOf(key);
      }
      if (bytes >= limits.bytesMax && i + 1 < rows.length) return { keys, next: { space, id } };
    }
    const last = rows.length < most ? undefined : rows.at(-1);
    return { keys, next: last === undefined ? null : { space: last.collection, id: last.id } };
  }

  several(after: KeyPlace | null, limits: KeyLimits): KeyPage {
    const most = Math.max(2, limits.keysMax);
    const rows = this.#tables.versions.get("keys").all(
      after?.space ?? 0,
      after?.id ?? "",
      most,
    ) as unknown as Omit<PlaceRow, "change">[];
    const keys: KeyVersions[] = [],
      same = (a: number, b: number): boolean =>
        rows[a]?.id === rows[b]?.id && rows[a]?.collection === rows[b]?.collection;
    let bytes = 0;
    for (const [i, { collection: space, id }] of rows.entries()) {
      // At the second of its versions.
      if (i === 0 || !same(i, i - 1) || (i > 1 && same(i, i - 2))) continue;
      const key = this.#numbered(space, id);
      // A drop may have made one of them.
      if (key === null || key.versions.length < 2) continue;
      keys.push(key);
      bytes += bytesOf(key);
      if (bytes >= limits.bytesMax) return { keys, next: { space, id } };
    }
    if (rows.length < most) return { keys, next: null };
    // The last key may go on after the page: looked at again, if it was seen once.
    const end = rows.length - 1, last = rows[same(end, end - 1) ? end : end - 1];
    return { keys, next: last === undefined ? null : { space: last.collection, id: last.id } };
  }

  changedSince(after: Seq | ChangePlace, limits: KeyLimits): ChangedPage {
    const from = typeof after === "number" ? { change: after, space: lastSpace, id: "" } : after;
    const end = this.#bundle.drops[0]?.change ?? this.#catalog.position.seq + 1,
      most = Math.max(1, limits.keysMax);
    const rows = this.#tables.versions.get("changed").all(
      from.change,
      from.space,
      from.id,
      end,
      most + 1,
    ) as unknown as PlaceRow[];
    const keys: KeyVersions[] = [];
    let bytes = 0, before: PlaceRow | null = null;
    for (const row of rows) {
      if (before !== null && (keys.length >= most || bytes >= limits.bytesMax)) {
        return page(keys, before, row);
      }
      const again = before !== null && before.change === row.change && before.collection === row.collection &&
        before.id === row.id;
      before = row;
      if (again) continue;
      const key = this.#numbered(row.collection, row.id);
      // Of an older version beside a newer one, or dropped since: it comes later.
      if (key === null || key.change !== row.change) continue;
      keys.push(key);
      bytes += bytesOf(key);
    }
    if (before !== null && rows.length > most) return page(keys, before, null);
    return {
      keys,
      next: null,
      upTo: seqOf(Math.max(end - 1, Math.min(from.change, this.#catalog.position.seq))),
    };
  }

  dotsSince(after: Seq | DotPlace, dotsMax: number): DotPage {
    const from = typeof after === "number" ? { change: after, space: lastSpace, id: "", run: 0 } : after;
    const rows = this.#tables.versions.get("dots").all(
      from.change,
      from.space,
      from.id,
      from.run,
      dotsMax,
    ) as unknown as (PlaceRow & Pick<VersionRow, "run" | "seq">)[];
    const last = rows.length < dotsMax ? undefined : rows.at(-1);
    const dots = rows.map(({ change, run, seq }) => ({
      change: seqOf(change),
      dot: { run: this.#bundle.runs.runOf(run), seq: seqOf(seq) },
    }));
    if (last === undefined) return { dots, next: null };
    return { dots, next: { change: seqOf(last.change), space: last.collection, id: last.id, run: last.run } };
  }

  #numbered(space: number, id: string): KeyVersions | null {
    const found = this.#bundle.numbered(space);
    if (found === undefined) {
      throw new DfdbError("data_corrupt", `a version is of collection ${space}, which has no name`);
    }
    return this.#key(found, documentIdOf(id));
  }

  #key(space: Space, id: DocumentId): KeyVersions | null {
    const { runs } = this.#bundle;
    let rows = this.#tables.versions.get("whole").all(space.number, id) as unknown as WholeRow[];
    const dropped = droppedRow(this.#bundle, space.number, rows);
    if (dropped !== null) rows = [{ ...dropped, body: null }];
    const [first] = rows;
    if (first === undefined) return null;
    const number = this.#catalog.numberOf(space.name);
    const name = number === undefined ? space.name : this.#catalog.collection(number)?.name ?? space.name;
    const document = first.state !== keyState.shown || number === undefined
      ? undefined
      : this.#tables.get(number, "get").get(id);
    const body = document === undefined ? null : utf8(String(document["body"]));
    const versions = rows.map((row): Version => ({
      dot: dotOf(runs, row),
      vector: vectorOfRow(runs, row),
      modifiedMs: wallMsOf(row.modified_ms),
      body: row.deleted === 1 ? null : row.body ?? expected(body, space, id),
    })).sort((a, b) => compareRuns(a.dot.run, b.dot.run));
    const common = { name, id, change: seqOf(changeOf(rows)), versions };
    if (first.state === keyState.deleted) return { ...common, shown: { kind: "deleted" } };
    if (first.state === keyState.conflict) return { ...common, shown: { kind: "conflict" } };
    const bare = rows.find((row) => row.deleted === 0 && row.body === null);
    if (bare !== undefined) return { ...common, shown: { kind: "version", dot: dotOf(runs, bare) } };
    return { ...common, shown: { kind: "made", body: expected(body, space, id) } };
  }
}

/** `after` is what comes next, if it was looked at. */
function page(keys: readonly KeyVersions[], before: PlaceRow, after: PlaceRow | null): ChangedPage {
  const { change, collection: space, id } = before, over = after !== null && after.change > change;
  return { keys, next: { change: seqOf(change), space, id }, upTo: seqOf(over ? change : change - 1) };
}

function bytesOf({ versions, shown }: KeyVersions): number {
  return versions.reduce(
    (sum, { body }) => sum + (body?.length ?? 0),
    shown.kind === "made" ? shown.body.length : 0,
  );
}

function expected(body: Uint8Array | null, { name }: Space, id: string): Uint8Array {
  if (body === null) {
    throw new DfdbError("data_corrupt", `document ${name}/${id} is not there, but its version is`);
  }
  return body;
}
