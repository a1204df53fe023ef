import type { DatabaseSync } from "node:sqlite";
import { DfdbError } from "../../base/errors.ts";
import type { CollectionNumber, IndexNumber } from "../../base/ids.ts";
import { indexNumberOf } from "../../base/ids.ts";
import { limits } from "../../base/limits.ts";
import { checkIndex } from "../../document/index_definition.ts";
import type { IndexDefinition } from "../../document/operation.ts";
import type { CrashPoint } from "../../runtime/runtime.ts";
import { transaction } from "./connection.ts";
import { DuplicateSearch } from "./duplicate_search.ts";
import { foldName } from "./fold_name.ts";
import { hasOneKey, indexTableOf, rowsSql } from "./index_sql.ts";
import type { IndexState } from "./index_state.ts";
import { isFilled, isLinked } from "./index_state.ts";
import type { IndexWriter } from "./index_writer.ts";
import type { MetaWriter } from "./meta_writer.ts";
import { tableOf } from "./schema.ts";
import type { State } from "./state.ts";
import { newVersion } from "./state.ts";
import { countWithin } from "./view.ts";

export interface IndexBuilderOptions {
  readonly db: DatabaseSync;
  readonly state: State;
  readonly meta: MetaWriter;
  readonly indexes: IndexWriter;
  readonly crashPoint: CrashPoint;
}

/** Errors that wait for somebody to ask. */
const failedMax = 16;
/** Share of the filling in the making of a unique index; the rest is the search for keys that are there twice. */
const fillingShare = 0.8;

/** Makes and fills indexes beside the entries: each call is a transaction of its own, or none. */
export class IndexBuilder {
  readonly #options: IndexBuilderOptions;
  readonly #searches = new Map<IndexNumber, DuplicateSearch>();
  readonly #unwanted = new Set<IndexNumber>();
  readonly #failed = new Map<IndexNumber, DfdbError>();

  constructor(options: IndexBuilderOptions) {
    this.#options = options;
  }

  /** {@linkcode slice} has something to do. */
  get isDue(): boolean {
    return this.#options.state.indexes.unfinished.length > 0 || this.hasUnwanted;
  }

  /** {@linkcode abandon} has something to do: before the next write, which would obey what is given up. */
  get hasUnwanted(): boolean {
    return this.#unwanted.size > 0;
  }

  /** As `Storage.prepareIndex`. */
  prepare(collection: CollectionNumber, definition: IndexDefinition): IndexNumber {
    const { state, indexes } = this.#options;
    checkIndex(definition);
    this.abandon();
    const owner = state.collections.get(collection);
    if (owner === undefined || owner.name === null) {
      throw new DfdbError("collection_not_found", `There is no collection with number ${collection}`);
    }
    refuseTaken(state.indexes.of(collection), definition);
    const { name, unique, time, paths } = definition, number = indexNumberOf(state.nextIndex);
    const index: IndexState = {
      ...{ number, collection, name, unique, time, paths, state: "preparing" },
      nextRow: 1,
      endRow: owner.nextRow,
      whole: owner.nextRow === 1,
    };
    this.#write(() => indexes.create(index));
    state.nextIndex = number + 1;
    state.indexes = state.indexes.with(index);
    return number;
  }

  /** One slice; true when more is left. */
  slice(): boolean {
    this.abandon();
    const { state } = this.#options, [index] = state.indexes.unfinished;
    if (index === undefined) return false;
    if (isFilled(index)) this.#search(index);
    else this.#fill(index);
    return state.indexes.unfinished.length > 0;
  }

  /** As `Storage.built`. */
  built(number: IndexNumber): number | null {
    const failed = this.#failed.get(number);
    if (failed !== undefined) {
      this.#failed.delete(number);
      throw failed;
    }
    const index = this.#options.state.indexes.get(number);
    if (index === undefined) return null;
    if (index.whole) return 1;
    const { nextRow, endRow } = index;
    const filled = isFilled(index) ? 1 : (nextRow - 1) / endRow;
    return searches(index) ? filled * fillingShare : filled;
  }

