import type { CollectionNumber, DocumentId, Seq } from "../../base/ids.ts";
import { documentIdOf, seqOf, wallMsOf } from "../../base/ids.ts";
import type { Position, TermRecord } from "../log.ts";
import type {
  CollectionInfo,
  DocumentPage,
  IndexInfo,
  ReadView,
  SqlValue,
  StoredDocument,
} from "../storage.ts";
import type { VersionView } from "../versions.ts";
import { hasOneKey } from "./index_sql.ts";
import { isLinked } from "./index_state.ts";
import type { Selects } from "./selects.ts";
import type { Catalog } from "./state.ts";
import type { TableStatements } from "./statements.ts";
import { VersionReader } from "./version_reader.ts";

interface Row {
  readonly row: number;
  readonly id: string;
  readonly seq: number;
  readonly created_ms: number;
  readonly modified_ms: number;
  readonly body: string;
}

/** Reads documents through one connection, and the catalog from memory. */
export class View implements ReadView {
  readonly #catalog: Catalog;
  readonly #tables: TableStatements;
  readonly #selects: Selects;

  constructor(catalog: Catalog, tables: TableStatements, selects: Selects) {
    this.#catalog = catalog;
    this.#tables = tables;
    this.#selects = selects;
  }

  get position(): Position {
    return this.#catalog.position;
  }

  get terms(): readonly TermRecord[] {
    return this.#catalog.terms;
  }

  get version(): number {
    return this.#catalog.version;
  }

  get settingsVersion(): number {
    return this.#catalog.settingsVersion;
  }

  get versions(): VersionView | null {
    const { bundle } = this.#catalog;
    return bundle === null ? null : new VersionReader(bundle, this.#catalog, this.#tables);
  }

  collections(): readonly CollectionInfo[] {
    return this.#catalog.list();
  }

  collection(name: string): CollectionInfo | null {
    const number = this.#catalog.numberOf(name);
    const found = number === undefined ? undefined : this.#catalog.collection(number);
    if (found === undefined || found.name === null) return null;
    return { number: found.number, name: found.name, documents: found.documents };
  }

  document(collection: CollectionNumber, id: DocumentId): StoredDocument | null {
    if (!this.#linked(collection)) return null;
    const row = this.#tables.get(collection, "get").get(id) as Row | undefined;
    return row === undefined ? null : stored(id, row);
  }

  documentSeq(collection: CollectionNumber, id: DocumentId): Seq {
    if (!this.#linked(collection)) return seqOf(0);
    const row = this.#tables.get(collection, "seq").get(id) as { seq: number } | undefined;
    return seqOf(row === undefined ? 0 : row.seq);
  }

  page(
    collection: CollectionNumber,
    after: number,
    limits: { documentsMax: number; bytesMax: number },
  ): DocumentPage {
    if (!this.#linked(collection)) return { documents: [], next: null };
    const documentsMax = Math.max(1, limits.documentsMax);
    const sizes = this.#tables.get(collection, "sizes").all(after, documentsMax + 1) as unknown as {
      bytes: number;
    }[];
    const count = countWithin(sizes, { most: documentsMax, bytesMax: limits.bytesMax });
    if (count === 0) return { documents: [], next: null };
    const rows = this.#tables.get(collection, "page").all(after, count) as unknown as Row[];
    const last = rows.at(-1);
    const next = sizes.length > count && last !== undefined ? last.row : null;
    return { documents: rows.map((row) => stored(documentIdOf(row.id), row)), next };
  }

  indexes(collection: CollectionNumber): readonly IndexInfo[] {
    const documents = this.#catalog.collection(collection)?.documents ?? 0;
    return this.#catalog.indexes.of(collection).filter(isLinked).map((index) => {
      const { number, name, unique, time, paths } = index,
        ready = index.state === "ready",
        one = hasOneKey(index);
      const kept = ready && one ? documents : this.#selects.entries(number);
      const entries = one ? Math.min(kept, documents) : kept;
      return { number, collection, name, unique, time, paths, ready, entries };
    });
  }

  select(sql: string, values: readonly SqlValue[], few = false): IterableIterator<readonly SqlValue[]> {
    return few ? this.#selects.all(sql, values).values() : this.#selects.rows(sql, values);
  }

  explain(sql: string, values: readonly SqlValue[]): readonly string[] {
    return this.#selects.explain(sql, values);
  }

  #linked(collection: CollectionNumber): boolean {
    const found = this.#catalog.collection(collection);
    return found !== undefined && found.name !== null;
  }
}

/** How many of the first `sizes` to take: at least one if there is one, none after `bytesMax` is reached. */
export function countWithin(
  sizes: readonly { readonly bytes: number }[],
  limits: { most: number; bytesMax: number },
): number {
  const most = Math.min(sizes.length, limits.most);
  let count = 0;
  for (let bytes = 0; count < most && (count === 0 || bytes < limits.bytesMax); count++) {
    bytes += (sizes[count] as { bytes: number }).bytes;
  }
  return count;
}

function stored(id: DocumentId, row: Row): StoredDocument {
  return {
    id,
    body: row.body,
    seq: seqOf(row.seq),
    createdMs: wallMsOf(row.created_ms),
    modifiedMs: wallMsOf(row.modified_ms),
  };
}
