/** Keys in conflict that a statement leaves out, because they have no document: its answer says how many. */
import { conflictCount } from "../engine/conflicts.ts";
import type { Statement } from "../query/ast.ts";
import { parse } from "../query/parse.ts";
import type { Storage } from "../storage/storage.ts";

/** Texts whose collections are remembered. */
const textsMax = 256;

/** For the statements of one database. */
export class QueryConflicts {
  readonly #read: Storage["read"];
  readonly #names = new Map<string, readonly string[]>();

  constructor(storage: Pick<Storage, "read">) {
    this.#read = (run) => storage.read(run);
  }

  /** How many are in the collections that `sql` reads, which was carried out; one comparison in a database without the bundle. */
  of(sql: string): number {
    return this.#read((view) => {
      if (view.versions === null) return 0;
      return this.#collections(sql).reduce((sum, name) => sum + conflictCount(view, name), 0);
    });
  }

  #collections(sql: string): readonly string[] {
    const known = this.#names.get(sql);
    if (known !== undefined) return known;
    const names = [...new Set(collectionsRead(parse(sql)).map((name) => name.toLowerCase()))];
    if (this.#names.size === textsMax) this.#names.clear();
    this.#names.set(sql, names);
    return names;
  }
}

function collectionsRead(statement: Statement): readonly string[] {
  switch (statement.kind) {
    case "select":
      return [statement.from.name, ...statement.joins.map((join) => join.with.name)];
    case "update":
      return [statement.collection.name];
    case "delete":
      return [statement.from.name];
    default:
      return [];
  }
}

/** The member of an answer; nothing where nothing is left out. */
export function conflictsMember(count: number): { readonly conflicts?: number } {
  return count === 0 ? {} : { conflicts: count };
}
