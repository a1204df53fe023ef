/** Statements as they are carried out: parsed and compiled once, while the collections and indexes stay as they are. */
import { assert } from "../base/assert.ts";
import { seqOf } from "../base/ids.ts";
import type { DocumentValue } from "../document/document_value.ts";
import type { Condition, Select, Statement } from "../query/ast.ts";
import type { QueryCatalog } from "../query/catalog.ts";
import type { CompiledCount, CompiledMatches, CompiledRows } from "../query/compile.ts";
import { compileMatches, compileSelect } from "../query/compile.ts";
import { signatureOf } from "../query/compile_constants.ts";
import type { QueryParameters } from "../query/compile_slots.ts";
import { parse } from "../query/parse.ts";
import { countPlanName, planName } from "../query/plan_name.ts";
import { rowWriter, valueReader } from "../query/result_rows.ts";
import { isStepwise } from "../query/stepwise.ts";
import { etagText } from "../storage/position_text.ts";
import type { CollectionInfo, IndexInfo, ReadView, SqlValue, Storage } from "../storage/storage.ts";
import { TextCache } from "./query_cache.ts";
import type { StatementTables } from "./query_messages.ts";
import { catalogOf } from "./view_catalog.ts";

/** Bounds of one half of the cache. */
const texts = { entriesMax: 1_000, charsMax: 1024 * 1024 };
/** Kinds of parameters that one text is kept compiled for. */
const signaturesMax = 16;

/** A text, and what it was compiled to. */
export interface KnownStatement {
  readonly statement: Statement;
  readonly compiled: Map<string, Prepared | PreparedCount>;
}

/** The kept count of a collection. */
export interface PreparedCount extends Pick<CompiledCount, "kind" | "name" | "collection"> {
  readonly version: number;
  readonly plan: string;
}

/** A statement that reads, and what was learned of it. */
export interface Prepared {
  readonly kind: "rows" | "matches";
  /** Of the view that it was compiled for. */
  readonly version: number;
  readonly compiled: CompiledRows | CompiledMatches;
  readonly tables: StatementTables;
  /** JSON text of a row; of a statement of kind `rows`. */
  readonly write: (cells: readonly SqlValue[]) => string;
  /** The same as a value; null: what a row is has to be parsed. */
  readonly value: ((cells: readonly SqlValue[]) => DocumentValue) | null;
  /** Null: not known yet. */
  plan: string | null;
  /** It may be read in this thread, a part at least. Null: not known yet. */
  atOnce: boolean | null;
  /** The last time there was more than may be read at once. */
  large: boolean;
  /** What gives all rows at once, which is faster; null: nothing does, or a document was too large for it. */
  whole: string | null;
}

export class Statements {
  readonly #storage: Pick<Storage, "log">;
  readonly #known = new TextCache<KnownStatement>(texts);
  /** By the conditions of statements that are known. */
  readonly #matches = new WeakMap<Condition, Map<string, Prepared>>();

  constructor(storage: Pick<Storage, "log">) {
    this.#storage = storage;
  }

  /** Throws `bad_request`. */
  parse(sql: string): KnownStatement {
    const known = this.#known.get(sql);
    if (known !== undefined) return known;
    const made = { statement: parse(sql), compiled: new Map() };
    this.#known.set(sql, made);
    return made;
  }

  /** Throws as `compileSelect`. */
  select(view: ReadView, known: KnownStatement, parameters: QueryParameters): Prepared | PreparedCount {
    const { statement, compiled } = known, signature = signatureOf(parameters), { version } = view;
    const found = compiled.get(signature);
    if (found !== undefined && found.version === version) return found;
    const made = this.#prepare(view, statement as Select, parameters);
    if (compiled.size >= signaturesMax) compiled.clear();
    compiled.set(signature, made);
    return made;
  }

  /** The documents that a statement which writes is about. Throws as `compileMatches`. */
  matches(
    view: ReadView,
    where: Condition | null,
    collection: string,
    parameters: QueryParameters,
  ): Prepared {
    const known = where === null ? null : this.#matchesOf(where), signature = signatureOf(parameters);
    const found = known?.get(signature);
    if (found !== undefined && found.version === view.version) return found;
    const catalog = new SeenCatalog(view);
    const compiled = compileMatches(where, collection, catalog, parameters, true);
    const made = this.#prepared(view, compiled, catalog);
    if (known !== null && known.size >= signaturesMax) known.clear();
    known?.set(signature, made);
    return made;
  }

  #matchesOf(where: Condition): Map<string, Prepared> {
    const known = this.#matches.get(where) ?? new Map<string, Prepared>();
    this.#matches.set(where, known);
    return known;
  }

  #prepare(view: ReadView, select: Select, parameters: QueryParameters): Prepared | PreparedCount {
    const catalog = new SeenCatalog(view), compiled = compileSelect(select, catalog, parameters, true);
    return compiled.kind === "count"
      ? { ...compiled, version: view.version, plan: countPlanName }
      : this.#prepared(view, compiled, catalog);
  }

  #prepared({ version }: ReadView, compiled: CompiledRows | CompiledMatches, catalog: SeenCatalog): Prepared {
    const { log } = this.#storage, etag = (seq: number): string => etagText(log.terms, seqOf(seq));
    return {
      kind: compiled.kind,
      version,
      compiled,
      tables: catalog.tablesIn(compiled.sql),
      write: compiled.kind === "rows" ? rowWriter(compiled.shape, etag) : () => "",
      value: compiled.kind === "rows" ? valueReader(compiled.shape, etag) : null,
      plan: null,
      atOnce: compiled.stepwise === null ? false : null,
      large: false,
      whole: compiled.kind === "rows" ? compiled.wholeSql : null,
    };
  }
}

/** What SQLite says of it (column `detail`) decides what it is called, and whether it may be read at once: that is returned. */
export function learn(prepared: Prepared, details: readonly string[]): boolean {
  const { plan, stepwise } = prepared.compiled;
  prepared.plan = planName(plan, details);
  return prepared.atOnce = isStepwise(stepwise, details);
}

/** Remembers what stands behind the names of tables. */
class SeenCatalog implements QueryCatalog {
  readonly #view: ReadView;
  readonly #catalog: QueryCatalog;
  readonly #collections = new Map<string, CollectionInfo>();
  readonly #indexes = new Map<string, IndexInfo>();

  constructor(view: ReadView) {
    this.#view = view;
    this.#catalog = catalogOf(view);
  }

  names(): readonly string[] {
    return this.#catalog.names();
  }

  collection(name: string): ReturnType<QueryCatalog["collection"]> {
    const found = this.#catalog.collection(name), info = this.#view.collection(name);
    if (found === null || info === null) return found;
    this.#collections.set(found.table, info);
    for (const index of this.#view.indexes(info.number)) this.#indexes.set(`index_${index.number}`, index);
    return found;
  }

  tablesIn(sql: string): StatementTables {
    const collections: StatementTables["collections"][number][] = [];
    const indexes: StatementTables["indexes"][number][] = [];
    for (const [table] of new Set(sql.match(/\b(?:docs|index)_[0-9]+\b/g)).entries()) {
      const collection = this.#collections.get(table), index = this.#indexes.get(table);
      if (collection !== undefined) collections.push({ number: collection.number, name: collection.name });
      else {
        assert(index !== undefined, `${table} was compiled in from the catalog`);
        const { number, unique } = index;
        indexes.push({ number, unique, collection: index.collection, paths: JSON.stringify(index.paths) });
      }
    }
    return { collections, indexes };
  }
}
