/** The collections of a query, and whose path is whose. */
import type { CollectionName, Join, PathExpression, Select, Step } from "./ast.ts";
import type { QueryCatalog, QueryCollection } from "./catalog.ts";
import { knownCollection, refusal } from "./catalog.ts";

export interface Source {
  /** As the catalog has it; of one that is not there, as written. */
  readonly name: string;
  readonly alias: string;
  /** Null: a joined collection that is not there; it has no documents. */
  readonly collection: QueryCollection | null;
}

export interface Sources {
  /** In the order of the statement. */
  readonly all: readonly Source[];
  /** Whose document a path is about, and its steps there. */
  resolve(path: PathExpression): { readonly source: Source; readonly steps: readonly Step[] };
}

/** Throws `collection_not_found` for the one after FROM. */
export function sourcesOf(select: Pick<Select, "from" | "joins">, catalog: QueryCatalog): Sources {
  const first: Source = { ...named(knownCollection(catalog, select.from)), alias: "d" };
  if (select.joins.length === 0) {
    return { all: [first], resolve: (path) => ({ source: first, steps: path.steps }) };
  }
  const all = [first, ...select.joins.map((join, i) => joinedSource(join, i, catalog))];
  checkNames(all, select.joins);
  return { all, resolve: (path) => resolveAmong(all, path) };
}

/** The documents of a source as a table. */
export function tableOf(source: Source): string {
  return source.collection === null
    ? "(SELECT 0 AS row, '' AS id, 0 AS seq, '{}' AS body WHERE 0)"
    : source.collection.table;
}

function named(collection: QueryCollection): Pick<Source, "name" | "collection"> {
  return { name: collection.name, collection };
}

function joinedSource({ with: { name } }: Join, i: number, catalog: QueryCatalog): Source {
  const collection = catalog.collection(name);
  return { ...(collection === null ? { name, collection } : named(collection)), alias: `d${i + 1}` };
}

function checkNames(all: readonly Source[], joins: readonly { readonly with: CollectionName }[]): void {
  const seen = new Set<string>();
  all.forEach(({ name }, i) => {
    const key = name.toLowerCase();
    if (seen.has(key)) {
      throw refusal(`a join cannot have the collection ${name} twice`, joins[i - 1]?.with.at ?? 0);
    }
    seen.add(key);
  });
}

/** The longest name wins: a collection can be called `a`, another one `a.b`. */
function resolveAmong(
  all: readonly Source[],
  path: PathExpression,
): { source: Source; steps: readonly Step[] } {
  let found: { source: Source; steps: readonly Step[] } | null = null;
  for (const source of all) {
    const parts = source.name.toLowerCase().split(".");
    for (const name of parts.length > 1 ? [parts, [source.name.toLowerCase()]] : [parts]) {
      const begins = name.every((part, i) => String(path.steps[i]).toLowerCase() === part);
      const steps = path.steps.slice(name.length);
      if (begins && (found === null || steps.length < found.steps.length)) found = { source, steps };
    }
  }
  if (found === null) {
    const among = all.map(({ name }) => `${name}.${path.text}`).join(" or ");
    throw refusal(`${path.text} could be of any collection of the join: write ${among}`, path.at);
  }
  if (typeof found.steps[0] !== "string") {
    throw refusal(`${path.text} names a collection: a path in it begins with ${path.text}.`, path.at);
  }
  return found;
}