  /** It is not wanted any more: {@linkcode abandon} follows, when there is a turn. */
  giveUp(number: IndexNumber): void {
    this.#failed.delete(number);
    if (this.#isPrepared(number)) this.#unwanted.add(number);
  }

  /** What is not wanted any more has no name any more. */
  abandon(): void {
    if (!this.hasUnwanted) return;
    this.#unlink([...this.#unwanted].filter((number) => this.#isPrepared(number)));
    this.#unwanted.clear();
  }

  /** As `Storage.rebuildIndex`. */
  rebuild(number: IndexNumber): void {
    const { state, indexes } = this.#options, index = state.indexes.get(number);
    if (index === undefined || !isLinked(index)) return;
    const endRow = state.collections.get(index.collection)?.nextRow ?? 1, whole = endRow === 1;
    const old = indexNumberOf(state.nextIndex);
    const anew: IndexState = { ...index, state: whole ? "ready" : "building", nextRow: 1, endRow, whole };
    this.#write(() => {
      // The old keys go under another number, to be freed in slices.
      indexes.unlink(number);
      indexes.renumber(number, old);
      indexes.create(anew);
    });
    state.nextIndex = old + 1;
    state.indexes = state.indexes.dropping([old]).with(anew);
    state.version = newVersion();
  }

  /** After the whole content was replaced. */
  clear(): void {
    this.#searches.clear();
    this.#unwanted.clear();
  }

  #isPrepared(number: IndexNumber): boolean {
    const index = this.#options.state.indexes.get(number);
    return index !== undefined && !isLinked(index);
  }

  #fill(index: IndexState): void {
    const { db, state, indexes, crashPoint } = this.#options, docs = tableOf(index.collection);
    const { number, nextRow, endRow } = index, one = hasOneKey(index);
    const sizes = db.prepare(
      `SELECT row, octet_length(body) AS bytes FROM ${docs} WHERE row >= ? AND row < ? ORDER BY row LIMIT ?`,
    ).all(nextRow, endRow, limits.indexSliceRows + 1) as unknown as { row: number; bytes: number }[];
    const bytesMax = one || index.time ? limits.indexSliceBytes : limits.indexSliceBytesMany;
    const count = countWithin(sizes, { most: limits.indexSliceRows, bytesMax });
    // What is beyond the last one was there before, and is not any more.
    const next = sizes[count]?.row ?? endRow, filled = next >= endRow;
    const whole = filled && !searches(index), ready = whole && isLinked(index);
    this.#write(() => {
      if (count > 0) {
        const from = `(SELECT row, body FROM ${docs} WHERE row >= ? AND row < ?) d`;
        const insert = `INSERT OR IGNORE INTO ${indexTableOf(number)} ${rowsSql(index, "d", from)}`;
        const { changes } = db.prepare(insert).run(nextRow, next);
        indexes.progress(number, next, Number(changes));
      }
      if (ready) indexes.ready(number);
      crashPoint("index:slice");
    });
    state.indexes = state.indexes.with({
      ...index,
      nextRow: next,
      whole,
      state: ready ? "ready" : index.state,
    });
    if (ready) state.version = newVersion();
  }

  /** Keys that are there twice: from now on none can be added, because writes obey the index. */
  #search(index: IndexState): void {
    const { db, state } = this.#options, { number } = index;
    let search = this.#searches.get(number);
    if (search === undefined) this.#searches.set(number, search = new DuplicateSearch(db, index));
    const found = search.slice();
    if (found === "more") return;
    this.#searches.delete(number);
    if (found === "none") {
      state.indexes = state.indexes.with({ ...index, whole: true });
      return;
    }
    this.#unlink([number]);
    const [id, otherId] = found;
    const message =
      `Documents "${id}" and "${otherId}" have the same key: there can be no unique index "${index.name}" of them`;
    this.#failed.set(
      number,
      new DfdbError("duplicate_key", message, { details: { index: index.name, id, otherId } }),
    );
    for (const oldest of this.#failed.keys()) {
      if (this.#failed.size <= failedMax) break;
      this.#failed.delete(oldest);
    }
  }

  /** What was prepared has no name any more; its keys are freed later. */
  #unlink(numbers: readonly IndexNumber[]): void {
    if (numbers.length === 0) return;
    const { state, indexes } = this.#options;
    this.#write(() => {
      for (const number of numbers) indexes.unlink(number);
    });
    state.indexes = state.indexes.dropping(numbers);
    for (const number of numbers) this.#searches.delete(number);
  }

  /** A write like any other: a copy of the file taken from now on is of a file in use. */
  #write(run: () => void): void {
    const { db, state, meta } = this.#options;
    transaction(db, () => {
      if (state.clean) meta.cleanSeq(null);
      run();
    });
    state.clean = false;
  }
}

/** Who wrote the entry that linked an index had made sure that no key is in it twice. */
const searches = (index: IndexState): boolean => index.unique && !isLinked(index);

function refuseTaken(indexes: readonly IndexState[], { name, time, paths }: IndexDefinition): void {
  const conflict = (message: string): DfdbError => new DfdbError("conflict", message);
  if (indexes.length >= limits.indexesMax) {
    throw conflict(`A collection has at most ${limits.indexesMax} indexes`);
  }
  const wanted = JSON.stringify(paths);
  for (const index of indexes) {
    const state = isLinked(index) ? "There is" : "There is soon";
    if (foldName(index.name) === foldName(name)) throw conflict(`${state} an index "${index.name}"`);
    if (index.time !== time || JSON.stringify(index.paths) !== wanted) continue;
    throw conflict(`${state} an index on the same paths, "${index.name}"`);
  }
}
